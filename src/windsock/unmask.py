"""Put stored secrets back where a client sends the `***` that it was shown in their place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from windsock.crypto import MASK, Masker
from windsock.errors import BadRequest


def restored(sent: str | None, stored: str | None, masker: Masker) -> str | None:
    """The text to store when a client sends `sent` over a text that it was shown masked.

    Raises BadRequest for a `***` in the place of a secret of which nothing is stored.
    """
    try:
        return _text(sent, stored, masker)
    except RecursionError:
        raise BadRequest("Member 'extra' is nested too deeply") from None


def _text(sent: str | None, stored: str | None, masker: Masker) -> str | None:
    if sent == (masker.mask_json(stored) if stored else stored):
        return stored
    if sent is None or MASK not in sent:
        return sent
    new, old = _parsed(sent), _parsed(stored)
    if not isinstance(new, dict | list):
        probe = sent.replace(MASK, "x")
        if masker.mask_json(probe) != probe:
            raise _nothing_stored(None)
        return sent
    put_back = _Restorer(masker).value(new, masker.mask(old), old)
    return sent if put_back == new else json.dumps(put_back)


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def _nothing_stored(name: str | None) -> BadRequest:
    of = f" of {name!r}" if name else ""
    return BadRequest(f"Member 'extra' holds {MASK} in the place{of} of a secret that is not stored; send the secret")


@dataclass
class _Restorer:
    masker: Masker

    def value(self, sent: Any, shown: Any, stored: Any, name: str | None = None) -> Any:
        """`sent` with what `shown` hides of `stored`; `name` is the nearest sensitive one around, if any."""
        if isinstance(sent, dict):
            old = stored if isinstance(stored, dict) else {}
            return {
                key: self.value(item, shown[key] if key in old else None, old.get(key), self._nearest(key, name))
                for key, item in sent.items()
            }
        if isinstance(sent, list):
            pairs = _paired(sent, shown, stored) if isinstance(stored, list) else [(None, None)] * len(sent)
            return [self.value(item, *pair, name) for item, pair in zip(sent, pairs, strict=True)]
        return self._string(sent, shown, stored, name) if isinstance(sent, str) and MASK in sent else sent

    def _string(self, sent: str, shown: Any, stored: Any, name: str | None) -> Any:
        if sent == shown:
            return stored
        if isinstance(stored, str) and isinstance(_parsed(sent), dict | list):
            return _text(sent, stored, self.masker)
        probe = sent.replace(MASK, "x")
        if self.masker.mask(probe, name) != probe:
            raise _nothing_stored(name)
        return sent

    def _nearest(self, key: str, around: str | None) -> str | None:
        return key if self.masker.is_sensitive(key) else around


def _paired(sent: list[Any], shown: list[Any], stored: list[Any]) -> list[tuple[Any, Any]]:
    """For each item what was shown and stored: at its place if it is equal there, else where an equal one was shown."""
    pairs: list[tuple[Any, Any]] = []
    for place, item in enumerate(sent):
        here = place < len(shown) and shown[place] == item
        if not here and item in shown:
            place = shown.index(item)
        elif not here and len(sent) != len(shown):
            pairs.append((None, None))
            continue
        pairs.append((shown[place], stored[place]))
    return pairs
