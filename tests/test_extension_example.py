"""The back end that docs/extensions.md shows is taken out of the page and put to work."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import pytest

from clients import API
from problems import assert_problem

PAGE = Path(__file__).parents[1] / "docs" / "extensions.md"
POINTED = re.compile(
    r'^    \[project\.entry-points\."(windsock\.auth_backends)"\]\n    (\w+) = "my_package:(\w+)"$', re.M
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The example as the module `my_package`, installed with the entry point that the page shows."""
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", PAGE.read_text("utf-8"), re.M)
    example = next(block for block in blocks if "def authenticate(" in block)
    (tmp_path / "my_package.py").write_text(textwrap.dedent(example), "utf-8")
    group, name, attribute = POINTED.search(PAGE.read_text("utf-8")).groups()
    installed = tmp_path / "my_package-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{group}]\n{name} = my_package:{attribute}\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop("my_package", None)


@pytest.mark.parametrize("by", ["import path", "entry point"])
def test_the_example_lets_in_whom_its_header_names(by, package, make_app, make_user):
    name = "my_package" if by == "import path" else package
    client = make_app({("api", "auth_backends"): name}).test_client()
    ada, gone = make_user("Viewer").username, make_user("Viewer", active=False).username
    assert client.get(f"{API}/pools", headers={"X-Forwarded-User": ada}).status_code == 200
    assert_problem(client.post(f"{API}/pools", json={}, headers={"X-Forwarded-User": ada}), 403, "Pools.can_create")
    for headers in ({}, {"X-Forwarded-User": "nobody"}, {"X-Forwarded-User": gone}):
        refused = client.get(f"{API}/pools", headers=headers)
        assert_problem(refused, 401)
        assert refused.headers["WWW-Authenticate"] == 'Forwarded realm="Windsock"'


def test_the_example_stands_beside_a_back_end_of_windsock(package, make_app, make_user):
    both = f"airflow.api.auth.backend.basic_auth, {package}"
    client = make_app({("api", "auth_backends"): both}).test_client()
    assert client.get(f"{API}/pools", headers={"X-Forwarded-User": make_user("Viewer").username}).status_code == 200
    basic, forwarded = client.get(f"{API}/pools").headers.getlist("WWW-Authenticate")
    assert basic.startswith("Basic realm=") and forwarded.startswith("Forwarded realm=")
