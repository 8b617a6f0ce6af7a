"""The files of DAGs: the tokens that name them, who may reach them, and their stored text."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha1

from itsdangerous import BadData
from sqlalchemy import select

from windsock import access, db, signing
from windsock.config import Config
from windsock.context import context, operation
from windsock.errors import NotFound, PermissionDenied
from windsock.grants import dag_action
from windsock.models import Dag, DagCode

#: What no column holds: NUL and halves of surrogate pairs.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def file_token(fileloc: str | None) -> str:
    """The file's path, signed as Airflow's web server signs it."""
    return _signed(context.config, fileloc)


@lru_cache(10_000)
def _signed(config: Config, fileloc: str | None) -> str:
    return str(signing.serializer(config).dumps(fileloc))


def file_of(token: str) -> str:
    """The path in a file's token, or of the file that defines the DAG with this id, as version 2 of the API has it.

    Raises NotFound for what is neither, as for a DAG out of sight, and for a file without DAGs; PermissionDenied when
    the caller lacks the operation's right on one of its DAGs: a file shows, and does, what all of them are.
    """
    fileloc = _path(token)
    inside = select(Dag.dag_id).where(Dag.fileloc == fileloc)
    dag_ids = db.execute(inside).scalars().all()
    if not dag_ids:
        raise NotFound("No DAG is defined in the file of this token; take file_token from a DAG")
    if len(db.execute(access.scope(inside, Dag)).all()) < len(dag_ids):
        raise PermissionDenied(f"The file defines DAGs on which you lack DAGs.{dag_action(operation())}")
    return fileloc


def _path(token: str) -> str:
    try:
        found = signing.serializer(context.config).loads(token)
    except BadData:
        found = db.execute(access.scope(select(Dag.fileloc).where(Dag.dag_id == token), Dag)).scalar()
    if not isinstance(found, str) or _UNSTORABLE.search(found):
        raise NotFound("This is neither a token of a file nor the id of a DAG; take file_token from a DAG")
    return found


def source_of(fileloc: str) -> str:
    """The stored text of a file. Raises NotFound when there is none."""
    stored = select(DagCode.source_code).where(DagCode.fileloc_hash == location_hash(fileloc))
    found = db.execute(stored.where(DagCode.fileloc == fileloc)).scalar()
    if found is None:
        raise NotFound("The source of this file is not stored; the scheduler may not have read it yet")
    return str(found)


def location_hash(fileloc: str) -> int:
    """`dag_code.fileloc_hash`: the last 8 bytes of SHA-1 as an unsigned number, without its low 8 bits."""
    return int.from_bytes(sha1(fileloc.encode(), usedforsecurity=False).digest()[-8:], "big") >> 8
