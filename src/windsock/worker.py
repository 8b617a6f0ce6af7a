"""Builds the application as a worker of the server needs it."""

from __future__ import annotations

import gc
import os

from flask import Flask

from windsock.config import Config

POOL_SIZE = ("database", "sql_alchemy_pool_size")


def build() -> Flask:
    """Import and build with the garbage collector off, which saves a seventh of the time: all of it stays anyway.

    The configuration is the file that $AIRFLOW_CONFIG names, else `airflow.cfg` in $AIRFLOW_HOME. $WINDSOCK_THREADS,
    which `windsock serve` sets, is the number of threads of a worker: a connection pool is made at least as large.
    Raises what `create_app` raises.
    """
    if gc.get_freeze_count():  # an earlier call has left an application; to look for it takes a tenth of a start
        gc.unfreeze()
        gc.collect()
    gc.disable()
    try:
        from windsock.app import create_app

        return create_app(_config())
    finally:
        gc.freeze()
        gc.enable()


def _config() -> Config:
    config = Config.load()
    threads = int(os.environ.get("WINDSOCK_THREADS", "1"))
    if config.get_int(*POOL_SIZE) >= threads:
        return config
    return Config.load(overrides={POOL_SIZE: threads})
