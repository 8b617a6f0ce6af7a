"""Extra links of task instances: what Airflow's link classes would answer, without importing one of them.

A link is a function from a LinkSource to a URL or None. Its attribute `label` is the name that clients see.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select
from werkzeug.routing import Map, Rule

from windsock import access, db
from windsock.context import context
from windsock.distributions import declared
from windsock.encoded import decode, text
from windsock.models import Dag, DagRun, RenderedFields, TaskInstance, XCom
from windsock.rows import missing
from windsock.taskdoc import TaskDoc
from windsock.text_forms import xcom_native

log = logging.getLogger(__name__)
GROUP = "windsock.extra_links"


@dataclass(frozen=True)
class LinkSource:
    """What a link is made from: a task instance, its task, and the arguments that the link's class was given.

    `key` holds dag_id, run_id, task_id (str) and map_index (int); `execution_date` is an aware datetime.
    """

    key: dict[str, Any]
    execution_date: Any
    task: dict[str, Any]
    rendered: dict[str, Any]
    arguments: dict[str, Any]

    def xcom(self, key: str) -> Any:
        """The value of an XCom of this task instance as JSON; None when there is none."""
        return xcom_native(db.execute(select(XCom.value).filter_by(key=key, **self.key)).scalar())

    def field(self, name: str) -> str | None:
        """A text argument of the operator as it was rendered; None when it is a template that was not."""
        found = self.rendered.get(name, self.task.get(name))
        return found if isinstance(found, str) and "{{" not in found and "{%" not in found else None


Link = Callable[[LinkSource], Any]


def extra_links(task: TaskDoc, key: dict[str, Any]) -> dict[str, str | None]:
    """Names and URLs of the links of a task instance, sorted by name. Raises NotFound when there is no such instance.

    A link that is unknown here, fails, or leads elsewhere than to http, https or a path is null.
    """
    columns = select(DagRun.execution_date, RenderedFields.rendered_fields).select_from(TaskInstance)
    joined = columns.join(TaskInstance.dag_run).outerjoin(TaskInstance.rendered)
    which = [getattr(TaskInstance, name) == value for name, value in key.items()]
    row = db.execute(access.scope(joined.where(*which), TaskInstance)).first()
    if row is None:
        raise missing(TaskInstance, key)
    found = {}
    for path, arguments in task.link_classes:
        given = (_object(row.rendered_fields), _object(decode(arguments)))
        name, url = _followed(path, LinkSource(key, row.execution_date, task.arguments, *given))
        found[name] = context.vault.masker.mask(url) if _is_harmless(url) else None
    return dict(sorted(found.items()))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _followed(path: str, source: LinkSource) -> tuple[str, Any]:
    """Name and target of a link, of which only this is known: the path of its class, as a text."""
    name = path.rpartition(".")[2]
    entry = next((entry for entry, _ in declared(GROUP) if entry.name == path), None)
    try:
        link = entry.load() if entry else LINKS.get(path) or from_xcom(f"_link_{name}", name)
        name = text(getattr(link, "label", None)) or name
        return name, link(source)
    except Exception as error:  # code of another package
        log.warning("The extra link %r failed: %s", path, type(error).__name__)
        return name, None


def _is_harmless(url: Any) -> bool:
    """Whether a browser that follows the link stays with http, https or a path of the server that shows it."""
    if not isinstance(url, str) or re.search(r"[\x00-\x1f\x7f\\]", url):
        return False  # browsers drop or change such characters, and then see another URL
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme in ("http", "https") and bool(parts.netloc)
    return url.startswith("/") and not url.startswith("//")


# ---------------------------------------------------------------- links that are known here
def from_xcom(key: str, label: str) -> Link:
    """A link whose URL the task has stored as an XCom."""

    def stored(source: LinkSource) -> Any:
        return source.xcom(key)

    stored.label = label  # type: ignore[attr-defined]
    return stored


def to_dag(field: str, label: str, query: Callable[[LinkSource], dict[str, Any]]) -> Link:
    """A link to the page of the DAG that an argument of the operator names; None when the caller may not see it."""

    def page(source: LinkSource) -> str | None:
        dag_id = source.field(field)
        if not dag_id or not _visible(dag_id):
            return None
        view = context.config.get("webserver", "dag_default_view").lower().replace("_", "-")
        base = urlsplit(context.config.get("webserver", "base_url")).path.rstrip("/")
        pages = Map([Rule(f"/dags/<dag_id>/{view}", endpoint="page")]).bind("", base or "/")
        return pages.build("page", {"dag_id": dag_id, **query(source)})

    page.label = label  # type: ignore[attr-defined]
    return page


def _visible(dag_id: str) -> bool:
    shown = select(Dag.dag_id).where(Dag.dag_id == dag_id)
    return access.touches_all() or db.execute(access.scope(shown, Dag)).first() is not None


_triggered = to_dag("trigger_dag_id", "Triggered DAG", lambda of: {"dag_run_id": text(of.xcom("trigger_run_id"))})
_external = to_dag("external_dag_id", "External DAG", lambda of: {"execution_date": of.execution_date.isoformat()})
_external_run = to_dag("external_dag_id", "External DAG", lambda of: {"run_id": of.key["run_id"]})

#: Names, XComs and queries of the classes in Airflow 2.11.2 and in its providers standard 1.21, databricks 7.23 and
#: dbt-cloud 4.11, with the older paths under which Airflow has stored the first two.
LINKS: dict[str, Link] = {
    "airflow.operators.trigger_dagrun.TriggerDagRunLink": _triggered,
    "airflow.operators.dagrun_operator.TriggerDagRunLink": _triggered,
    "airflow.providers.standard.operators.trigger_dagrun.TriggerDagRunLink": _triggered,
    "airflow.sensors.external_task.ExternalDagLink": _external,
    "airflow.sensors.external_task.ExternalTaskSensorLink": _external,
    "airflow.sensors.external_task_sensor.ExternalTaskSensorLink": _external,
    "airflow.providers.standard.sensors.external_task.ExternalDagLink": _external_run,
    "airflow.providers.databricks.operators.databricks.DatabricksJobRunLink": from_xcom(
        "run_page_url", "See Databricks Job Run"
    ),
    "airflow.providers.dbt.cloud.operators.dbt.DbtCloudRunJobOperatorLink": from_xcom("job_run_url", "Monitor Job Run"),
}
