"""openapi-core judges the answers of a server with demo data: one 2xx of every operation, and what it refuses.

    PYTHONPATH=tests python tests/real/answers.py

Every operation is sent the example that the document has for it, then without credentials, with an `Accept` that it
cannot meet, and with a parameter that it does not know. Exit status 1 unless each answer is valid against the served
document and every operation answered 2xx once. Needs `openapi-core[requests]`; `tox -e openapi-core` installs it.
"""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Iterator
from typing import Any

import requests
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from openapi_core.exceptions import OpenAPIError

from demoserver import Server, demo
from windsock import postman

#: Of a stream of JSON objects, each is what the document describes.
DESERIALIZERS = {
    "application/problem+json": json.loads,
    "application/x-ndjson": lambda content: json.loads(content.splitlines()[0]),
}


def asked(document: dict[str, Any], server: Server) -> Iterator[tuple[str, requests.Request]]:
    """The requests of every operation, the good one first, in the order of the collection of Postman."""
    for folder in postman.collection(document)["item"]:
        for item in folder["item"]:
            wanted = item["request"]
            values = {f":{one['key']}": one["value"] for one in wanted["url"]["variable"]}
            path = "/".join(requests.utils.quote(values.get(part, part), safe="~") for part in wanted["url"]["path"])
            query = {one["key"]: one["value"] for one in wanted["url"]["query"] if not one["disabled"]}
            headers = {one["key"]: one["value"] for one in wanted["header"] if not one.get("disabled")}
            body = wanted.get("body", {}).get("raw")
            headers |= {"Content-Type": "application/json"} if body else {}
            name = f"{wanted['method']} /{'/'.join(wanted['url']['path'])}"
            target = {"method": wanted["method"], "url": f"{server.url}/{path}", "data": body and body.encode()}
            known = {**target, "auth": server.admin}
            yield name, requests.Request(**known, headers=headers, params=query)
            yield name, requests.Request(**target, headers=headers, params=query)
            yield name, requests.Request(**known, headers={**headers, "Accept": "image/png"}, params=query)
            yield name, requests.Request(**known, headers=headers, params={**query, "odd": "1"})


def _judged(node: Any) -> Any:
    """The document without discriminators: with one, openapi-core refuses null, be it allowed or not. They are hints
    only, so every alternative is tried instead.
    """
    if isinstance(node, dict):
        return {key: _judged(value) for key, value in node.items() if key != "discriminator"}
    return [_judged(one) for one in node] if isinstance(node, list) else node


def main() -> None:
    """Ask, judge, print the figures."""
    with demo() as server, requests.Session() as session:
        session.trust_env = False  # no .netrc adds credentials
        document = session.get(f"{server.url}/openapi.json", timeout=30).json()
        judge = OpenAPI.from_dict(_judged(document), config=Config(extra_media_type_deserializers=DESERIALIZERS))
        statuses: dict[str, list[int]] = collections.defaultdict(list)
        valid, faults = 0, []
        for name, request in asked(document, server):
            prepared = session.prepare_request(request)
            answer = session.send(prepared, timeout=30)
            statuses[name].append(answer.status_code)
            try:
                judge.validate_response(RequestsOpenAPIRequest(prepared), RequestsOpenAPIResponse(answer))
                valid += 1
            except OpenAPIError as error:
                faults.append(f"{name}: {answer.status_code} {error!r:.200} {error.__cause__!r:.300}")
    good = [name for name, codes in statuses.items() if any(200 <= code < 300 for code in codes)]
    counts = collections.Counter(code for codes in statuses.values() for code in codes)
    for fault in [*faults, *(f"{name}: never 2xx, {statuses[name]}" for name in statuses if name not in good)]:
        print(f"   {fault}")
    print(f"== openapi-core: {valid} of {sum(counts.values())} answers valid, {len(good)} of {len(statuses)} operations"
          f" answered 2xx; statuses {dict(sorted(counts.items()))}")  # fmt: skip
    sys.exit(bool(faults) or len(good) < len(statuses))


if __name__ == "__main__":
    main()
