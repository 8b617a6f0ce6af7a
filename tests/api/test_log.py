"""Logs of task instances: what a client reads, and where the server looks for it."""

from __future__ import annotations

import ast
import gzip
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer
from werkzeug.wrappers import Response

import factories as f
from clients import API, SETTINGS
from logservers import LogServer, log_server
from problems import assert_problem
from windsock.models import LogTemplate

KEY = str(SETTINGS["webserver", "secret_key"])
FOLDER = f"dag_id={f.DAG_ID}/run_id={f.RUN_ID}/task_id={f.TASK_ID}"
FIRST = f"{FOLDER}/attempt=1.log"
JSON, TEXT = {"Accept": "application/json"}, {"Accept": "text/plain"}
LINES = (
    "[2026-03-01T02:00:00.100+0000] {a.py:1} INFO - begin\n[2026-03-01T02:00:01.200+0000] {a.py:2} INFO - it's done\n"
)
WHEN = f.START.isoformat()
BEGIN, END = " INFO - ::group::Log message source details\n", " INFO - ::endgroup::\n"


class Logs:
    """A log folder, and the API over it."""

    def __init__(self, base: Path, client: Any) -> None:
        self.base, self.client = base, client

    def write(self, path: str = FIRST, text: str | bytes = LINES) -> Path:
        file = self.base / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def get(self, number: int = 1, headers: Any = TEXT, run_id: str = f.RUN_ID, **query: Any) -> Any:
        url = f"{API}/dags/{f.DAG_ID}/dagRuns/{quote(run_id, safe='')}/taskInstances/{f.TASK_ID}/logs/{number}"
        return self.client.get(url, query_string=query, headers=headers)

    def text(self, number: int = 1, **query: Any) -> str:
        response = self.get(number, **query)
        assert (response.status_code, response.content_type) == (200, "text/plain; charset=utf-8")
        return response.get_data(as_text=True)

    def json(self, **query: Any) -> tuple[list[tuple[str, str]], str]:
        """Host and text of each part, and the token."""
        response = self.get(headers=JSON, **query)
        assert (response.status_code, response.content_type) == (200, "application/json")
        body = response.get_json()
        assert list(body) == ["content", "continuation_token"]
        content = ast.literal_eval(body["content"])
        assert repr(content) == body["content"]
        return content, body["continuation_token"]


@pytest.fixture
def logs_with(tmp_path: Path, make_app: Any, as_user: Any) -> Callable[..., Logs]:
    """`logs_with({(section, key): value})`: a log folder of an application with further settings."""

    def logs_with(more: Any = ()) -> Logs:
        base = tmp_path / "logs"
        base.mkdir(exist_ok=True)
        return Logs(base, as_user("Admin", of=make_app({("logging", "base_log_folder"): base, **dict(more)})))

    return logs_with


@pytest.fixture
def logs(logs_with: Any) -> Logs:
    return logs_with()


@pytest.fixture
def ti(add: Any) -> Any:
    """A task instance that has ended, on worker-1."""
    add(f.dag(), f.dag_run())
    return add(f.task_instance())


def local(*files: Path) -> str:
    return "*** Found local files:\n" + "".join(f"***   * {file}\n" for file in files)


# ---------------------------------------------------------------- shapes
def test_text_has_the_host_then_the_files_then_the_log(ti, logs):
    file = logs.write()
    assert logs.text() == f"worker-1\n{BEGIN}{local(file)}{END}{LINES}"


def test_json_has_the_notation_of_python_and_a_token(ti, logs):
    file = logs.write()
    content, token = logs.json()
    assert content == [("worker-1", f"{BEGIN}{local(file)}{END}{LINES[:-1]}")]
    assert URLSafeSerializer(KEY).loads(token) == {"end_of_log": True, "log_pos": len(LINES) - 1}


def test_accept_decides_between_text_and_json(ti, logs):
    logs.write()
    kinds = {accept: logs.get(headers={"Accept": accept}).mimetype for accept in ("*/*", "text/html, */*;q=0.1")}
    assert set(kinds.values()) == {"text/plain"}
    assert logs.get(headers={}).mimetype == "application/json"
    assert logs.get(headers={"Accept": "application/json, text/plain;q=0.5"}).mimetype == "application/json"
    assert_problem(logs.get(headers={"Accept": "image/png"}), 406)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), min_size=1), max_size=5))
