"""Granian, whose workers inherit an application that is built once, before they start, and anew on SIGHUP."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from mmap import mmap
from typing import TYPE_CHECKING, Any

from granian import Granian
from granian.constants import Interfaces

from windsock.waiting import threads

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from flask import Flask

    from windsock.cli.serve import Listen

log = logging.getLogger(__name__)

#: Seconds that a worker has for the requests in its hands when it is to stop.
KILL_TIMEOUT = 10
#: Seconds for which an old worker goes on beside the new one: enough to begin, since the application is there already.
_OVERLAP = 1
#: Connections of each worker, most of which are idle; granian's own limit is 1024 for all of them.
_CONNECTIONS = 8192
#: Granian's own records go where all others go.
_LOGGING = {"loggers": {"_granian": {"level": "INFO", "handlers": [], "propagate": True}}}


class Prepared:
    """An application that workers inherit, and a flag that they share with the parent: that it has built another.

    From then on every answer ends its connection. A kept one would otherwise be closed when its worker stops, perhaps
    just as the client writes to it. WSGI leaves `Connection` to servers; granian does as an application says.
    """

    def __init__(self, app: Flask) -> None:
        self._app, self._replaced = app, mmap(-1, 1)

    def replace(self) -> None:
        """Say that there is another."""
        self._replaced[0] = 1

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def last(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start_response(status, [*headers, ("Connection", "close")], *error)

        return self._app(environ, last if self._replaced[0] else start_response)


_prepared: list[Prepared] = []


class Server(Granian):  # type: ignore[misc,valid-type]
    """A server that takes its application from `build`; on SIGHUP once more, and workers stay if that fails."""

    def __init__(self, listen: Listen, build: Callable[[], Flask]) -> None:
        """Build the application. Raises what `build` raises."""
        super().__init__(
            "windsock.wsgi:app",
            address=listen.host,
            port=listen.port,
            interface=Interfaces.WSGI,
            workers=listen.workers,
            blocking_threads=listen.threads,
            backpressure=_CONNECTIONS,
            respawn_failed_workers=True,
            respawn_interval=_OVERLAP,
            workers_kill_timeout=KILL_TIMEOUT,
            websockets=False,
            log_dictconfig=_LOGGING,
        )
        self._build = build
        self.on_reload(self._stop_all_the_same)
        _prepared[:] = [Prepared(build())]

    def signal_handler_reload(self, *_: Any) -> None:
        """Replace the workers, one after the other, if the configuration as it is now can be used."""
        (old,) = _prepared
        try:
            _prepared[:] = [Prepared(self._build())]
        except Exception as error:
            kept = "SIGHUP: the workers stay as they are, since the new configuration cannot be used"
            log.error("%s: %s: %s", kept, type(error).__name__, error)
        else:
            old.replace()
            super().signal_handler_reload()

    def _stop_all_the_same(self) -> None:
        """Wake granian's loop for a SIGTERM that came just as a reload began, which lets it sleep again."""
        if self.interrupt_signal:
            self.main_loop_interrupt.set()

    def run(self) -> None:
        """Serve until a signal ends it."""
        if sys.platform == "linux":  # Python 3.14 has another default, with which nothing is inherited
            multiprocessing.set_start_method("fork", force=True)
        os.register_at_fork(after_in_child=_settle)
        self.serve(target_loader=_load)


def _settle() -> None:
    """Until a worker's signals are granian's: end on SIGTERM; a SIGHUP is for the parent."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _load(_: str) -> WSGIApplication:
    """The application that the parent has built, or, where workers are not forked, one of this worker's own."""
    threads.install()
    return _prepared[0] if _prepared else import_module("windsock.wsgi").app
