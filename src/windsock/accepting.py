"""Which of several media types a client wants most."""

from __future__ import annotations

from flask import request
from werkzeug.datastructures import MIMEAccept

from windsock.errors import NotAcceptable


def preferred(*produced: str) -> str:
    """The media type of `produced` that the `Accept` header prefers; the first when it does not mind.

    A parameter such as charset asks for nothing that could be done otherwise, so it is not looked at. Raises
    NotAcceptable when the header admits none of them.
    """
    accept = request.headers.get("Accept") or "*/*"
    if accept == "*/*":
        return produced[0]
    asked = [(kind.partition(";")[0].strip(), quality) for kind, quality in request.accept_mimetypes]
    found = MIMEAccept(asked).best_match(produced)
    if not found:
        raise NotAcceptable(f"Accept is {accept!r}; here, it has to admit {' or '.join(produced)}")
    return found
