"""Which of several media types a client wants most."""

from __future__ import annotations

from flask import request
from werkzeug.datastructures import MIMEAccept


def preferred(*produced: str) -> str:
    """The media type of `produced` that the `Accept` header prefers; the first when it does not mind.

    A parameter such as charset asks for nothing that could be done otherwise, so it is not looked at.
    """
    asked = [(kind.partition(";")[0].strip(), quality) for kind, quality in request.accept_mimetypes]
    return MIMEAccept(asked).best_match(produced) or produced[0]
