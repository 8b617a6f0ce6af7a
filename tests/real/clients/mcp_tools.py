"""Every tool of mcp-server-apache-airflow, called through its own command, against one demo server.

Runs in an environment of its own; see `official.py` for what it reads and prints.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

FACTS = json.load(sys.stdin)
MADE = "made-by-a-tool"
#: What a tool is told beyond the facts, or in their place.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "create_connection": {"conn_id": MADE, "conn_type": "http"},
    "update_connection": {"conn_id": MADE, "conn_type": "http", "port": 81},
    "delete_connection": {"conn_id": FACTS["connection_id"]},
    "test_connection": FACTS["itself"],
    "get_connection": {"conn_id": FACTS["connection_id"]},
    "post_pool": {"name": MADE, "slots": 2},
    "patch_pool": {"pool_name": MADE, "slots": 3},
    "delete_pool": {"pool_name": MADE},
    "create_variable": {"key": MADE, "value": "1"},
    "update_variable": {"key": MADE, "value": "2"},
    "delete_variable": {"key": FACTS["variable_key"]},
    "get_variable": {"key": FACTS["variable_key"]},
    "post_dag_run": {"dag_run_id": MADE},
    "delete_dag_run": {"dag_run_id": MADE},
    "delete_dag": {"dag_id": FACTS["lost_dag"]},
    "patch_dag": {"is_paused": False},
    "patch_dags": {"dag_id_pattern": FACTS["dag_id"], "is_paused": False},
    "clear_dag_run": {"dag_run_id": FACTS["other_dag_run_id"], "dry_run": False},
    "clear_task_instances": {"task_ids": [FACTS["task_id"]], "dry_run": False},
    "set_task_instances_state": {"state": "success", "task_ids": [FACTS["task_id"]]},
    "set_dag_run_note": {"note": "seen"},
    "update_dag_run_state": {"state": "success"},
    "update_task_instance": {"state": "success"},
    "get_dag_stats": {"dag_ids": [FACTS["dag_id"]]},
    "create_dataset_event": {"dataset_uri": FACTS["uri"], "extra": {"by": MADE}},
    **{
        f"{verb}_{what}": {"dag_id": FACTS["queued_dag_id"], "uri": FACTS["queued_uri"]}
        for verb in ("get", "delete")
        for what in ("dag_dataset_queued_event", "dag_dataset_queued_events", "dataset_queued_events")
    },
}
#: Reads before changes, and what deletes comes last.
ORDER = ("get", "list", "fetch", "test", "create", "post", "delete_dag_dataset_queued_event", "delete")


def rank(name: str) -> tuple[int, str]:
    """Where a tool comes in the order of calls."""
    first = [number for number, verb in enumerate(ORDER) if name.startswith(verb)]
    return (first[0] if first else ORDER.index("post") + 1, name)


async def ask(mcp: Client, tool: Any) -> str | None:
    """Call a tool; return the cause of a failure."""
    schema = tool.input_schema
    known = {**FACTS, **ARGUMENTS.get(tool.name, {})}
    names = {*schema.get("required", []), *ARGUMENTS.get(tool.name, {})} & schema["properties"].keys()
    answer = await mcp.call_tool(tool.name, {name: known[name] for name in names}, raise_on_error=False)
    text = " ".join(part.text for part in answer.content)
    return " ".join(text.split())[:500] if answer.is_error else None


async def main() -> None:
    """Call every tool that the server offers."""
    command = str(Path(sys.executable).with_name("mcp-server-apache-airflow"))
    names = {"AIRFLOW_HOST": "address", "AIRFLOW_USERNAME": "user", "AIRFLOW_PASSWORD": "password"}
    environment = {**os.environ, **{name: FACTS[fact] for name, fact in names.items()}}
    async with Client(StdioTransport(command, [], env=environment)) as mcp:
        tools = sorted(await mcp.list_tools(), key=lambda tool: rank(tool.name))
        print(json.dumps({tool.name: await ask(mcp, tool) for tool in tools}))


asyncio.run(main())
