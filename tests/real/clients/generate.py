"""Clients that generators make from the served document have to compile, and then work against a demo server.

    PYTHONPATH=tests python tests/real/clients/generate.py [--only NAME] [--keep DIR]

Prints for each generator how many of the steps in generated/ work. Exit status 1 when one does not, or when something
does not compile. A language whose compiler is missing here is left out with a sentence that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from demoserver import DAG, Server, demo

HERE = Path(__file__).parent / "generated"
JAR = str(resources.files("openapi_generator_cli") / "openapi-generator.jar")
JAKARTA = "/usr/share/java/jakarta-annotation-api.jar"
GOCODE = "/usr/share/gocode"
#: All the code of a generator, without the tests that it makes, which need packages of their own.
MAKE = "java -jar {jar} generate --input-spec document.json --global-property apiTests=false,modelTests=false"
NPM = "npm install --silent --no-audit --no-fund typescript@5.9.3 @types/node@20.19.43"
TSC = "npx tsc --strict --target es2022 --module nodenext --outDir build"


class Generated(NamedTuple):
    """How a client is made, compiled and called, in a directory that holds `document.json`."""

    name: str
    calls: dict[str, str]  # files of generated/, and where they go
    commands: tuple[str, ...]
    run: str
    needs: tuple[str, ...]  # programs and files
    packages: str  # that have them
    environment: dict[str, str] = {}


GENERATED = (
    Generated(
        "openapi-generator: Python",
        {"calls.py": "calls.py"},
        (
            MAKE + " -g python -o client",
            "{python} -m venv env",
            "env/bin/python -m pip --disable-pip-version-check install --quiet ./client mypy types-python-dateutil",
            "env/bin/python -m mypy --strict-equality client/openapi_client calls.py",
        ),
        "env/bin/python calls.py",
        ("java",),
        "default-jre-headless",
    ),
    Generated(
        "openapi-generator: Go",
        {"calls.go": "src/calls/main.go"},
        (
            MAKE + " -g go -o src/windsock -p packageName=windsock",
            "go vet windsock calls",
            "go build -o made calls",
        ),
        "./made",
        ("java", "go", GOCODE + "/src/gopkg.in/validator.v2"),
        "default-jre-headless golang-go golang-gopkg-validator.v2-dev",
        {"GO111MODULE": "off", "GOPATH": "{here}:" + GOCODE, "GOFLAGS": ""},
    ),
    Generated(
        "openapi-generator: Java",
        {"Calls.java": "client/src/main/java/Calls.java"},
        (
            MAKE + " -g java -o client --library native -p openApiNullable=false,useJakartaEe=true",
            "find client/src/main/java -name *.java -fprint sources",
            "javac -Xlint:-options -nowarn -d made -cp {jar}:" + JAKARTA + " @sources",
        ),
        "java -cp made:{jar}:" + JAKARTA + " Calls",
        ("java", "javac", JAKARTA),
        "default-jdk-headless libjakarta-annotation-api-java",
    ),
    Generated(
        "openapi-generator: TypeScript (typescript-fetch)",
        {"calls.ts": "calls.ts", "steps.ts": "steps.ts"},
        (
            MAKE + " -g typescript-fetch -o client -p importFileExtension=.js",
            NPM,
            TSC + " calls.ts",
        ),
        "node build/calls.js",
        ("java", "node", "npm"),
        "default-jre-headless nodejs npm",
    ),
    Generated(
        "openapi-typescript with openapi-fetch",
        {"calls.openapi-fetch.ts": "calls.ts", "steps.ts": "steps.ts"},
        (
            NPM + " openapi-typescript@7.13.0 openapi-fetch@0.17.0",
            "npx openapi-typescript document.json --output v1.d.ts",
            TSC + " calls.ts",
        ),
        "node build/calls.js",
        ("node", "npm"),
        "nodejs npm",
    ),
)


def check(one: Generated, here: Path, server: Server) -> bool:
    """Make, compile and call one client, and print what came of it; return whether all is well."""
    print(f"\n== {one.name}: ", end="", flush=True)
    if missing := [need for need in one.needs if not shutil.which(need) and not Path(need).exists()]:
        print(f"left out, since this machine lacks {', '.join(missing)} (on Debian: apt install {one.packages})")
        return True
    for file, place in one.calls.items():
        (here / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / file, here / place)
    (here / "package.json").write_text('{"type": "module"}')
    urllib.request.urlretrieve(f"{server.url}/openapi.json", here / "document.json")
    words = {"jar": JAR, "python": sys.executable, "here": str(here)}
    environ = {**os.environ, **told(server), **{name: text.format(**words) for name, text in one.environment.items()}}
    for command in (*one.commands, one.run):
        parts = [part.format(**words) for part in command.split()]
        done = subprocess.run(parts, cwd=here, env=environ, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            print(f"FAILED at `{command}`:\n{(done.stdout + done.stderr)[-3000:]}")
            return False
    return show(json.loads(done.stdout.splitlines()[-1]))


def told(server: Server) -> dict[str, str]:
    """The variables by which the calls know what to call."""
    run = server.ask(f"/dags/{DAG}/dagRuns?state=success&limit=1")["dag_runs"][0]["dag_run_id"]
    user, password = server.admin
    words = {"URL": server.url, "USER": user, "PASSWORD": password, "DAG": DAG, "RUN": run}
    return {f"WINDSOCK_{name}": value for name, value in words.items()}


def show(results: dict[str, str | None]) -> bool:
    """Print the figures; return whether every step worked."""
    failures = {name: cause for name, cause in results.items() if cause}
    print(f"compiles; {len(results) - len(failures)} of {len(results)} steps work")
    for name, cause in failures.items():
        print(f"   FAILED {name}: {cause}")
    return not failures


def main() -> None:
    """Check the generators one after the other, each against a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose name contains this")
    parser.add_argument("--keep", metavar="DIR", help="keep what was made in this directory")
    options = parser.parse_args()
    fine = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, one in enumerate(GENERATED):
            if options.only in one.name:
                here = Path(options.keep or temporary).absolute() / str(number)
                here.mkdir(parents=True, exist_ok=True)
                with demo() as server:
                    fine.append(check(one, here, server))
    sys.exit(not all(fine))


if __name__ == "__main__":
    main()
