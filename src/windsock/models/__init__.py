"""The tables of the metadata database: the only place that knows a table or column name."""

from __future__ import annotations

from sqlalchemy.orm import configure_mappers

from windsock.models.base import Base
from windsock.models.dag import (
    Dag,
    DagCode,
    DagImportError,
    DagOwnerAttributes,
    DagPickle,
    DagPriorityParsingRequest,
    DagTag,
    DagWarning,
    SerializedDag,
)
from windsock.models.dag_run import DagRun, DagRunNote
from windsock.models.dataset import (
    DagScheduleDatasetAliasReference,
    DagScheduleDatasetReference,
    Dataset,
    DatasetAlias,
    DatasetDagRunQueue,
    DatasetEvent,
    TaskOutletDatasetReference,
    dagrun_dataset_event,
    dataset_alias_dataset,
    dataset_alias_dataset_event,
)
from windsock.models.log import Log, LogTemplate
from windsock.models.security import (
    Action,
    Permission,
    RegisterUser,
    Resource,
    Role,
    User,
    WebSession,
    role_permission,
    user_role,
)
from windsock.models.store import AlembicVersion, CallbackRequest, Connection, Job, Pool, Variable
from windsock.models.task_instance import (
    RenderedFields,
    SlaMiss,
    TaskFail,
    TaskInstance,
    TaskInstanceHistory,
    TaskInstanceNote,
    TaskMap,
    TaskReschedule,
    Trigger,
    XCom,
)
from windsock.models.usage import PoolUsage

configure_mappers()

__all__ = [
    "Action",
    "AlembicVersion",
    "Base",
    "CallbackRequest",
    "Connection",
    "Dag",
    "DagCode",
    "DagImportError",
    "DagOwnerAttributes",
    "DagPickle",
    "DagPriorityParsingRequest",
    "DagRun",
    "DagRunNote",
    "DagScheduleDatasetAliasReference",
    "DagScheduleDatasetReference",
    "DagTag",
    "DagWarning",
    "Dataset",
    "DatasetAlias",
    "DatasetDagRunQueue",
    "DatasetEvent",
    "Job",
    "Log",
    "LogTemplate",
    "Permission",
    "Pool",
    "PoolUsage",
    "RegisterUser",
    "RenderedFields",
    "Resource",
    "Role",
    "SerializedDag",
    "SlaMiss",
    "TaskFail",
    "TaskInstance",
    "TaskInstanceHistory",
    "TaskInstanceNote",
    "TaskMap",
    "TaskOutletDatasetReference",
    "TaskReschedule",
    "Trigger",
    "User",
    "Variable",
    "WebSession",
    "XCom",
    "dagrun_dataset_event",
    "dataset_alias_dataset",
    "dataset_alias_dataset_event",
    "role_permission",
    "user_role",
]
