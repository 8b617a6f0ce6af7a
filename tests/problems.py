"""The one place that knows the shape of an error."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


def assert_problem(response: Any, status: int, *words: str) -> dict[str, Any]:
    """Assert that a response is a complete problem document (RFC 7807) whose detail holds `words`; return it."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    found = response.get_json()
    assert found.keys() == {"type", "title", "status", "detail"}
    assert found["status"] == status
    assert found["title"] == HTTPStatus(status).phrase
    assert "#section/Errors/" in found["type"]
    assert isinstance(found["detail"], str) and found["detail"].strip()
    assert "<" not in found["detail"] or "<br" not in found["detail"].lower()
    for word in words:
        assert word in found["detail"], found["detail"]
    return found
