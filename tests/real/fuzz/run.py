"""Schemathesis with all checks against a server with demo data, as three callers; prints what each of them met.

    PYTHONPATH=tests python tests/real/fuzz/run.py [--quick] [--examples 20] [--seed 1] [--caller NAME]

Exit status 1 when a check failed or an answer was 500 or above. Operations that never answered 2xx are listed: of those
the fuzzing says little. Needs `schemathesis` beside `windsock`; `tox -e fuzz` installs both.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from demoserver import BIN, DAG, DATASET, MAPPED, PASSWORD, TASK, Server, basic, demo
from windsock import spec

HERE = Path(__file__).parent
CALLERS = ("admin", "one-dag", "nobody")
QUICK = {"caller": ["admin"], "examples": 3, "phases": "examples,fuzzing"}
#: What only operations that delete are sent to.
LOST_DAG, EMPTIED_DAG = "customer_segments", "supplier_feed"
LOST_URI, LOST_QUEUE = "file://models/demand/current", "s3://lake/stock/snapshot.parquet"
HOUSE = {
    "connection_id": ("/connections", "connections", "connection_id"),
    "event_log_id": ("/eventLogs", "event_logs", "event_log_id"),
    "pool_name": ("/pools", "pools", "name"),
    "role_name": ("/roles", "roles", "name"),
    "username": ("/users", "users", "username"),
    "variable_key": ("/variables", "variables", "key"),
}
#: What neither may be renamed nor loses its rights here.
KEPT = ("admin", "default_pool", "Admin", "Op", "Public", "User", "Viewer")
DELETES = {
    "delete_connection": "connection_id",
    "delete_pool": "pool_name",
    "delete_role": "role_name",
    "delete_user": "username",
    "delete_variable": "variable_key",
}


def identifiers(server: Server) -> dict[str, Any]:
    """What hooks.py tells Schemathesis: identifiers for all operations, for single ones, and examples of bodies."""
    run = server.ask(f"/dags/{DAG}/dagRuns?state=success&limit=1")["dag_runs"][0]["dag_run_id"]
    everywhere = {
        "dag_id": [DAG],
        "dag_run_id": [run],
        "task_id": [TASK],
        "xcom_key": ["return_value"],
        "map_index": [0, 1, 2],
        "task_try_number": [1],
        "file_token": [server.ask(f"/dags/{DAG}")["file_token"]],
        "uri": [DATASET],
        "section": ["core"],
        "option": ["parallelism"],
        "import_error_id": [server.add_import_error()],
    }
    for name, (path, plural, member) in HOUSE.items():
        rows = [row[member] for row in server.ask(f"{path}?limit=100")[plural]]
        everywhere[name] = [row for row in rows if row not in KEPT][:3]
    return {
        "all": everywhere,
        "operations": _mapped() | _any(run) | _lost(server),
        "masks": {"patch_dags": ["is_paused"], "patch_dag": ["is_paused"]},
        "bodies": {"test_connection": {"example": _itself(server)}},
    }


def _mapped() -> dict[str, Any]:
    """Operations on instances of mapped tasks, and those that `map_index` in the query sends there."""
    known = spec.operations().values()
    mapped = [one.id for one in known if "map_index" in one.path_names] + ["get_mapped_task_instances"]
    both = ("get_xcom_entry", "get_extra_links", "get_log")
    return {name: {"task_id": [MAPPED]} for name in mapped} | {name: {"task_id": [MAPPED, TASK]} for name in both}


def _any(run: str) -> dict[str, Any]:
    """Operations in which `~` stands for any."""
    dag, runs, task = {"dag_id": [DAG, "~"]}, {"dag_run_id": [run, "~"]}, {"task_id": [TASK, "~"]}
    return {"get_dag_runs": dag, "get_task_instances": dag | runs, "get_xcom_entries": dag | runs | task}


def _lost(server: Server) -> dict[str, Any]:
    """What may be deleted; the rows are made here."""
    names = [f"spare-{number}" for number in range(3)]
    for number, name in enumerate(names):
        server.ask("/connections", {"connection_id": name, "conn_type": "http"})
        server.ask("/pools", {"name": name, "slots": 1})
        server.ask("/roles", {"name": name, "actions": []})
        server.ask("/variables", {"key": name, "value": "x"})
        server.ask(f"/dags/{DAG}/dagRuns", {"dag_run_id": name, "logical_date": f"2026-02-0{number + 1}T00:00:00Z"})
        add_user(server, name, "Viewer")
    server.queue_datasets(DAG, EMPTIED_DAG)
    return {operation: {member: names} for operation, member in DELETES.items()} | {
        "delete_dag": {"dag_id": [LOST_DAG]},
        "delete_dag_run": {"dag_run_id": names},
        "delete_dag_dataset_queued_events": {"dag_id": [EMPTIED_DAG]},
        "delete_dag_dataset_queued_event": {"uri": [LOST_QUEUE]},
        "delete_dataset_queued_events": {"uri": [LOST_URI]},
    }


def _itself(server: Server) -> dict[str, Any]:
    """A connection to the only host that may be tested."""
    host, _, port = server.url.split("/")[2].partition(":")
    return {"connection_id": "itself", "conn_type": "http", "host": host, "port": int(port)}


def add_user(server: Server, name: str, role: str) -> None:
    """A user with one role and the password of this test."""
    person = {"username": name, "email": f"{name}@example.com", "first_name": "F", "last_name": "L"}
    server.ask("/users", {**person, "password": PASSWORD, "roles": [{"name": role}]})


def add_caller(server: Server) -> None:
    """`one-dag` may do everything that an Admin may, but only to one DAG, and to those that are there to be lost."""
    dags = [f"DAG:{name}" for name in (DAG, LOST_DAG, EMPTIED_DAG)]
    for name in dags:
        _add_resource(server, name)
    rights = [(r["action"]["name"], r["resource"]["name"]) for r in server.ask("/roles/Admin")["actions"]]
    rights = [(action, name) for action, resource in rights for name in (dags if resource == "DAGs" else [resource])]
    actions = [{"action": {"name": action}, "resource": {"name": resource}} for action, resource in rights]
    server.ask("/roles", {"name": "one DAG", "actions": actions})
    add_user(server, "one-dag", "one DAG")


def _add_resource(server: Server, name: str) -> None:
    """As Airflow does for a DAG with an access_control of its own."""
    with server.database() as database:
        (number,) = database.execute("INSERT INTO ab_view_menu (name) VALUES (?) RETURNING id", (name,)).fetchone()
        actions = "SELECT id, ? FROM ab_permission"
        database.execute(f"INSERT INTO ab_permission_view (permission_id, view_menu_id) {actions}", (number,))


# ---------------------------------------------------------------- the run
class Reason(NamedTuple):
    """Why a failed check is no failure; every pattern has to be found in its text."""

    check: str
    operation: str
    detail: str
    reason: str


_LISTS = r"^GET .*/(dagRuns|taskInstances|tries|listMapped|xcomEntries)$"
_ALSO_AN_ID = r" (/connections/test|/dags/~/dagRuns/list|/dags/~/dagRuns/~/taskInstances/list)$"
#: Path parameters have enums in hooks.py only, and in a query any text is an array of one text. The pattern admits no
#: other violation beside; but Schemathesis names a bound along with the enum when either may be violated.
_ONE_OF_OURS = (
    r"Invalid component:( parameters? [`\w, ]+ in path)?( - (path: )?(incorrect type|invalid enum value|"
    r"violates (`m(ax|in)imum`, )?`enum` at /properties/\w+)"
    r"| - query: violates `type` at /properties/\w+ \(was array, became \w+\))+$"
)
EXPLAINED = [
    Reason("positive_data_acceptance", r"^PATCH ", r"^update_mask: '\w+' is not in the request body",
           "mask and body have to go together"),
    Reason("positive_data_acceptance", r"^PATCH ", r"^Member '\w+' cannot be changed; it is ",
           "the identifier in the body has to be that of the path"),
    Reason("positive_data_acceptance", r"/roles|/users", r"there is no (action|resource|role) '",
           "names of rows that are not there"),
    Reason("positive_data_acceptance", r"^POST /dags/{dag_id}/dagRuns$", r"given together|mean the same but differ",
           "members that need or exclude each other"),
    Reason("positive_data_acceptance", r"^POST /dags/{dag_id}/dagRuns$", r"^Member 'dag_run_id' does not match",
           "which identifiers are allowed is a setting"),
    Reason("positive_data_acceptance", r"^POST /dags/{dag_id}/(clear|update)TaskInstances", r"exclude each other|give"
           r" them alone|^Name the run by either", "members that need or exclude each other"),
    Reason("positive_data_acceptance", r"^POST /dags/{dag_id}/clearTaskInstances$", r"^task_ids: .* is no task",
           "OpenAPI 3.0 cannot say which half of a pair is a text and which a number"),
    Reason("positive_data_acceptance", r"^POST /connections$", r"^Member 'connection_id' must consist of 1 to 200",
           "letters of every script are allowed, for which patterns of OpenAPI 3.0 have no word"),
    Reason("positive_data_acceptance", r"^POST /connections/test$", r"^Member 'conn_type' is missing",
           "the body is a connection, of which only this has to be known, and only where tests are allowed"),
    Reason("positive_data_acceptance", r"^POST /connections/test$", r"^Member '\w+' holds \*\*\*",
           "a secret that an answer has masked is no secret to test with"),
    Reason("positive_data_acceptance", r"", r"^cursor: (a page starts|order_by=)",
           "cursor and offset exclude each other, and values that may be long have no cursor"),
    Reason("positive_data_acceptance", r"/logs/{task_try_number}$", r"^token: this server has not issued it",
           "a token is what an answer before has brought"),
    Reason("positive_data_acceptance", r"^POST ", r"^Header Idempotency-Key: this key came with another body",
           "a key belongs to one request"),
    Reason("negative_data_rejection", _LISTS, _ONE_OF_OURS, "a list below an unknown id is empty, as in Airflow"),
    Reason("negative_data_rejection", r"/(connections|pools|roles|users|variables)/{\w+}$", _ONE_OF_OURS,
           "any text may be an id, and this run makes rows with such"),
    Reason("unsupported_method", _ALSO_AN_ID, "", "the last part of the path is an id to other methods"),
    Reason("allow_header_conformance", _ALSO_AN_ID, "", "the last part of the path is an id to other methods"),
]  # fmt: skip


def fuzz(server: Server, caller: str, ids: Path, options: argparse.Namespace) -> int:
    """Run Schemathesis as one caller and print what it met; return the number of unexplained failures."""
    report, log = ids.with_name(f"{caller}.ndjson"), ids.with_name(f"{caller}.txt")
    headers = {"admin": basic(*server.admin), "one-dag": basic("one-dag", PASSWORD)}
    command = [
        str(BIN / "schemathesis"), "run", f"{server.url}/openapi.json", "--checks", "all", "--continue-on-failure",
        "--max-examples", str(options.examples), "--seed", str(options.seed), "--phases", options.phases,
        "--generation-allow-x00", "false", "--report", "ndjson", "--report-ndjson-path", str(report), "--no-color",
        *(["--header", f"Authorization:{headers[caller]}"] if caller in headers else []),
    ]  # fmt: skip
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"), "WINDSOCK_FUZZ_IDS": str(ids)}
    with open(log, "w", encoding="utf-8") as out:
        subprocess.run(command, env=environ, stdout=out, stderr=subprocess.STDOUT, check=False, cwd=ids.parent)
    summary = Summary(report, caller) if report.exists() else None
    if summary is None or not summary.statuses:
        raise SystemExit(log.read_text("utf-8"))
    return summary.show()


class Summary:
    """What a report of Schemathesis says."""

    def __init__(self, report: Path, caller: str) -> None:
        operations = {f"{one.method.upper()} {one.path}": one for one in spec.operations().values()}
        self.caller = caller
        self.closed = {name for name, one in operations.items() if caller == "nobody" and not one.public}
        self.open = operations.keys() - self.closed
        self.statuses: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
        self.explained: collections.Counter[str] = collections.Counter()
        self.failures: dict[tuple[str, str, str], str] = {}
        with open(report, encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                if "ScenarioFinished" in event:
                    self._add(event["ScenarioFinished"]["recorder"])

    def _add(self, recorder: dict[str, Any]) -> None:
        for case_id, met in recorder.get("interactions", {}).items():
            case, answer = recorder["cases"][case_id]["value"], met["response"]
            if answer is None:
                self.failures["no answer", case["method"] + " " + case["path"], ""] = met["request"]["uri"]
                continue
            name = f"{case['method']} {case['path']}"
            self.statuses[name][answer["status_code"]] += 1
            if answer["status_code"] >= 500:
                self.failures["5xx", name, _detail(answer)] = met["request"]["uri"]
            if answer["status_code"] not in (401, 404, 405) and name in self.closed and case["method"] != "OPTIONS":
                self.failures["let in", name, str(answer["status_code"])] = met["request"]["uri"]
            for check in recorder.get("checks", {}).get(case_id, ()):
                if check["status"] != "success":
                    self._judge(check, name, met)

    def _judge(self, check: dict[str, Any], name: str, met: dict[str, Any]) -> None:
        failure = check["failure_info"]["failure"]
        told = " ".join(f"{failure['title']}. {failure['message']}".split())
        detail = _detail(met["response"]) or told
        if check["name"] == "negative_data_rejection" and _only_empty(told, met["request"]["uri"]):
            self.explained["negative_data_rejection: an optional parameter that is sent empty counts as left out"] += 1
            return
        for known in EXPLAINED:
            if known.check == check["name"] and re.search(known.operation, name) and re.search(known.detail, detail):
                self.explained[f"{known.check}: {known.reason}"] += 1
                return
        self.failures.setdefault((check["name"], name, detail[-200:]), met["request"]["uri"])

    def show(self) -> int:
        """Print the figures; return the number of failures."""
        total = sum(sum(counts.values()) for counts in self.statuses.values())
        silent = sorted(n for n in self.open if not any(200 <= status < 300 for status in self.statuses[n]))
        good = f"{len(self.open) - len(silent)} of {len(self.open)} operations answered 2xx"
        print(f"\n== {self.caller}: {total} answers, {good}", f"({len(self.closed)} are closed)" if self.closed else "")
        for name in silent:
            print(f"   never 2xx: {name} {dict(self.statuses[name])}")
        for reason, count in sorted(self.explained.items()):
            print(f"   explained {count} x {reason}")
        for (check, name, detail), uri in sorted(self.failures.items()):
            print(f"   FAILED {check} | {name} | {detail!r} | {uri}")
        print(f"   {len(self.failures)} unexplained failures")
        return len(self.failures)


def _only_empty(told: str, uri: str) -> bool:
    """Whether nothing is wrong with a request but that query parameters are empty, as a cursor may be too."""
    wrong = re.search(r"Invalid component: parameters? ((?:`\w+`[, ]+)+)in query", told)
    empty = {name for name, value in parse_qsl(urlsplit(uri).query, keep_blank_values=True) if not value}
    return wrong is not None and set(re.findall(r"\w+", wrong[1])) <= empty


def _detail(answer: dict[str, Any]) -> str:
    content = base64.b64decode((answer.get("content") or {}).get("$base64", ""))
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        return str(json.loads(content).get("detail") or "")
    return ""


def main() -> None:
    """Start the server, run each caller, exit with 1 if anything is unexplained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20, help="per operation and phase; default: 20")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--phases", default="examples,coverage,fuzzing")
    parser.add_argument("--caller", choices=CALLERS, action="append", help="default: all, one after the other")
    parser.add_argument("--keep", metavar="DIR", help="keep the reports of Schemathesis in this directory")
    parser.add_argument("--quick", action="store_const", const=QUICK, default={}, help="for each commit: "
                        "an administrator, the examples of the document and 3 made up for each operation")  # fmt: skip
    options = parser.parse_args()
    vars(options).update(options.quick)
    failures = 0
    with tempfile.TemporaryDirectory() as temporary:
        ids = Path(options.keep or temporary).absolute() / "ids.json"
        ids.parent.mkdir(parents=True, exist_ok=True)
        for caller in options.caller or CALLERS:
            with demo() as server:
                found = identifiers(server) | {"credentials": caller != "nobody"}
                ids.write_text(json.dumps(found), "utf-8")
                add_caller(server)
                failures += fuzz(server, caller, ids, options)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
