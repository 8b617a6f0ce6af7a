"""Plugins: read from the metadata of installed distributions, whose code is never run."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import distributions
from clients import API, signed_in
from distributions import RAISES
from problems import assert_problem


@pytest.fixture
def install(tmp_path: Any) -> Any:
    """`install("a-package", "a_plugin")`: a distribution that declares a plugin of that name."""

    def install(name: str, plugin: str) -> None:
        distributions.write(tmp_path, name, {"airflow.plugins": f"{plugin} = {plugin}_module:Plugin"})

    with distributions.installed(tmp_path):
        yield install


def test_nothing_installed_is_an_empty_list(get):
    assert get("plugins") == {"plugins": [], "total_entries": 0}


def test_a_plugin_is_shown_with_its_source_and_without_what_only_its_code_knows(install, get):
    install("business-calendar", "calendar")
    entry = "EntryPoint(name='calendar', value='calendar_module:Plugin', group='airflow.plugins')"
    found = get("plugins")
    assert found["total_entries"] == 1
    shown = {name: value for name, value in found["plugins"][0].items() if value != []}
    assert shown == {"name": "calendar", "source": f"business-calendar==1.2.0: {entry}"}


def test_plugins_are_paged_and_ordered_by_their_distribution(install, client):
    for number in (3, 1, 2):
        install(f"package-{number}", f"plugin_{number}")
    response = client.get(f"{API}/plugins?limit=2")
    assert [plugin["name"] for plugin in response.get_json()["plugins"]] == ["plugin_1", "plugin_2"]
    assert 'rel="next"' in response.headers["Link"]
    rest = client.get(f"{API}/plugins?limit=2&offset=2")
    assert [plugin["name"] for plugin in rest.get_json()["plugins"]] == ["plugin_3"]
    assert rest.get_json()["total_entries"] == 3
    assert "Link" not in rest.headers
    assert_problem(client.get(f"{API}/plugins?limit=-1"), 400, "limit")


def test_the_code_of_a_plugin_is_not_imported(install, get):
    install("a-package", "a_plugin")
    assert get("plugins")["total_entries"] == 1
    assert "a_plugin_module" not in sys.modules


def test_the_files_in_the_folder_of_plugins_are_not_run(make_app, make_user, tmp_path):
    (tmp_path / "a_plugin.py").write_text(RAISES)
    app = make_app({("core", "plugins_folder"): str(tmp_path)})
    client = signed_in(app, make_user("Admin").username)
    assert client.get(f"{API}/plugins").get_json() == {"plugins": [], "total_entries": 0}


def test_plugins_need_their_own_right(as_user):
    assert as_user(permissions=["Plugins.can_read"]).get(f"{API}/plugins").status_code == 200
    assert_problem(as_user(permissions=["Providers.can_read"]).get(f"{API}/plugins"), 403, "Plugins.can_read")