def test_json_and_text_agree_on_any_text(ti, logs, parts):
    logs.write(text="\n".join(parts))
    (_, shown), token = logs.json()[0][0], logs.json()[1]
    expected = [line for line in "\n".join(parts).splitlines() if line]
    kept = [line for number, line in enumerate(expected) if number == 0 or line != expected[number - 1]]
    assert shown.partition(END)[2] == "\n".join(kept)
    assert URLSafeSerializer(KEY).loads(token)["log_pos"] == len("\n".join(kept))
    assert logs.text() == f"worker-1\n{shown}\n"


def test_empty_lines_and_repetitions_are_left_out(ti, logs):
    logs.write(text="a\n\n\na\nb\na\r\n")
    assert logs.text().partition(END)[2] == "a\nb\na\n"


def test_bytes_that_are_no_utf_8_are_replaced(ti, logs):
    logs.write(text=b"caf\xe9\nfin\n")
    assert logs.text().partition(END)[2] == "caf\N{REPLACEMENT CHARACTER}\nfin\n"


@pytest.mark.parametrize("number", [0, -1])
def test_a_try_below_one_says_so(number, ti, logs):
    note = f"Error fetching the logs. Try number {number} is invalid."
    assert logs.text(number) == f"default_host\n{note}\n"
    content, token = logs.json(number=number)
    assert content == [("default_host", note)]
    assert URLSafeSerializer(KEY).loads(token) == {"end_of_log": True}


def test_an_unknown_task_instance_is_not_found(ti, logs):
    assert_problem(logs.get(map_index=3), 404, "map_index 3")
    assert_problem(logs.get(run_id="other"), 404, "other")


def test_a_try_that_has_not_begun_has_no_log_and_no_reason(add, ti, logs, session):
    ti.state, ti.hostname = None, ""
    session.commit()
    assert logs.text() == f"\n{BEGIN}{END}\n"


# ---------------------------------------------------------------- tokens
def test_a_token_leads_on_from_where_the_answer_ended(ti, logs, session):
    ti.state = "running"
    session.commit()
    file = logs.write()
    _, token = logs.json()
    assert URLSafeSerializer(KEY).loads(token)["end_of_log"] is False
    assert logs.json(token=token)[0] == [("worker-1", "")]
    file.write_text(LINES + "[2026-03-01T02:00:02.300+0000] more\n")
    content, last = logs.json(token=token)
    assert content == [("worker-1", "\n[2026-03-01T02:00:02.300+0000] more")]
    assert logs.json(token=last)[0] == [("worker-1", "")]
    assert logs.json(token=token, full_content="true")[0] == content
    assert logs.text(token=token).startswith("worker-1\n" + BEGIN)  # as in Airflow: text is always whole


def test_an_earlier_try_of_a_running_task_instance_has_ended(ti, logs, session):
    ti.state, ti.try_number = "running", 2
    session.commit()
    logs.write()
    assert URLSafeSerializer(KEY).loads(logs.json()[1])["end_of_log"] is True


def test_a_token_that_airflow_has_recorded_is_taken_and_given(ti, logs_with):
    logs = logs_with({("webserver", "secret_key"): "windsock-peer-secret-key-0123456789"})
    recorded = "eyJlbmRfb2ZfbG9nIjp0cnVlLCJsb2dfcG9zIjo5Nzg3fQ.QN_LvWiLOBjcNV3PPE5tM36W2ng"
    logs.write(text="x" * 9787)
    assert logs.json()[1] == recorded
    assert logs.json(token=recorded) == ([("worker-1", "")], recorded)


