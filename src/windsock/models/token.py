"""The one table that is Windsock's own. It is in no metadata of Airflow's schema, and refers to none of its tables."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table

from windsock.columns import NaiveDateTime, UtcDateTime

#: A row for each bearer token that has not been revoked; `user_created_on` tells users apart to whom the database gave
#: the same id one after the other.
token_table = Table(
    "windsock_token",
    MetaData(),
    Column("id", String(32), primary_key=True),
    Column("user_id", Integer, nullable=False),
    Column("user_created_on", NaiveDateTime),
    Column("issued", UtcDateTime, nullable=False),
    Column("expires", UtcDateTime, nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("seal", String(64), nullable=False),
    Column("ending", String(8), nullable=False),
    Column("name", String(256)),
)
