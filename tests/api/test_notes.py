"""Notes on runs and task instances."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

import factories as f
from clients import API
from problems import assert_problem
from windsock.models import DagRunNote, Log, TaskInstanceNote

RUN = f"{API}/dags/{f.DAG_ID}/dagRuns/{f.RUN_ID}"
TI = f"{RUN}/taskInstances"
#: Path of what gets a note, and the model of the note.
PLACES = [(RUN, DagRunNote), (f"{TI}/extract", TaskInstanceNote), (f"{TI}/double/1", TaskInstanceNote)]
everywhere = pytest.mark.parametrize(("path", "model"), PLACES, ids=["run", "task instance", "mapped instance"])


@pytest.fixture(autouse=True)
def rows(add):
    add(f.dag(), f.serialized_dag(tasks=[f.operator(), f.mapped_operator()]), f.dag_run())
    add(f.task_instance(), *(f.task_instance(task_id="double", map_index=index) for index in range(2)))


@everywhere
def test_a_note_is_written_and_shown(client, path, model):
    written = client.patch(f"{path}/setNote", json={"note": "é 🚀"})
    assert (written.status_code, written.get_json()["note"]) == (200, "é 🚀")
    assert written.get_json() == client.get(path).get_json()


@everywhere
def test_a_note_is_replaced_in_its_row_and_names_who_wrote_it_last(as_user, make_user, session, path, model):
    for text_, name in (("first", "ada"), ("second", "grace")):
        assert as_user("Admin", username=name).patch(f"{path}/setNote", json={"note": text_}).status_code == 200
    note = session.scalars(select(model)).one()
    assert note.content == "second"
    assert note.user_id == session.execute(text("SELECT id FROM ab_user WHERE username = 'grace'")).scalar()
    assert note.updated_at > note.created_at


@everywhere
def test_nothing_else_changes(client, session, path, model):
    def others() -> list:
        return [session.execute(text(f"SELECT * FROM {table}")).all() for table in ("dag_run", "task_instance")]

    before = others()
    client.patch(f"{path}/setNote", json={"note": "x"})
    assert others() == before


@everywhere
def test_a_note_has_at_most_1000_characters(client, session, path, model):
    assert client.patch(f"{path}/setNote", json={"note": "🚀" * 1000}).status_code == 200
    assert_problem(client.patch(f"{path}/setNote", json={"note": "x" * 1001}), 400, "note")
    assert session.scalars(select(model)).one().content == "🚀" * 1000


@everywhere
@pytest.mark.parametrize("body", [{}, {"note": None}, {"note": 1}, {"note": "x", "user_id": 1}, {"note": "a\0b"}])
def test_a_body_without_a_note_is_refused(client, session, path, model, body):
    assert_problem(client.patch(f"{path}/setNote", json=body), 400)
    assert session.scalars(select(model)).all() == []


@pytest.mark.parametrize(
    "path",
    [f"{API}/dags/{f.DAG_ID}/dagRuns/nope", f"{TI}/nope", f"{TI}/double", f"{TI}/double/7", f"{TI}/extract/0"],
)
def test_what_is_not_there_gets_no_note(client, path):
    assert_problem(client.patch(f"{path}/setNote", json={"note": "x"}), 404)


@everywhere
def test_a_reader_may_not_write_notes(as_user, path, model):
    assert_problem(as_user("Viewer").patch(f"{path}/setNote", json={"note": "x"}), 403)


@pytest.mark.parametrize(
    ("path", "event"),
    [(RUN, "api.set_dag_run_note"), (f"{TI}/extract", "api.set_task_instance_note"),
     (f"{TI}/double/1", "api.set_task_instance_note")],
)  # fmt: skip
def test_the_audit_log_names_the_event_as_airflow_does(client, session, path, event):
    client.patch(f"{path}/setNote", json={"note": "x"})
    assert session.scalars(select(Log.event)).all() == [event]
