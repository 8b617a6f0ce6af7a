"""gzip for who asks for it, where an answer holds no secrets whose length it could tell (BREACH)."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

import factories as f
from clients import API
from windsock import spec
from worlds import world

READS = [o for o in spec.operations().values() if o.method == "get"]
OPEN = [o for o in READS if o.raw.get("x-etag") == "open"]
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


def is_packed(response: Any) -> bool:
    return response.headers.get("Content-Encoding") == "gzip"


def test_long_answers_without_secrets_are_compressed_and_no_others(make_app, as_user, session):
    client = as_user("Admin", of=make_app({("webserver", "expose_config"): "True"}))
    made, wrong, packed = world(session, range(12)), {}, 0
    for operation in READS:
        url = made.url(operation)
        plain, asked = client.get(url), client.get(url, headers=GZIP)
        right = plain.status_code == 200 and is_packed(asked) == (operation in OPEN and len(plain.data) > 1000)
        if is_packed(asked):
            packed += 1
            right = right and gzip.decompress(asked.data) == plain.data and len(asked.data) < len(plain.data) / 2
            right = right and asked.headers["Content-Length"] == str(len(asked.data))
        if not right or asked.content_type != plain.content_type:
            wrong[operation.id] = (plain.status_code, len(plain.data), asked.headers)
    assert wrong == {}
    assert packed >= 6, "hardly any answer was long enough, so this test shows little"


def test_a_long_secret_is_not_compressed(client, add):
    add(f.variable("v", "x" * 5000), f.connection("c", description="x" * 5000, extra=None))
    for path in ("variables/v", "variables", "connections/c", "connections"):
        assert not is_packed(client.get(f"{API}/{path}", headers=GZIP)), path


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=1.0, identity; q=0.5, *;q=0", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.2, identity;q=0.8", False),
        ("gzip;q=nonsense", False),
        ("x" * 100_000 + ", gzip", False),
    ],
)
def test_the_client_decides(accepted, packed, client, add):
    add(f.pool("p", description="x" * 2000))
    answer = client.get(f"{API}/pools/p", headers={"Accept-Encoding": accepted})
    assert is_packed(answer) is packed
    body = gzip.decompress(answer.data) if packed else answer.data
    assert b"x" * 2000 in body
    assert "Accept-Encoding" in answer.headers["Vary"]


def test_a_short_answer_is_sent_as_it_is(client, add):
    add(f.pool("p"))
    assert not is_packed(client.get(f"{API}/pools/p", headers=GZIP))


def test_each_coding_has_a_tag_of_its_own(client, add):
    add(f.pool("p", description="x" * 2000))
    url = f"{API}/pools/p"
    plain, packed = client.get(url).headers["ETag"], client.get(url, headers=GZIP).headers["ETag"]
    assert plain != packed
    for tag, headers in ((plain, {}), (packed, GZIP)):
        again = client.get(url, headers={**headers, "If-None-Match": tag})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
        assert "Content-Encoding" not in again.headers
    assert client.get(url, headers={"If-None-Match": packed}).status_code == 200
    assert client.get(url, headers={**GZIP, "If-None-Match": plain}).status_code == 200


def test_the_same_content_is_compressed_to_the_same_bytes(client, add):
    add(f.pool("p", description="x" * 2000))
    first, second = (client.get(f"{API}/pools/p", headers=GZIP) for _ in range(2))
    assert first.data == second.data
    assert gzip.decompress(first.data)[:1] == b"{" and first.data[4:8] == b"\0" * 4  # no time of its making


def test_head_tells_of_the_compressed_answer(client, add):
    add(f.pool("p", description="x" * 2000))
    get, head = (client.open(f"{API}/pools/p", method=m, headers=GZIP) for m in ("GET", "HEAD"))
    for name in ("ETag", "Content-Encoding", "Vary", "Cache-Control", "Content-Type"):
        assert head.headers[name] == get.headers[name]
    assert head.data == b"" and head.headers.get("Content-Length") in (None, get.headers["Content-Length"])


def test_problems_and_changes_are_sent_as_they_are(client, add):
    add(f.pool("p", description="x" * 2000))
    long = client.get(f"{API}/pools/{'x' * 2000}", headers=GZIP)
    assert long.status_code == 404 and len(long.data) > 1000 and not is_packed(long)
    assert not is_packed(client.patch(f"{API}/pools/p", json={"slots": 2}, headers=GZIP))


def test_the_document_is_compressed(stranger):
    for path in ("openapi.json", "openapi.yaml"):
        plain, packed = stranger.get(f"{API}/{path}"), stranger.get(f"{API}/{path}", headers=GZIP)
        assert is_packed(packed) and gzip.decompress(packed.data) == plain.data
        assert len(packed.data) < len(plain.data) / 4
