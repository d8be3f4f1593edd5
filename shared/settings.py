"""Read a process's settings from its environment, once, and report all errors together.

A service declares its settings as a ``SettingsSchema``. ``read`` returns a frozen object, or raises SettingsError with
one line per error. A test compares docs/reference/settings.md with the declarations.
"""

import base64
import binascii
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, missing

from shared.db.connection_settings import is_database_url
from shared.log import print_error
from shared.secrets import LONGEST_KEY_BYTES, SHORTEST_KEY_BYTES, SecretKeys
from shared.tracing import ENDPOINTS, is_tracing_enabled
from shared.urls import HIGHEST_PORT, is_loopback, is_web_url

EXIT_WRONG_SETTINGS = 2
SIMILARITY = 0.85
"""Names with this ratio of difflib are similar. ``OWNER_DATABASE_URL`` and ``DATABASE_URL`` have 0.8."""
LOG_LEVELS = ("debug", "info", "warning", "error")

_PLACE = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]{1,5})")
NOT_SET: dict[str, Any] = {"required": "is not set"}


class SettingsError(Exception):
    """The settings are invalid. ``errors`` has one line per error."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


class SettingsSchema(Schema):
    """A process's settings. Each field's ``data_key`` is the name of the environment variable.

    Messages are predicates ("is not set"), which follow the variable's name.
    """

    result: ClassVar[Callable[..., Any]]
    prefix: ClassVar[str | None] = None
    """Variables that begin with it are settings of this process only."""

    def read(self, environment: Mapping[str, str]) -> Any:
        """Return ``result`` with the values. Raises SettingsError with all errors."""
        values, errors = self._collect(environment)
        loaded: dict[str, Any] = {}
        try:
            loaded = self.load(values)
        except ValidationError as error:
            errors |= {
                name: self._lines_about(name, predicates, values)
                for name, predicates in error.messages_dict.items()
                if name not in errors
            }
        if errors:
            raise SettingsError([line for lines in errors.values() for line in lines])
        return type(self).result(**loaded)

    def unknown_variables(self, environment: Mapping[str, str]) -> list[str]:
        """Return a line for each variable that looks like a setting but is unknown."""
        known = set(self._fields_by_name())
        known |= {f"{name}_FILE" for name, field in self._fields_by_name().items() if field.metadata["is_secret"]}
        lines = []
        for name in sorted(environment.keys() - known):
            similar = get_close_matches(name.upper(), known, n=1, cutoff=SIMILARITY)
            if similar:
                lines.append(f"{name} is not a setting; did you mean {similar[0]}?")
            elif self.prefix and name.startswith(self.prefix):
                lines.append(f"{name} is not a setting")
        return lines

    def _collect(self, environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, list[str]]]:
        values: dict[str, str] = {}
        errors: dict[str, list[str]] = {}
        for name, field in self._fields_by_name().items():
            try:
                value = _value_of(name, environment, field.metadata)
            except SettingsError as error:
                errors[name] = error.errors
                values[name] = ""  # it is set, so the schema must not report it as missing
                continue
            if value:
                values[name] = value
        return values, errors

    def _lines_about(self, name: str, predicates: list[str], values: Mapping[str, str]) -> list[str]:
        if name == "_schema":
            return predicates
        is_secret = self._fields_by_name()[name].metadata["is_secret"]
        shown = name if is_secret or name not in values else f"{name}={values[name]!r}"
        return [f"{shown} {predicate}" for predicate in predicates]

    def _fields_by_name(self) -> dict[str, fields.Field[Any]]:
        return {str(field.data_key): field for field in self.fields.values()}


def _value_of(name: str, environment: Mapping[str, str], about: Mapping[str, Any]) -> str | None:
    path = environment.get(f"{name}_FILE") if about["is_secret"] else None
    if not path:
        return environment.get(name)
    if environment.get(name):
        raise SettingsError([f"{name} and {name}_FILE are both set: keep one of them"])
    try:
        if about.get("must_be_private") and Path(path).stat().st_mode & stat.S_IROTH:
            raise SettingsError([f"{name}_FILE={path!r} can be read by others: chmod o= would keep them out"])
        return Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{name}_FILE={path!r} cannot be read: {type(error).__name__}"]) from error


def described(name: str, meaning: str, default: Any, *, unit: str = "", is_secret: bool = False) -> dict[str, Any]:
    """Return a field's options. Without a default it is required. A secret can also come from the file in NAME_FILE."""
    options: dict[str, Any] = {"required": True} if default is missing else {"load_default": default}
    return options | {"data_key": name, "metadata": {"meaning": meaning, "unit": unit, "is_secret": is_secret}}


