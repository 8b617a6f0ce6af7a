"""What of the configuration may be shown: every option with its value, everything sensitive hidden.

Options that hold no secret are known from Airflow's configuration reference and from the metadata of providers
(`airflow_options.cfg`). Any other option may belong to anything, so its name, its section and its value are judged.
"""

from __future__ import annotations

import configparser
import re
from functools import cache
from pathlib import Path

from windsock.config import HIDDEN, Config
from windsock.crypto import MASK, Masker
from windsock.settings import is_sensitive_option

_REFERENCE = Path(__file__).with_name("airflow_options.cfg")
#: In the name of an option, or of a section, that Airflow does not know.
_SECRETIVE = re.compile(
    r"passw|passphrase|passcode|pwd|secret|token|api_?key|private|credential|fernet|dsn|salt|cookie|signature|jwt"
    r"|auth$|key$|conn$|conn_str|connection_string|broker|kwargs$|username$",
    re.IGNORECASE,
)
_SECRETIVE_SECTION = re.compile(r"passw|secret|token|credential|environment_variables", re.IGNORECASE)
#: user:password@host without a scheme, as in `[elasticsearch] host`.
_LOGIN = re.compile(r"""(^|[\s,;"'=])([^\s:/@,;"'=]+):[^\s/@,;"']+@(?=[\w.-])""")


@cache
def reference() -> dict[tuple[str, str], str | None]:
    """Section and option -> Airflow's default, None where there is none."""
    parser = configparser.RawConfigParser(allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(_REFERENCE.read_text("utf-8"))
    return {(section, key): value for section in parser.sections() for key, value in parser.items(section)}


class Exposure:
    """A configuration as it may be shown; `known_only` hides what is not known to hold no secret, too."""

    def __init__(self, config: Config, known_only: bool = False) -> None:
        self._config, self._known_only = config, known_only
        names = config.get("core", "sensitive_var_conn_names").split(",")
        self._masker = Masker(names)  # whatever else the configuration says about masking

    def names(self) -> dict[str, list[str]]:
        """Section -> its options, sorted: all that are written somewhere, and all that have a default."""
        found: dict[str, list[str]] = {}
        for section, key in sorted(self._config.names() | _defaults()):
            found.setdefault(section, []).append(key)
        return found

    def value(self, section: str, key: str) -> str:
        """What to show for one option."""
        if is_sensitive_option(section, key):
            return HIDDEN
        if _unknown(self._config, section, key) and (self._known_only or _suspicious(section, key, self._masker)):
            return HIDDEN
        value = _value(self._config, section, key)
        return _LOGIN.sub(rf"\1\2:{MASK}@", self._masker.mask_audit(value))


@cache
def _defaults() -> frozenset[tuple[str, str]]:
    return frozenset(name for name, value in reference().items() if value is not None)


def _unknown(config: Config, section: str, key: str) -> bool:
    return (section, key) not in reference() and config.default(section, key) is None


def _suspicious(section: str, key: str, masker: Masker) -> bool:
    return bool(_SECRETIVE.search(key) or _SECRETIVE_SECTION.search(section) or masker.is_sensitive(key))


def _value(config: Config, section: str, key: str) -> str:
    """As it is written, since what a variable or another option puts into it may be secret; else the default."""
    written = config.written(section, key)
    if written is not None:
        return written
    default = config.default(section, key)
    if default is None:
        default = (reference().get((section, key)) or "").replace("{AIRFLOW_HOME}", str(config.home))
    return default
