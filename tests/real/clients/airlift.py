"""Every public method of Dagster Airlift's AirflowInstance against one demo server.

Runs in an environment of its own; see `official.py` for what it reads and prints. A call that answers with nothing
where the demo data has something counts as failed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from dagster_airlift.core import AirflowBasicAuthBackend, AirflowInstance

FACTS = json.load(sys.stdin)
DAG, RUN, TASK = FACTS["dag_id"], FACTS["dag_run_id"], FACTS["task_id"]
LONG_AGO, LATER = datetime(2020, 1, 1, tzinfo=timezone.utc), datetime.now(timezone.utc) + timedelta(days=1)


def calls(airflow: AirflowInstance) -> dict[str, Callable[[], Any]]:
    """A call of each method, in an order in which they find what they need."""
    made: list[str] = []

    def trigger() -> str:
        made.append(airflow.trigger_dag(DAG, datetime(2026, 2, 14, 5, 30, tzinfo=timezone.utc)))
        return made[0]

    return {
        "list_dags": airflow.list_dags,
        "list_variables": airflow.list_variables,
        "get_task_instance_batch_time_range": lambda: airflow.get_task_instance_batch_time_range(
            [DAG], ["success"], LONG_AGO, LATER
        ),
        "get_task_instance_batch": lambda: airflow.get_task_instance_batch(DAG, [TASK], RUN, ["success"]),
        "get_task_instance": lambda: airflow.get_task_instance(DAG, TASK, RUN).state == "success",
        "get_task_infos": lambda: airflow.get_task_infos(dag_id=DAG),
        "get_task_info": lambda: airflow.get_task_info(dag_id=DAG, task_id=TASK).downstream_task_ids == [],
        "get_dag_source_code": lambda: airflow.get_dag_source_code(FACTS["file_token"])[0] != "{",
        "get_dag_runs": lambda: airflow.get_dag_runs(DAG, LONG_AGO, LATER),
        "get_dag_runs_batch": lambda: airflow.get_dag_runs_batch([DAG], LONG_AGO, LATER, LONG_AGO, LATER)[1],
        "get_dag_run": lambda: airflow.get_dag_run(DAG, RUN).success,
        "get_run_state": lambda: airflow.get_run_state(DAG, RUN) == "success",
        "wait_for_run_completion": lambda: airflow.wait_for_run_completion(DAG, RUN) is None,
        "get_task_instance_logs": lambda: airflow.get_task_instance_logs(DAG, TASK, RUN, 1),
        "get_all_datasets": airflow.get_all_datasets,
        "unpause_dag": lambda: airflow.unpause_dag(DAG) is None,
        "trigger_dag": trigger,
        "delete_run": lambda: airflow.delete_run(DAG, made[0]) is None,
    }


def main() -> None:
    """Call everything once; a public method without a call here is a failure too."""
    airflow = AirflowInstance(AirflowBasicAuthBackend(FACTS["address"], FACTS["user"], FACTS["password"]), "demo")
    known = calls(airflow)
    local = {"get_api_url", "normalized_name"}
    results: dict[str, str | None] = {
        name: "no call in this script" for name in vars(AirflowInstance) if name[0] != "_" and name not in local
    }
    for name, call in known.items():
        try:
            results[name] = None if call() else "the answer is empty or wrong"
        except Exception as error:  # whatever a client raises is a finding
            results[name] = f"{type(error).__name__}: {error}"[:400]
    print(json.dumps(results))


main()
