"""Logs in remote folders: a real S3-compatible server, and plain files."""

from __future__ import annotations

import ast
import builtins
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import factories as f
from clients import API

moto_server = pytest.importorskip("moto.server", reason="the package moto[server] is not installed")
pytest.importorskip("s3fs", reason="the extra s3 is not installed")
import s3fs  # noqa: E402

PATH = f"dag_id={f.DAG_ID}/run_id={f.RUN_ID}/task_id={f.TASK_ID}/attempt=1.log"
URL = f"{API}/dags/{f.DAG_ID}/dagRuns/{f.RUN_ID}/taskInstances/{f.TASK_ID}/logs/1"
LINE = "[2026-03-01T02:00:01.200+0000] {a.py:2} INFO - kept in the bucket\n"
END = " INFO - ::endgroup::\n"


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, Any]]:
    """The address of an S3 server with the bucket `logs`, and a client of it."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    storage = s3fs.S3FileSystem(key="id", secret="secret", endpoint_url=endpoint, use_listings_cache=False)
    storage.makedirs("logs", exist_ok=True)  # the server keeps its buckets as long as the process lives
    yield endpoint, storage
    server.stop()


@pytest.fixture
def bucket(s3: Any) -> Iterator[Any]:
    """The bucket, emptied afterwards."""
    yield s3[1]
    if s3[1].find("logs"):
        s3[1].rm(s3[1].find("logs"))


@pytest.fixture
def reader(tmp_path: Path, make_app: Any, as_user: Any) -> Any:
    """`reader({...})` reads the log as text with further settings, or as `reader({...}, accept=...)` says."""

    def reader(more: Any, accept: str = "text/plain") -> Any:
        given = {("logging", "base_log_folder"): tmp_path / "logs", ("logging", "remote_logging"): True, **more}
        response = as_user("Admin", of=make_app(given)).get(URL, headers={"Accept": accept})
        assert response.status_code == 200
        return response.get_data(as_text=True) if accept == "text/plain" else response.get_json()

    return reader


@pytest.fixture
def ti(add: Any) -> Any:
    add(f.dag(), f.dag_run())
    return add(f.task_instance())


def on_s3(s3: Any, **options: Any) -> dict[Any, Any]:
    known = {"key": "id", "secret": "secret", "endpoint_url": s3[0], **options}
    return {
        ("logging", "remote_base_log_folder"): "s3://logs/airflow",
        ("windsock", "remote_log_options"): json.dumps(known),
    }


def test_a_log_in_a_bucket_is_read_and_named(ti, s3, bucket, reader):
    bucket.pipe(f"logs/airflow/{PATH}", LINE.encode())
    bucket.pipe(f"logs/airflow/{PATH}.trigger.3.log", LINE.replace("01.200", "00.000").encode())
    bucket.pipe(f"logs/airflow/{PATH.replace('attempt=1', 'attempt=10')}", b"foreign")
    named = "".join(f"***   * s3://logs/airflow/{PATH}{suffix}\n" for suffix in ("", ".trigger.3.log"))
    expected = f"*** Found logs in s3:\n{named}{END}{LINE.replace('01.200', '00.000')}{LINE}"
    assert reader(on_s3(s3)).endswith(expected)
    assert expected[:-1] in ast.literal_eval(reader(on_s3(s3), "application/json")["content"])[0][1]


def test_a_log_that_was_written_since_is_seen(ti, s3, bucket, reader):
    settings = on_s3(s3)
    assert "bucket" not in reader(settings)
    bucket.pipe(f"logs/airflow/{PATH}", LINE.encode())
    assert reader(settings).endswith(LINE)
    bucket.pipe(f"logs/airflow/{PATH}", (LINE * 2).replace("kept", "again", 1).encode())
    assert "again in the bucket" in reader(settings)


def test_a_large_log_in_a_bucket_is_read_to_its_end(ti, s3, bucket, reader):
    text = "".join(f"{number} {'x' * 990}\n" for number in range(12_000))
    bucket.pipe(f"logs/airflow/{PATH}", text.encode())
    assert reader(on_s3(s3)).endswith(END + text)


def test_the_local_log_counts_only_while_the_task_goes_on(ti, session, s3, bucket, reader, tmp_path):
    bucket.pipe(f"logs/airflow/{PATH}", LINE.encode())
    file = tmp_path / "logs" / PATH
    file.parent.mkdir(parents=True)
    file.write_text("local\n")
    assert "local\n" not in reader(on_s3(s3))
    ti.state = "up_for_retry"
    session.commit()
    assert reader(on_s3(s3)).endswith(f"***   * {file}\n{END}local\n{LINE}")


def test_the_connection_gives_the_credentials(ti, add, s3, bucket, reader, token):
    extra = token(json.dumps({"endpoint_url": s3[0], "region_name": "eu-north-1"}))
    given = {
        "login": "id",
        "password": token("secret"),
        "is_encrypted": True,
        "extra": extra,
        "is_extra_encrypted": True,
    }
    add(f.connection("logs_s3", conn_type="aws", **given))
    bucket.pipe(f"logs/airflow/{PATH}", LINE.encode())
    base = {("logging", "remote_base_log_folder"): "s3://logs/airflow/", ("logging", "remote_log_conn_id"): "logs_s3"}
    assert reader(base).endswith(LINE)


def test_storage_that_fails_is_told_and_shows_no_secret(ti, s3, reader):
    gone = on_s3(s3, endpoint_url="http://127.0.0.1:9", config_kwargs={"retries": {"max_attempts": 0}})
    for settings in (gone, {**on_s3(s3), ("windsock", "remote_log_options"): "{not json"}):
        text = reader(settings)
        assert "*** Could not read remote logs in s3://logs/airflow: " in text
        assert "secret" not in text


@pytest.mark.parametrize("base", ["cloudwatch://group", "http://127.0.0.1:9/", "hdfs://x", "memory://x", ""])
def test_other_kinds_of_storage_are_refused_by_name(base, ti, reader):
    text = reader({("logging", "remote_base_log_folder"): base})
    assert f"*** Could not read remote logs: {base.partition(':')[0]!r} is none of s3, gs, wasb and file\n" in text


@pytest.mark.parametrize(("base", "extra"), [("s3://b", "s3"), ("gs://b", "gcs"), ("wasb-logs", "azure")])
def test_a_missing_extra_is_named(base, extra, ti, reader, monkeypatch):
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "fsspec":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    settings = {("logging", "remote_base_log_folder"): base, ("windsock", "remote_log_options"): '{"anon": true}'}
    assert f"install windsock[{extra}]" in reader(settings)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_of_plain_files_serves_as_well(scheme, ti, reader, tmp_path):
    folder = tmp_path / "shared"
    file = folder / PATH
    file.parent.mkdir(parents=True)
    file.write_text(LINE)
    os.symlink(file, f"{file}.1")
    text = reader({("logging", "remote_base_log_folder"): f"{scheme}{folder}"})
    assert text.endswith(f"*** Found remote logs:\n***   * {file}\n{END}{LINE}")
