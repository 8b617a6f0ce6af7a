"""Where the log of a try is looked for, in the order and under the conditions of Airflow 2.11."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from windsock.config import Config
from windsock.context import context
from windsock.tasklogs.attempts import LIVE, UNFINISHED, Attempt
from windsock.tasklogs.local import Source, find_local
from windsock.tasklogs.remote import find_remote
from windsock.tasklogs.served import find_served
from windsock.tasklogs.template import TemplateRefused, log_path

log = logging.getLogger(__name__)

#: States between two tries: the last one has ended.
_BETWEEN = {"up_for_retry", "up_for_reschedule"}


def gather(attempt: Attempt, config: Config, stack: ExitStack) -> tuple[list[str], list[Source]]:
    """What to say about the places where the log was looked for, and its files; `stack` closes them.

    Raises OutsideError when the path of the log would lead out of its folder.
    """
    try:
        path = _path(attempt, config)
    except TemplateRefused as error:
        log.warning("The template of log file names is refused: %s", error)
        return [f"Could not read logs: the template of log file names is refused: {error}"], []
    messages, remote = _remote(path, config)
    found = _closed_by(stack, remote)
    if not remote or attempt.state in UNFINISHED:
        local = _closed_by(stack, find_local(config.get("logging", "base_log_folder"), path))
        messages += ["Found local files:", *(f"  * {source.name}" for source in local)] if local else []
        found = [*local, *found]
    said, served = _served(attempt, path, config, alone=not found)
    return messages + said, found + _closed_by(stack, served)


def _path(attempt: Attempt, config: Config) -> str:
    template = config.get("logging", "log_filename_template")
    if config.get_bool("logging", "use_historical_filename_templates"):
        template = attempt.stored_template or template
    return log_path(template, attempt)


def _remote(path: str, config: Config) -> tuple[list[str], list[Source]]:
    return find_remote(path, config, context.vault) if config.get_bool("logging", "remote_logging") else ([], [])


def _served(attempt: Attempt, path: str, config: Config, alone: bool) -> tuple[list[str], list[Source]]:
    """A running try is asked for in any case; one that has ended only if it has left no log elsewhere."""
    ended = attempt.state not in UNFINISHED or attempt.state in _BETWEEN
    if attempt.state not in LIVE and not (ended and alone):
        return [], []
    if not alone and not config.get_list("windsock", "log_server_hosts"):
        return [], []  # nobody is to be asked, and there is something to show
    return find_served(attempt, path, config)


def _closed_by(stack: ExitStack, sources: list[Source]) -> list[Source]:
    for source in sources:
        stack.callback(source.file.close)
    return sources
