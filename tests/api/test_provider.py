"""Providers: read from the metadata of installed distributions, whose code is never run."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import distributions
from clients import API
from distributions import RAISES
from problems import assert_problem

GROUP = "apache_airflow_provider"


@pytest.fixture
def install(tmp_path: Any) -> Any:
    """`install("a-provider", source="...")`: a provider package whose module `a_provider_info` must not be imported."""

    def install(name: str, function: str = "get_info", **given: Any) -> None:
        module = f"{name.lower().replace('-', '_').replace('.', '_')}_info"
        distributions.write(tmp_path, name, {GROUP: f"provider_info = {module}:{function}"}, **given)

    with distributions.installed(tmp_path):
        yield install


def described(description: str) -> str:
    return RAISES + f"\n\ndef get_info():\n    return {{'package-name': 'x', 'description': {description}}}\n"


def test_nothing_installed_is_an_empty_list(get):
    assert get("providers") == {"providers": [], "total_entries": 0}


def test_providers_are_listed_by_name_with_version_and_description(install, get):
    install("zeta-provider", source=described("'Zeta'"))
    install("Alpha.Provider", source=described("'Alpha `docs <https://alpha.example.com/>`__\\n'"))
    assert get("providers") == {
        "providers": [
            {
                "package_name": "alpha-provider",
                "description": "Alpha docs https://alpha.example.com/",
                "version": "1.2.0",
            },
            {"package_name": "zeta-provider", "description": "Zeta", "version": "1.2.0"},
        ],
        "total_entries": 2,
    }


@pytest.mark.parametrize(
    "source",
    [
        RAISES,
        described("'computed ' + 'text'"),
        described("7"),
        RAISES + "def get_info():\n    return describe()\n",
        RAISES + "def another():\n    return {'description': 'another'}\n",
        "this is no Python (\n",
        "\0",
        "-" * 100_000 + "1",
    ],
    ids=["no function", "computed", "a number", "a call", "another function", "broken", "a NUL", "too deep"],
)
def test_a_description_that_is_no_literal_gives_way_to_the_summary(source, install, get):
    install("a-provider", source=source, summary="A summary.")
    assert [p["description"] for p in get("providers")["providers"]] == ["A summary"]


def test_a_provider_that_says_nothing_of_itself_has_an_empty_description(install, get, tmp_path):
    install("a-provider")
    (tmp_path / "a_provider_info.py").unlink()
    assert [p["description"] for p in get("providers")["providers"]] == [""]


def test_the_code_of_a_provider_is_not_imported(install, get):
    install("a-provider", source=described("'A provider'"))
    before = set(sys.modules)
    assert get("providers")["total_entries"] == 1
    assert "a_provider_info" not in set(sys.modules) - before


def test_providers_need_their_own_right(as_user):
    assert as_user(permissions=["Providers.can_read"]).get(f"{API}/providers").status_code == 200
    assert_problem(as_user(permissions=["Plugins.can_read"]).get(f"{API}/providers"), 403, "Providers.can_read")


def test_parameters_that_airflow_ignores_are_ignored(client):
    assert client.get(f"{API}/providers?limit=1&offset=7").status_code == 200