@pytest.mark.parametrize("payload", [{"log_pos": -1}, {"log_pos": "1"}, [], "text", None])
def test_a_token_of_another_key_or_form_is_refused(payload, ti, logs):
    logs.write()
    good = URLSafeSerializer(KEY).dumps({"log_pos": 0})
    forged = [
        good + "x",
        "x",
        "\N{SNOWMAN}",
        URLSafeSerializer("other").dumps({}),
        URLSafeSerializer(KEY).dumps(payload),
    ]
    for token in forged:
        for headers in (JSON, TEXT):
            assert_problem(logs.get(headers=headers, token=token), 400, "token")


# ---------------------------------------------------------------- much
def test_tail_gives_the_last_lines_and_a_token_for_what_follows(ti, logs):
    file = logs.write(text="".join(f'"line" {n}\n' for n in range(5000)))
    assert logs.text(tail=2) == f'worker-1\n{BEGIN}{local(file)}{END}"line" 4998\n"line" 4999\n'
    content, token = logs.json(tail=1)
    assert content[0][1].endswith(f'{END}"line" 4999')
    file.write_text(file.read_text() + "new\n")
    assert logs.json(token=token)[0] == [("worker-1", "\nnew")]


@pytest.mark.parametrize("tail", [0, -1, 10001, "all"])
def test_tail_is_a_number_within_bounds(tail, ti, logs):
    assert_problem(logs.get(tail=tail), 400, "tail")


@pytest.mark.parametrize("end", ["\n", " "], ids=["many lines", "one line"])
@pytest.mark.parametrize("headers", [TEXT, JSON], ids=["text", "json"])
def test_a_large_log_is_never_in_memory_as_a_whole(end, headers, ti, logs):
    size = 64 * 1024 * 1024
    with logs.write(text="").open("w") as written:
        written.writelines(f"{number:>1023}{end}" for number in range(size // 1024))
    response = logs.get(headers=headers)
    tracemalloc.start()
    try:
        received = sum(len(piece) for piece in response.iter_encoded())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received > size * 0.99
    assert peak < size / 2


def test_the_files_of_an_answer_are_closed_though_nobody_reads_it(ti, logs):
    file = logs.write()
    for headers in (TEXT, JSON):
        response = logs.get(headers=headers)
        response.close()
    links = {os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink() and entry.exists()}
    assert str(file) not in links


# ---------------------------------------------------------------- files
def test_the_parts_of_a_trigger_are_merged_by_time(ti, logs):
    first = logs.write(
        text="[2026-03-01T02:00:00.000+0000] worker\n  its trace\n[2026-03-01T02:00:09.000+0000] again\n"
    )
    other = logs.write(FIRST + ".trigger.7.log", "[2026-03-01T03:00:05.000+0100] trigger\n")
    assert logs.text() == (
        f"worker-1\n{BEGIN}{local(first, other)}{END}[2026-03-01T02:00:00.000+0000] worker\n  its trace\n"
        "[2026-03-01T03:00:05.000+0100] trigger\n[2026-03-01T02:00:09.000+0000] again\n"
    )


def test_lines_of_processes_that_overtook_each_other_are_put_in_order(ti, logs):
    late, early = LINES.splitlines()[::-1]
    logs.write(text=f"no time yet\n{late}\n{early}\n")
    assert logs.text().partition(END)[2] == f"no time yet\n{LINES}"


def test_only_parts_of_this_try_are_read(ti, logs):
    own = [logs.write(FIRST + suffix, f"{suffix}\n") for suffix in ("", ".1", ".scheduler.log", ".trigger.1.log")]
    for foreign in ("attempt=10.log", "attempt=1.logs", "attempt=1.log.d/x", "attempt=1.log.trigger.1.log.gz"):
        logs.write(f"{FOLDER}/{foreign}", gzip.compress(b"foreign"))
    assert logs.text().partition(END)[0].count("***   * ") == len(own)


def test_the_log_of_a_mapped_instance_lies_in_a_folder_of_its_own(ti, add, logs):
    add(f.task_instance(map_index=2, hostname="worker-2"))
    logs.write(f"{FOLDER}/map_index=2/attempt=1.log", "mapped\n")
    assert logs.text(map_index=2).endswith(f"{END}mapped\n")
    assert "mapped" not in logs.text()


@pytest.mark.parametrize("run_id", ["with/slash", "a*b", "[x]", "50%", "é ü"])
def test_ids_of_any_text_name_their_own_folder(run_id, ti, add, logs):
    add(f.dag_run(run_id=run_id), f.task_instance(run_id=run_id))
    logs.write(f"dag_id={f.DAG_ID}/run_id={run_id}/task_id={f.TASK_ID}/attempt=1.log", "mine\n")
    logs.write(f"dag_id={f.DAG_ID}/run_id=axb/task_id={f.TASK_ID}/attempt=1.log", "not mine\n")
    assert logs.text(run_id=run_id).endswith(f"{END}mine\n")


# ---------------------------------------------------------------- templates
@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{{ ti.dag_id }}/{{ ti.task_id }}/{{ ts }}/{{ try_number }}.log", f"etl/extract/{WHEN}/1.log"),
        ("{{ dag_run.run_id | replace(':', '_') | lower }}.log", "scheduled__2026-03-01t02_00_00+00_00.log"),
        ("{{ execution_date.strftime('%Y/%m') }}/{{ ds_nodash }}.log", "2026/03/20260301.log"),
        ("{{ logical_date }}/{{ data_interval_end.date() }}.log", f"{WHEN}/2026-03-01.log"),
        ("{{ task.task_id if ti.map_index < 0 else ti.map_index }}.log", "extract.log"),
        ("{dag_id}-{task_id}-{run_id}-{try_number}", f"etl-extract-{f.RUN_ID}-1"),
        ("{execution_date}/{map_index}.log", f"{WHEN}/-1.log"),
    ],
)
def test_the_path_comes_from_the_template(template, path, add, logs_with):
    add(f.dag(), f.dag_run(execution_date=f.START), f.task_instance())
    logs = logs_with({("logging", "log_filename_template"): template})
    logs.write(path, "found\n")
    assert logs.text().endswith(f"{END}found\n")


