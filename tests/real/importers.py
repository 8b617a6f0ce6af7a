"""What Postman and Insomnia make of the document, sent as it was imported to a server with demo data.

    python tests/real/importers.py [--keep DIR]

Nothing is filled in but user and password. Exit status 1 unless every request is sent, every read answers 2xx, every
status is documented, and Insomnia has host, authentication and body of every request. Needs Node.js 20 and npm.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from demoserver import BIN, Server, demo
from windsock import published, spec

CONVERTER = "openapi-to-postmanv2@6.3.3", "openapi2postmanv2"
RUNNER = "newman@6.2.2", "newman"
INSOMNIA = "insomnia-importers@3.6.0", "insomnia-import"
OPERATIONS = {f"{one.method.upper()} {one.path}": one for one in spec.operations().values()}


def npx(program: tuple[str, str], *arguments: str | Path, cwd: Path) -> str:
    """Run a program of an npm package; what it printed. newman's status says only that a test of its own failed."""
    command = ["npx", "--yes", f"--package={program[0]}", "--", program[1], *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode and program is not RUNNER:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def download(server: Server, home: Path) -> Path:
    """The document as the Download button gives it."""
    file = home / "openapi.json"
    with urllib.request.urlopen(f"{server.url}/openapi.json", timeout=30) as response:
        file.write_bytes(response.read())
    return file


def convert(server: Server, home: Path) -> Path:
    """What Postman's importer makes of it, with the options as they come."""
    npx(CONVERTER, "--spec", download(server, home), "--output", home / "imported.json", cwd=home)
    return home / "imported.json"


def export(server: Server, home: Path) -> Path:
    """The collection that Windsock makes itself."""
    file = home / "exported.json"
    command = [BIN / "windsock", "spec", "export", "--format", "postman", "--server", server.url, "--output", file]
    subprocess.run(command, check=True)
    return file


# ---------------------------------------------------------------- Postman
def run(server: Server, home: Path, collection: Path) -> list[dict[str, Any]]:
    """Send the requests of a collection, one after the other, in its order."""
    report = collection.with_suffix(".report.json")
    user, password = server.admin
    npx(RUNNER, "run", collection, "--env-var", f"basicAuthUsername={user}", "--env-var",
        f"basicAuthPassword={password}", "--reporters", "json", "--reporter-json-export", report, cwd=home)  # fmt: skip
    return json.loads(report.read_text("utf-8"))["run"]["executions"]


def judge(name: str, executions: list[dict[str, Any]]) -> bool:
    """Print the figures of a run; whether all is well."""
    statuses: dict[str, int] = {}
    for execution in executions:
        key, answer = _operation(execution["item"]["request"]), execution.get("response")
        if answer is None:
            print(f"   {key}: not sent, {execution.get('requestError')}")
            continue
        statuses[key] = answer["code"]
        if answer["code"] >= 300:
            print(f"   {key}: {answer['code']} {bytes((answer.get('stream') or {}).get('data', ())).decode()}")
    documented = {key for key, code in statuses.items() if str(code) in OPERATIONS[key].raw["responses"]}
    wanted = {key for key, operation in OPERATIONS.items() if is_read(operation)}
    reads = {key for key in wanted if 200 <= statuses.get(key, 0) < 300}
    every = len(OPERATIONS)
    print(f"== {name}: {len(statuses)} of {every} requests sent, {len(reads)} of {len(wanted)} reads 2xx,"
          f" {len(documented)} of {every} statuses documented")  # fmt: skip
    return documented == OPERATIONS.keys() and reads == wanted


def _operation(request: dict[str, Any]) -> str:
    path = re.sub(r"/:(\w+)", r"/{\1}", "/" + "/".join(request["url"]["path"]))
    return f"{request['method']} {path}"


def is_read(operation: spec.Operation) -> bool:
    """Whether the operation only reads; the test of a connection is a deed, though it leaves no audit row."""
    return not operation.audit and operation.id != "test_connection"


# ---------------------------------------------------------------- Insomnia
def judge_insomnia(server: Server, home: Path) -> bool:
    """Print what Insomnia's importer got; whether that is all."""
    file = download(server, home)
    document = json.loads(file.read_text("utf-8"))
    found = json.loads(npx(INSOMNIA, file, cwd=home))["resources"]
    host = server.address.partition("//")[2]
    hosts = [one for one in found if one["_type"] == "environment" and one["data"].get("host") == host]
    requests = {f"{one['method']} {_plain(one['url'])}": one for one in found if one["_type"] == "request"}
    signed = bodies = 0
    for path, method, entry in published.operations(document):
        request = requests.get(f"{method.upper()} {path}", {})
        signed += request.get("authentication", {}).get("type") == ("basic" if entry["x-permission"] else None)
        body = json.loads(request.get("body", {}).get("text") or "null")
        media = entry.get("requestBody", {}).get("content", {}).get("application/json")
        bodies += body == (published.example(document, media) if media else None)
    print(f"== Insomnia's importer: {len(requests)} of {len(OPERATIONS)} requests, {len(hosts)} of 1 hosts,"
          f" {signed} of {len(OPERATIONS)} right in authentication, {bodies} in bodies")  # fmt: skip
    return bool(hosts) and {len(requests), signed, bodies} == {len(OPERATIONS)}


def _plain(url: str) -> str:
    """`{{ base_url }}/dags/{{ dag_id }}` as the document writes it, `/dags/{dag_id}`."""
    return re.sub(r"\{\{ (\w+) \}\}", r"{\1}", url).removeprefix("{base_url}")


def main() -> None:
    """Import, run and judge; exit with 1 unless all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", metavar="DIR", help="keep the collections and the reports in this directory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(options.keep or temporary).absolute()
        home.mkdir(parents=True, exist_ok=True)
        well = []
        for name, make in (("Postman's importer", convert), ("windsock spec export", export)):
            with demo({}) as server:  # as `windsock standalone` starts it
                well.append(judge(name, run(server, home, make(server, home))))
                if make is convert:
                    well.append(judge_insomnia(server, home))
    sys.exit(not all(well))


if __name__ == "__main__":
    main()