class Text(fields.String):
    """Any text. ``about`` contains ``unit`` and ``is_secret``. Subclasses turn it into a value."""

    def __init__(self, name: str, meaning: str, *, default: Any = missing, **about: Any) -> None:
        super().__init__(error_messages=NOT_SET, **described(name, meaning, default, **about))

    def parse(self, text: str) -> Any:
        """Return the value. Raises ValueError with a predicate, or ValidationError with several."""
        return text

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        try:
            return self.parse(str(super()._deserialize(value, *rest, **more)))
        except ValueError as error:
            raise ValidationError(str(error)) from error


class OrganizationMigrations(Text):
    """The application's migrations of organizations' databases, which ``read`` parses."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        super().__init__(
            "ORGANIZATION_MIGRATIONS",
            "The application's migrations of organizations' databases: the folder of an Alembic environment, or a"
            " revision and the command that upgrades the database of DATABASE_URL to it. Without it, databases start"
            " empty.",
            unit="folder or `REVISION: COMMAND`",
            default=None,
        )
        self._read = read

    def parse(self, text: str) -> Any:
        """Return the command and its revision."""
        try:
            return self._read(text)
        except OSError as error:
            raise ValidationError(str(error)) from error


class Whole(fields.Integer):
    """A whole number within ``bounds``, inclusive."""

    def __init__(
        self, name: str, meaning: str, *, bounds: tuple[int, int], default: Any = missing, **about: Any
    ) -> None:
        def within(number: int) -> None:
            if not bounds[0] <= number <= bounds[1]:
                raise ValidationError(f"is not from {bounds[0]} to {bounds[1]}")

        messages = NOT_SET | {"invalid": "is not a whole number"}
        super().__init__(validate=within, error_messages=messages, **described(name, meaning, default, **about))


class Choice(Text):
    """A value of the enum ``kind``, whose values are lower-case. Case is ignored."""

    def __init__(self, kind: type[StrEnum], name: str, meaning: str, **about: Any) -> None:
        super().__init__(name, meaning, **about)
        self.kind = kind

    def parse(self, text: str) -> StrEnum:
        """Return the member."""
        if text.lower() not in list(self.kind):
            raise ValueError(f"is not one of {', '.join(self.kind)}")
        return self.kind(text.lower())


class Switch(Text):
    """``on`` or ``off`` as a bool. Case is ignored."""

    def parse(self, text: str) -> bool:
        """Return whether it is on."""
        if text.lower() not in ("on", "off"):
            raise ValueError("is neither on nor off")
        return text.lower() == "on"


class FileContent(Text):
    """The path of a file whose content is the value. ``read`` raises ValueError with a predicate for each error."""

    def __init__(self, read: Callable[[Path], Any], name: str, meaning: str, **about: Any) -> None:
        super().__init__(name, meaning, unit="path", **about)
        self.read = read

    def parse(self, text: str) -> Any:
        """Return what ``read`` returns."""
        try:
            return self.read(Path(text))
        except ValueError as error:
            raise ValidationError([str(predicate) for predicate in error.args]) from error


class DatabaseUrl(Text):
    """``postgresql+psycopg://user:password@host/database``."""

    def parse(self, text: str) -> str:
        """Return the URL unchanged."""
        if not text.startswith("postgresql+psycopg://"):
            raise ValueError("does not begin with postgresql+psycopg://")
        if not is_database_url(text):
            raise ValueError("cannot be read: it needs a database, a numeric port, and percent-encoded parts")
        return text


