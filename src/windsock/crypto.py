"""Secrets: Fernet for stored values, and masking by name for values that are shown."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from windsock.config import Config, ConfigError

log = logging.getLogger(__name__)

MASK = "***"
COMMAND_MASK = "********"  # what Airflow's command line writes into its audit rows
#: Names that a worker has looked at before, unless they are long: the same few come again and again.
_REMEMBERED, _SHORT = 1024, 100
# Parts of names that mark a value as secret, as in Airflow 2.11 (airflow.utils.log.secrets_masker).
SENSITIVE_NAMES = (
    "access_token", "api_key", "apikey", "authorization", "keyfile_dict", "passphrase", "passwd", "password",
    "private_key", "secret", "service_account", "token",
)  # fmt: skip
# The password of `scheme://user:password@host`, up to the last @; digits that end the authority are a port.
_URL_PASSWORD = re.compile(r"""(://[^\s:/?#@"']*:)(?!\d+(?:[/?#,;"'\s]|$))(?:(?!://)[^\s"'])+@""")


class Vault:
    """Encrypts and decrypts with the Fernet keys of the configuration, and masks by its names."""

    def __init__(self, keys: str = "", masker: Masker | None = None) -> None:
        """`keys` are separated by commas; the first encrypts, any decrypts. Raises ConfigError for an invalid key."""
        self.masker = masker or Masker()
        try:
            fernets = [Fernet(key) for part in keys.split(",") if (key := part.strip().encode())]
        except ValueError:
            raise ConfigError(
                "[core] fernet_key: each key must be 32 bytes in URL-safe base64, 44 characters long"
            ) from None
        self._fernet = MultiFernet(fernets) if fernets else None

    @classmethod
    def from_config(cls, config: Config) -> Vault:
        """The vault of `[core] fernet_key`. Raises ConfigError for an invalid key."""
        return cls(config.get("core", "fernet_key"), Masker.from_config(config))

    def encrypt(self, text: str) -> tuple[str, bool]:
        """The text to store, and whether it is encrypted: without a key it is stored as it is."""
        if self._fernet is None:
            return text, False
        return self._fernet.encrypt(text.encode()).decode(), True

    def decrypt(self, token: str | bytes, what: str = "a stored value") -> str | None:
        """The plain text of a Fernet token; None, and one log line that names `what`, when no key fits."""
        try:
            if self._fernet is not None:
                return self._fernet.decrypt(token.encode() if isinstance(token, str) else token).decode()
            log.warning("Cannot decrypt %s: [core] fernet_key is empty", what)
        except (InvalidToken, ValueError):  # ValueError: neither the token nor the plain text need be UTF-8
            log.warning("Cannot decrypt %s: no key of [core] fernet_key fits", what)
        return None

    def reveal(self, stored: str | None, is_encrypted: bool | None, what: str = "a stored value") -> str | None:
        """The plain text of a column that has an `is_encrypted` flag beside it; None when it cannot be decrypted."""
        return self.decrypt(stored, what) if is_encrypted and stored else stored


class Masker:
    """Replaces secrets by `***`: values with a sensitive name, in any depth, and passwords in URLs."""

    def __init__(self, names: Iterable[str] = (), enabled: bool = True) -> None:
        """`names` are further parts of names that mark a value as secret."""
        self._parts = tuple({*SENSITIVE_NAMES, *(part for name in names if (part := name.strip().lower()))})
        sensitive = "|".join(map(re.escape, self._parts))
        word = r"""[^=:{\s?&;,"']{0,64}"""
        name = f"{word}(?:{sensitive}){word}"
        self.enabled = enabled
        self._known = lru_cache(_REMEMBERED)(self._has_part)
        self._query = re.compile(rf"""([?&]{name}=)[^\s&;,"']+""", re.IGNORECASE)
        # In text of no known syntax: name=value, name: value, and what is left of broken JSON or a Python dict.
        # ('password', 'x') or 'password': 'x': the text of a Python object
        self._quoted = re.compile(
            rf"""(["'][^"']{{0,64}}(?:{sensitive})[^"']{{0,64}}["']\s*[,:]\s*)(["']).*?(?<!\\)\2""", re.IGNORECASE
        )
        self._pairs = re.compile(
            rf"""((?:^|[?&;,\s{{"']){name}["']?\s{{0,8}}[=:]\s{{0,8}})("[^"]*"?|'[^']*'?|[^\s&;,"']+)""", re.IGNORECASE
        )
        # password='x': an argument in a line of Python code
        argument = rf"(?<!\w)\w{{0,64}}(?:{sensitive})\w{{0,64}}"
        self._arguments = re.compile(rf"""({argument}\s{{0,8}}=\s{{0,8}})(["']).*?(?<!\\)\2""", re.IGNORECASE)
        # Text without any of these holds nothing to mask; escapes may hide a name, and -p is followed by a password.
        written = (orjson.dumps(part).decode()[1:-1] for part in self._parts)  # in JSON, with its escapes
        self._hints = (*{*self._parts, *written}, "://", "\\u", "\\/", "'-p'")

    @classmethod
    def from_config(cls, config: Config) -> Masker:
        """The masker of `[core] sensitive_var_conn_names` and `hide_sensitive_var_conn_fields`."""
        names = config.get("core", "sensitive_var_conn_names").split(",")
        return cls(names, config.get_bool("core", "hide_sensitive_var_conn_fields"))

    def is_sensitive(self, name: object) -> bool:
        """True when a value with this name is to be hidden; never for a name that is no text."""
        if not self.enabled or not isinstance(name, str):
            return False
        return self._known(name) if len(name) < _SHORT else self._has_part(name)

    def _has_part(self, name: str) -> bool:
        name = name.lower()
        return any(part in name for part in self._parts)

    def mask(self, value: Any, name: object = None) -> Any:
        """A copy of JSON-like data without secrets; `name` is the name that the whole value has."""
        if not self.enabled:
            return value
        if self.is_sensitive(name):
            return _hide(value)
        if isinstance(value, str):
            return self._mask_command(value) if name == "full_command" else self._mask_string(value)
        if isinstance(value, dict):
            return self._mask_object(value)
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value)(self.mask(item) for item in value)
        return value

    def mask_parsed(self, value: Any) -> Any:
        """As `mask`, for what was read from JSON: most of it holds no secret and is not looked through part by part."""
        try:
            text = orjson.dumps(value).decode()
        except TypeError:  # it holds what orjson does not write, such as large integers
            return self.mask(value)
        return self.mask(value) if self._may_hold(text) else value

    def _may_hold(self, text: str) -> bool:
        lower = text.lower()
        for hint in self._hints:  # noqa: SIM110  # `any` takes three times as long
            if hint in lower:
                return True
        return False

    def mask_json(self, text: str) -> str:
        """JSON text without secrets, written anew as Airflow does for a connection's extra; other text is searched."""
        return self._mask_text(text, anew=True)

    def mask_audit(self, text: str) -> str:
        """The text of an audit row without secrets, character for character as stored when it holds none."""
        return self._mask_text(text, anew=False) if self._may_hold(text) else text

    def mask_code(self, text: str) -> str:
        """Python code or a stack trace without the literals that have a sensitive name, and passwords in URLs."""
        if not self.enabled:
            return text
        text = self._quoted.sub(rf"\1\2{MASK}\2", self._mask_string(text))
        return self._arguments.sub(rf"\1\2{MASK}\2", text)

    def _mask_text(self, text: str, anew: bool) -> str:
        try:
            value, ambiguous = _parse(text)
            masked = self.mask(value)
            return json.dumps(masked) if anew or ambiguous or masked != value else text
        except RecursionError:  # too deep to look through, so show nothing of it
            return MASK if self.enabled else text
        except ValueError:
            if not self.enabled:
                return text
            text = self._quoted.sub(rf"\1\2{MASK}\2", self._mask_string(text))
            return self._pairs.sub(rf"\1{MASK}", text)

    def _mask_object(self, value: dict[Any, Any]) -> dict[Any, Any]:
        masked = {key: self.mask(item, key) for key, item in value.items()}
        # {"key": "my_password", "value": "..."}: a variable, or an environment variable of a container.
        if self.is_sensitive(value.get("key")) or self.is_sensitive(value.get("name")):
            masked |= {key: _hide(value[key]) for key in ("value", "val") if key in value}
        return masked

    def _mask_string(self, text: str) -> str:
        if text[:1] in ("{", "["):
            try:
                value, ambiguous = _parse(text)
                masked = self.mask(value)
                return json.dumps(masked) if ambiguous or masked != value else text
            except RecursionError:
                return MASK
            except ValueError:
                pass  # not JSON, but it may hold a URL
        if "://" not in text:
            return text
        return self._query.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1{MASK}@", text))

    def _mask_command(self, text: str) -> str:
        """Mask the `full_command` of a command line's audit row: the text of a Python list of words."""
        try:
            words = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return self._pairs.sub(rf"\1{MASK}", self._mask_string(text))
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            return self._mask_string(text)
        masked = [self._mask_word(words, place) for place in range(len(words))]
        return str(masked) if masked != words else text

    def _mask_word(self, words: list[str], place: int) -> str:
        word, before = words[place], words[place - 1] if place else ""
        option, equals, _ = word.partition("=")
        if word.startswith("--") and equals:
            return f"{option}={COMMAND_MASK}" if self.is_sensitive(option) else self._mask_string(word)
        is_option = before.startswith("-") and "=" not in before
        if (is_option and self.is_sensitive(before)) or (before == "-p" and "users" in words[:place]):
            return COMMAND_MASK
        if words[1:3] == ["variables", "set"] and place == 4 and self.is_sensitive(words[3]):
            return COMMAND_MASK
        return self._mask_string(word)


def _hide(value: Any) -> Any:
    """Every text and number becomes `***`; None and booleans stay; containers keep their shape, as in Airflow."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {key: _hide(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(_hide(item) for item in value)
    return MASK


def _parse(text: str) -> tuple[Any, bool]:
    """The value of a JSON text, and whether an object has a name twice: then one value hides the other."""
    ambiguous = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal ambiguous
        found = dict(pairs)
        ambiguous = ambiguous or len(found) < len(pairs)
        return found

    return json.loads(text, object_pairs_hook=members), ambiguous