def test_the_template_of_the_run_counts_only_when_a_setting_says_so(add, logs_with):
    old, new = (
        add(LogTemplate(filename=name, elasticsearch_id="")) for name in ("old-{run_id}.log", "new-{run_id}.log")
    )
    add(f.dag(), f.dag_run(log_template_id=old.id), f.dag_run(run_id="late", log_template_id=new.id))
    add(f.task_instance(), f.task_instance(run_id="late"))
    for historical in (True, False):
        logs = logs_with({("logging", "use_historical_filename_templates"): historical})
        logs.write(f"old-{f.RUN_ID}.log", "old\n"), logs.write("new-late.log", "new\n"), logs.write(text="present\n")
        assert logs.text().partition(END)[2] == ("old\n" if historical else "present\n")
    assert logs_with({("logging", "use_historical_filename_templates"): True}).text(run_id="late").endswith("new\n")


def test_a_template_with_more_than_paths_need_is_refused_and_the_answer_says_why(ti, logs_with):
    for template in (
        "{{ macros.ds_add(ds, 1) }}.log",
        "{{ conf.get('core', 'fernet_key') }}",
        "{dag_id!r}",
        "{nothing}",
        "{{ 1",
    ):
        text = logs_with({("logging", "log_filename_template"): template}).text()
        assert "*** Could not read logs: the template of log file names is refused: " in text, template


# ---------------------------------------------------------------- log servers
@pytest.fixture
def worker() -> Iterator[Callable[..., Any]]:
    with log_server(KEY, lambda path: Response(f"[2026-03-01T02:00:05.000+0000] served {path}\n")) as server:
        yield server


def asking(server: LogServer, **more: Any) -> dict[Any, Any]:
    ports = {("logging", f"{kind}_log_server_port"): server.port for kind in ("worker", "trigger")}
    return {**ports, ("windsock", "log_server_hosts"): "127.0.0.*", ("webserver", "log_fetch_timeout_sec"): 0.5}