class WebUrl(Text):
    """An http or https URL without query and fragment. Removes trailing slashes and lower-cases scheme and host."""

    def parse(self, text: str) -> str:
        """Return the base URL."""
        url = text.rstrip("/")
        if not is_web_url(url) or urlsplit(url).query or urlsplit(url).fragment:
            raise ValueError("is not an http or https URL")
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.lower()).geturl()


class CallbackBaseUrl(WebUrl):
    """A WebUrl that is https, unless its host is this machine: the URLs below it are secrets."""

    def parse(self, text: str) -> str:
        """Return the base URL."""
        url = super().parse(text)
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError("is not an https URL")
        return url


class Bind(Text):
    """``host:port`` or ``[IPv6]:port`` as a pair of host and port, without brackets."""

    def parse(self, text: str) -> tuple[str, int]:
        """Return host and port."""
        found = _PLACE.fullmatch(text)
        if found is None or int(found["port"]) > HIGHEST_PORT:
            raise ValueError("is not host:port, or [IPv6]:port")
        return found["ipv6"] or found["host"], int(found["port"])


class AdminBind(Bind):
    """The address of a process's admin listener, by default a port on loopback."""

    def __init__(self, name: str, *, port: int) -> None:
        meaning = "The address of /livez, /readyz and /metrics. Keep it away from clients."
        super().__init__(name, meaning, unit="host:port", default=("127.0.0.1", port))


class KeyRing(Text):
    """``id:base64,id:base64``, newest key first."""

    def parse(self, text: str) -> SecretKeys:
        """Return the keys. Reports the errors of all entries."""
        keys: dict[str, bytes] = {}
        errors: dict[str, None] = {}
        for entry in text.split(","):
            try:
                _add_key(keys, *entry.strip().partition(":"))
            except ValueError as error:
                errors[str(error)] = None
        if errors:
            raise ValidationError(list(errors))
        return SecretKeys(keys)


def _add_key(keys: dict[str, bytes], key_id: str, colon: str, encoded: str) -> None:
    # An entry without a colon may be a key, so the message must not quote it.
    if not (key_id and colon) or key_id in keys:
        raise ValueError("has an entry without an id of its own; each is id:base64")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"has a key, {key_id!r}, that is not base64") from error
    if not SHORTEST_KEY_BYTES <= len(key) <= LONGEST_KEY_BYTES:
        raise ValueError(f"has a key, {key_id!r}, not of {SHORTEST_KEY_BYTES} to {LONGEST_KEY_BYTES} bytes")
    keys[key_id] = key


class LogLevel(Text):
    """A level name in lower case. Case is ignored."""

    def __init__(self) -> None:
        super().__init__("LOG_LEVEL", "debug, info, warning or error.", unit="level", default="info")

    def parse(self, text: str) -> str:
        """Return the level."""
        if text.lower() not in LOG_LEVELS:
            raise ValueError(f"is not one of {', '.join(LOG_LEVELS)}")
        return text.lower()


def check_tracing(environment: Mapping[str, str]) -> None:
    """Raise SettingsError if traces are enabled but the extra is not installed."""
    if is_tracing_enabled(environment) and find_spec("opentelemetry") is None:
        name = next(name for name in ENDPOINTS if environment.get(name))
        raise SettingsError([f"{name} is set, and signpost[traces] is not installed"])


def read_or_exit(schema: SettingsSchema, *checks: Callable[[Mapping[str, str]], None]) -> Any:
    """Run the checks on this process's environment and read it with the schema.

    Exits like ``exit_with_errors`` if one raises SettingsError.
    """
    try:
        for check in checks:
            check(os.environ)
        return schema.read(os.environ)
    except SettingsError as error:
        exit_with_errors(error)


def report_checked(schema: SettingsSchema) -> None:
    """Print warnings to standard error, and that the settings are valid."""
    unknown = schema.unknown_variables(os.environ)
    for line in unknown:
        sys.stderr.write(f"settings: warning: {line}\n")
    sys.stdout.write("settings: valid, with warnings\n" if unknown else "settings: all well\n")
    sys.stdout.flush()


def exit_with_errors(error: SettingsError) -> NoReturn:
    """Print one line per error to standard error and exit with status 2."""
    for line in error.errors:
        print_error(f"settings: {line}")
    sys.exit(EXIT_WRONG_SETTINGS)
