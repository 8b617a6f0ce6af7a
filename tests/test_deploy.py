"""The examples in `deploy/` name settings, paths and commands that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from windsock import spec
from windsock.cli import main
from windsock.settings import SETTINGS

DEPLOY = Path(__file__).parents[1] / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.is_file())
PUBLIC = {f"/api/v1{o.path}" for o in spec.operations().values() if o.public}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_variable_is_that_of_a_setting(file):
    known = {f"AIRFLOW__{s.section}__{s.key}".upper() for s in SETTINGS}
    assert set(re.findall(r"AIRFLOW__[A-Z_]+", file.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_path_of_the_api_is_public_unless_it_is_asked_for_with_a_name(file):
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if "--user" not in line]
    assert set(re.findall(r"/api/v1/\w+", "\n".join(lines))) <= PUBLIC


def _taken(arguments: list[str]) -> None:
    """Let the command line's own parser judge some arguments; it raises for what it does not know."""
    with main.make_context("windsock", arguments) as context:
        _, command, rest = main.resolve_command(context, arguments)
        command.make_context(command.name, rest)


def test_the_image_the_unit_and_the_pods_start_a_server_with_options_that_there_are():
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    _taken(yaml.safe_load(re.search(r"^CMD (\[.*\])$", image, re.MULTILINE)[1]))
    unit = (DEPLOY / "windsock.service").read_text(encoding="utf-8")
    _taken(shlex.split(re.search(r"^ExecStart=\S+/windsock (.*)$", unit, re.MULTILINE)[1]))
    _taken(_container()["args"])


def _container() -> dict[str, Any]:
    deployment, *_ = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    return deployment["spec"]["template"]["spec"]["containers"][0]


def test_no_probe_asks_the_database(make_app, statements):
    paths = {_container()[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    paths |= set(re.findall(r"/api/v1/\w+", (DEPLOY / "Dockerfile").read_text(encoding="utf-8")))
    client = make_app().test_client()
    with statements() as seen:
        assert {client.get(path).status_code for path in paths} == {200}
    assert seen == []