def test_a_running_try_is_read_from_its_worker_with_a_token_for_this_file(ti, session, logs_with, worker):
    ti.state, ti.hostname = "running", "127.0.0.1"
    session.commit()
    logs = logs_with(asking(worker))
    file = logs.write()
    url = f"http://127.0.0.1:{worker.port}/log/{FIRST}"
    served = f"[2026-03-01T02:00:05.000+0000] served {FIRST}\n"
    expected = f"127.0.0.1\n{BEGIN}{local(file)}*** Found logs served from host {url}\n{END}{LINES}{served}"
    assert logs.text() == expected
    ((_, claims),) = worker.asked
    assert claims["filename"] == FIRST and 0 < claims["exp"] - claims["iat"] <= 30 and claims["nbf"] == claims["iat"]
    assert logs.json()[0][0][1] == expected.partition("\n")[2][:-1]


def test_a_deferred_try_is_read_from_its_triggerer(ti, add, session, logs_with, worker):
    job = add(f.job(hostname="127.0.0.1"))
    trigger = add(f.trigger(triggerer_id=job.id))
    ti.state, ti.trigger_id = "deferred", trigger.id
    session.commit()
    assert logs_with(asking(worker)).text().endswith(f"served {FIRST}.trigger.{job.id}.log\n")


def test_ids_of_any_text_reach_the_worker(ti, add, logs_with, worker):
    run_id = "a/b c%2Fd?e#f é"
    add(f.dag_run(run_id=run_id), f.task_instance(run_id=run_id, hostname="127.0.0.1", state="running"))
    served = f"served dag_id={f.DAG_ID}/run_id={run_id}/task_id={f.TASK_ID}/attempt=1.log\n"
    assert logs_with(asking(worker)).text(run_id=run_id).endswith(served)


@pytest.mark.parametrize("state", ["success", "failed", "up_for_retry"])
def test_a_try_that_has_ended_is_asked_for_only_if_nothing_is_left_of_it(state, ti, session, logs_with, worker):
    ti.state, ti.hostname = state, "127.0.0.1"
    session.commit()
    logs = logs_with(asking(worker))
    assert logs.text().endswith(f"served {FIRST}\n")
    logs.write()
    assert logs.text().endswith(LINES)
    assert len(worker.asked) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Response(status=404), "does not exist"),
        (Response(status=403), "secret_key"),
        (Response(status=500), "answers 500"),
        (Response(status=302, headers={"Location": "http://127.0.0.1/elsewhere"}), "answers 302"),
    ],
)
def test_what_a_log_server_answers_instead_of_a_log_is_told(answer, said, ti, session, logs_with):
    ti.hostname = "127.0.0.1"
    session.commit()
    with log_server(KEY, lambda _: answer) as server:
        text = logs_with(asking(server)).text()
        assert "*** Could not read served logs: " in text and said in text
        assert len(server.asked) == 1


def test_a_log_server_that_is_silent_or_gone_is_told(ti, session, logs_with):
    ti.hostname = "127.0.0.1"
    session.commit()
    with log_server(KEY, lambda _: time.sleep(1.5) or Response("late")) as server:
        logs = logs_with(asking(server))
        assert "does not answer (TimeoutError)" in logs.text()
    assert "does not answer (ConnectionRefusedError)" in logs.text()


def test_without_a_key_nothing_is_asked(ti, session, logs_with, worker):
    ti.hostname = "127.0.0.1"
    session.commit()
    assert "secret_key is empty" in logs_with({**asking(worker), ("webserver", "secret_key"): ""}).text()
    assert worker.asked == []


@pytest.mark.parametrize(
    ("hosts", "host", "asked"),
    [
        ("localhost", "LOCALHOST", True),
        ("local*", "localhost", True),
        ("other, localhost", "localhost", True),
        ("", "localhost", False),
        ("local", "localhost", False),
        ("*", "127.0.0.1", False),
        ("localhost", "localhost:80/x?", False),
        ("localhost", "localhost\n", False),
        ("*", "localhost#", False),
    ],
)
def test_the_hosts_that_may_be_asked_are_listed(hosts, host, asked, ti, session, logs_with, worker):
    ti.hostname = host
    session.commit()
    text = logs_with({**asking(worker), ("windsock", "log_server_hosts"): hosts}).text()
    assert (len(worker.asked) == 1) is asked
    assert ("is not in [windsock] log_server_hosts" in text) is not asked
