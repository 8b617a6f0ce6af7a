"""Airflow's own configuration: the same file, sections, keys and variables, and commands that give secrets."""

from __future__ import annotations

import configparser
import ipaddress
import logging
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from windsock.settings import BY_NAME, SETTINGS, Setting, is_sensitive_option

log = logging.getLogger(__name__)

HIDDEN = "< hidden >"
_TRUE, _FALSE = {"t", "true", "1"}, {"f", "false", "0"}


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which setting and what to do, and never shows a secret."""


def _variable(section: str, key: str) -> str:
    return f"AIRFLOW__{section.replace('.', '_').upper()}__{key.upper()}"


def _expand(value: str, environ: Mapping[str, str]) -> str:
    """Replace `$NAME`, `${NAME}` and a leading `~` until nothing changes (at most ten times); unknown names stay."""
    for _ in range(10):
        new = re.sub(r"\$(\w+|\{[^}]*\})", lambda m: environ.get(m[1].strip("{}"), m[0]), value)
        if new == "~" or new.startswith("~/"):
            new = environ.get("HOME", os.path.expanduser("~")) + new[1:]
        new = os.path.expanduser(new)
        if new == value:
            break
        value = new
    return value


class Config:
    """Read access to the configuration; make it with `Config.load`, or `Config({(section, key): value})` in a test."""

    def __init__(
        self,
        overrides: Mapping[tuple[str, str], object] | None = None,
        environ: Mapping[str, str] | None = None,
        file: configparser.ConfigParser | None = None,
    ) -> None:
        self._overrides = {k: str(v) for k, v in (overrides or {}).items()}
        self._environ = {} if environ is None else environ
        self._file = file or _parser()
        self._known: dict[tuple[str, str], str] = {}
        #: The file that was read, if there was one.
        self.source: Path | None = None

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        environ: Mapping[str, str] = os.environ,
        overrides: Mapping[tuple[str, str], object] | None = None,
    ) -> Config:
        """Read `path`, else `$AIRFLOW_CONFIG`, else `$AIRFLOW_HOME/airflow.cfg` (which alone may be missing).

        Raises ConfigError for a file that is missing or malformed.
        """
        config = cls(overrides, environ)
        named = path or environ.get("AIRFLOW_CONFIG")
        source = Path(_expand(str(named), environ)) if named else config.home / "airflow.cfg"
        if not named and not source.is_file():
            return config
        try:
            config._file.read_string(source.read_text(encoding="utf-8"), str(source))
        except OSError as error:
            raise ConfigError(f"Cannot read the configuration file {source}: {error.strerror}") from error
        except (UnicodeDecodeError, configparser.Error) as error:
            # Only the kind and the place: a parser's own message quotes the line, which may hold a secret.
            line = getattr(error, "lineno", None)
            place = f"{source}, line {line}" if line else str(source)
            raise ConfigError(f"{place}: not a valid configuration file ({type(error).__name__})") from None
        config.source = source
        return config

    @property
    def home(self) -> Path:
        """`$AIRFLOW_HOME`, or `~/airflow`."""
        return Path(_expand(self._environ.get("AIRFLOW_HOME", "~/airflow"), self._environ))

    def variables(self) -> Mapping[str, str]:
        """The variables of the environment that it reads."""
        return self._environ

    def get(self, section: str, key: str) -> str:
        """The value as text; ConfigError when the option has neither a value nor a default.

        Order, as Airflow's: variable, variable `_CMD`, file, `key_cmd` in the file, default; old places rank with new.
        """
        name = (section.lower(), key.lower())
        if name not in self._known:
            self._known[name] = self._look_up(*name)
        return self._known[name]

    def get_int(self, section: str, key: str) -> int:
        """The value as an integer; ConfigError when it is none."""
        try:
            return int(self._word(section, key))
        except ValueError:
            raise self._wrong(section, key, "an integer") from None

    def get_float(self, section: str, key: str) -> float:
        """The value as a number; ConfigError when it is none."""
        try:
            return float(self._word(section, key))
        except ValueError:
            raise self._wrong(section, key, "a number") from None

    def get_bool(self, section: str, key: str) -> bool:
        """The value as a boolean (`true`, `t`, `1`, `false`, `f`, `0`, in any case, as Airflow's)."""
        word = self._word(section, key).lower()
        if word not in _TRUE | _FALSE:
            raise self._wrong(section, key, "True or False")
        return word in _TRUE

    def get_choice(self, section: str, key: str) -> str:
        """The value as the one of the setting's choices that it is in any case; ConfigError when it is none."""
        choices = BY_NAME[section, key].choices
        word = self._word(section, key).lower()
        for choice in choices:
            if choice.lower() == word:
                return choice
        raise self._wrong(section, key, f"{', '.join(choices[:-1])} or {choices[-1]}")

    def get_list(self, section: str, key: str) -> list[str]:
        """The non-empty parts of a value that commas or white space separate."""
        return [part for part in re.split(r"[,\s]+", self.get(section, key)) if part]

    def is_set(self, section: str, key: str) -> bool:
        """True when anything but the default gives the value. A command is run to find out."""
        return self._given(section.lower(), key.lower()) is not None

    def sections(self) -> list[str]:
        """Names of all sections: known ones, those of the file and those of the variables."""
        return sorted({section for section, _ in self.names()})

    def items(self, section: str, reveal: bool = False) -> list[tuple[str, str]]:
        """Keys and values of a section, sorted; sensitive values read `< hidden >` unless `reveal`."""
        keys = sorted(key for part, key in self.names() if part == section)
        return [
            (k, HIDDEN if is_sensitive_option(section, k) and not reveal else self._look_up(section, k)) for k in keys
        ]

    def written(self, section: str, key: str) -> str | None:
        """An option as it is written down: nothing expanded, no command run. None when only a default, if any, is."""
        if (section, key) in self._overrides:
            return self._overrides[section, key]
        setting = BY_NAME.get((section, key))
        places = ((section, key), *(setting.old if setting else ()))
        variables = (_variable(*place) for place in places)
        files = (self._file.get(*place, raw=True) for place in places if self._file.has_option(*place))
        found = next((self._environ[name] for name in variables if name in self._environ), None)
        return next((text.replace("%%", "%") for text in files), None) if found is None else found

    def default(self, section: str, key: str) -> str | None:
        """The default of a setting of the table; None for any other option."""
        setting = BY_NAME.get((section, key))
        return setting.default.replace("{AIRFLOW_HOME}", str(self.home)) if setting else None

    def check(self) -> None:
        """Read every setting of the table once with its type; ConfigError names the first that cannot be used."""
        for setting in SETTINGS:
            self._check(setting)
        _ = self.database_url, self.replica_url
        self._check_formats()
        keys = {self.get("webserver", "secret_key"), *self.get_list("windsock", "old_secret_keys")}
        if "temporary_key" in keys:  # the shared default of old releases, CVE-2020-17526
            raise ConfigError("[webserver] secret_key is the publicly known old default: set a random one")

    def _check(self, setting: Setting) -> None:
        place = (setting.section, setting.key)
        if setting.choices:
            self.get_choice(*place)
        value = getattr(self, "get" if setting.type == "str" else f"get_{setting.type}")(*place)
        if setting.least is not None and value < setting.least:
            raise self._wrong(*place, f"at least {setting.least}")
        if setting.above is not None and value <= setting.above:
            raise self._wrong(*place, f"more than {setting.above}")

    def _check_formats(self) -> None:
        if self._word("webserver", "expose_config").lower() != "non-sensitive-only":
            try:
                self.get_bool("webserver", "expose_config")
            except ConfigError:
                raise self._wrong("webserver", "expose_config", "True, False or non-sensitive-only") from None
        try:
            re.compile(self.get("scheduler", "allowed_run_id_pattern"))
        except re.error:
            raise self._wrong("scheduler", "allowed_run_id_pattern", "a regular expression") from None
        try:
            for network in self.get_list("windsock", "test_connection_deny"):
                ipaddress.ip_network(network)
        except ValueError:
            expected = "a list of networks such as 10.0.0.0/8"
            raise self._wrong("windsock", "test_connection_deny", expected) from None

    @property
    def database_url(self) -> str:
        """`[database] sql_alchemy_conn` with the driver that Windsock uses; ConfigError for other databases."""
        return self._url("database", "sql_alchemy_conn")

    @property
    def replica_url(self) -> str:
        """`[windsock] sql_alchemy_conn_read` in the same way, empty when there is none; ConfigError unless both fit."""
        place = ("windsock", "sql_alchemy_conn_read")
        if not self.get(*place).strip():
            return ""
        url = self._url(*place)
        if not (url.startswith("postgresql") and self.database_url.startswith("postgresql")):
            raise ConfigError("[windsock] sql_alchemy_conn_read: only a PostgreSQL database has replicas to read from")
        return url

    def _url(self, section: str, key: str) -> str:
        url = self.get(section, key).strip()
        scheme, colon, rest = url.partition(":")
        dialect = scheme.partition("+")[0].lower()
        if dialect in ("postgres", "postgresql") and colon:
            return f"postgresql+psycopg:{rest}"
        if dialect == "sqlite" and colon:
            return f"sqlite:{rest}"
        if dialect in ("mysql", "mariadb") and colon:
            if find_spec("pymysql") is None:
                raise ConfigError(f"[{section}] {key}: {dialect} needs the extra: pip install windsock[mysql]")
            return f"mysql+pymysql:{rest}"
        # Without a colon the text may be anything, a password included: show no part of it.
        shown = dialect if colon and re.fullmatch(r"\w{1,20}", dialect) else "this URL"
        raise ConfigError(
            f"[{section}] {key}: {shown} is not supported. Windsock serves PostgreSQL, MySQL and SQLite databases."
        )

    @property
    def secret_keys(self) -> list[str]:
        """Keys for itsdangerous, the one that signs last. Raises ConfigError when `[webserver] secret_key` is empty."""
        key = self.get("webserver", "secret_key")
        if not key:
            raise ConfigError("[webserver] secret_key is empty: set a random one, the same on every server")
        return [*self.get_list("windsock", "old_secret_keys"), key]

    def names(self) -> set[tuple[str, str]]:
        """Section and key of every option that the table, the file, a variable or an override names."""
        names = set(BY_NAME) | set(self._overrides)
        names |= {(section, key) for section in self._file.sections() for key in self._file.options(section)}
        sections = {section.replace(".", "_"): section for section, _ in names}
        for variable in self._environ:
            if match := re.fullmatch(r"AIRFLOW__(.+?)__(.+)", variable):
                section = match[1].lower()
                names.add((sections.get(section, section), match[2].lower()))
        return {(s, re.sub(r"_(cmd|secret)$", "", k) if _from_elsewhere(s, k) else k) for s, k in names}

    def _look_up(self, section: str, key: str) -> str:
        value = self._given(section, key)
        if value is not None:
            return value
        default = self.default(section, key)
        if default is not None:
            return default
        raise ConfigError(f"[{section}] {key} is not set and has no default")

    def _given(self, section: str, key: str) -> str | None:
        """What anything but the default says; each source is asked for the new place, then for the old ones."""
        if (section, key) in self._overrides:
            return self._overrides[section, key]
        setting = BY_NAME.get((section, key))
        places = ((section, key), *(setting.old if setting else ()))
        for source in (self._from_environ, self._from_file):
            for place in places:
                value = source(*place, commands=is_sensitive_option(section, key))
                if value is not None:
                    if place != (section, key):
                        log.warning("[%s] %s is deprecated: move it to [%s] %s", *place, section, key)
                    return value
        return None

    def _from_environ(self, section: str, key: str, commands: bool) -> str | None:
        name = _variable(section, key)
        if name in self._environ:
            return _expand(self._environ[name], self._environ)
        if commands and name + "_CMD" in self._environ:
            return self._run(self._environ[name + "_CMD"], name + "_CMD")
        if commands and name + "_SECRET" in self._environ:
            raise ConfigError(f"{name}_SECRET: secrets back ends are not supported; use {name} or {name}_CMD")
        return None

    def _from_file(self, section: str, key: str, commands: bool) -> str | None:
        if self._file.has_option(section, key):
            return _expand(self._raw(section, key).replace("{AIRFLOW_HOME}", str(self.home)), self._environ)
        if commands and self._file.has_option(section, key + "_cmd"):
            return self._run(self._raw(section, key + "_cmd"), f"[{section}] {key}_cmd")
        if commands and self._file.has_option(section, key + "_secret"):
            raise ConfigError(f"[{section}] {key}_secret: secrets back ends are not supported; use {key} or {key}_cmd")
        return None

    def _raw(self, section: str, key: str) -> str:
        try:
            return self._file.get(section, key)
        except configparser.InterpolationError:
            raise ConfigError(f"[{section}] {key}: write a percent sign in the file as %%") from None

    def _run(self, command: str, origin: str) -> str:
        """Standard output of a command without its last newline; a failure shows its error output, never its output."""
        try:
            # The command is the operator's own, and no shell reads it
            done = subprocess.run(  # noqa: S603  # nosec B603
                shlex.split(command), capture_output=True, text=True, check=False, env={**os.environ, **self._environ}
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"{origin}: the command cannot be started: {error}") from None
        if done.returncode:
            raise ConfigError(f"{origin}: the command ended with status {done.returncode}: {done.stderr.strip()}")
        return done.stdout.rstrip("\r\n")

    def _word(self, section: str, key: str) -> str:
        return self.get(section, key).partition("#")[0].strip()

    def _wrong(self, section: str, key: str, expected: str) -> ConfigError:
        shown = "" if is_sensitive_option(section, key) else f", not {self.get(section, key)!r}"
        return ConfigError(f"[{section}] {key} must be {expected}{shown}")


def _from_elsewhere(section: str, key: str) -> bool:
    base = re.sub(r"_(cmd|secret)$", "", key)
    return base != key and is_sensitive_option(section, base)


def _parser() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case, as Airflow's do
    return parser
