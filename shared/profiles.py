"""Own fields of users: the JSON Schema in PROFILE_SCHEMA (draft 2020-12), and profiles that follow it.

An administrator writes the schema, so its patterns are trusted. Profiles come from anyone: their size, depth and
numbers are limited before the schema sees them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from shared.addresses import InvalidAddressError, deliverable_email
from shared.profile_schema_checks import IN_ROOT_ONLY, Json, JsonPath, errors_in, mark_of, place_of
from shared.strict_json import parse_json
from shared.texts import has_control_characters
from shared.web.problems import NO_SUCH_FIELD, Violation, child_pointer

MAX_FILE_BYTES = 64 * 1024
"""Of PROFILE_SCHEMA."""
MAX_PROFILE_BYTES = 4096
"""As compact JSON in UTF-8."""
MAX_DEPTH = 5
"""Objects and arrays inside each other, with the profile itself."""
MAX_CLAIMS_BYTES = 1024
"""As compact JSON in ASCII, the form in an access token. Many servers reject a header above 4 KiB."""
MAX_NUMBER = 2**53 - 1
"""Larger numbers lose digits in many clients (RFC 7493 §2.2)."""
MAX_ERROR_LENGTH = 200
"""Of an error in a schema: it can quote a part of the file."""
MIN_FRACTION = 1e-15
"""PostgreSQL writes smaller numbers with a zero for each power of ten."""

FORMATS = ("date", "ipv4", "ipv6", "uuid")
"""The formats that jsonschema checks without further packages. E-mail addresses are checked as those of users."""


class ProfileViolation(StrEnum):
    """Stable codes for a part of a profile that breaks a rule."""

    REQUIRED = "required"
    UNKNOWN_FIELD = NO_SUCH_FIELD
    INVALID_TYPE = "invalid_type"
    INVALID_CHOICE = "invalid_choice"
    INVALID_FORMAT = "invalid_format"
    INVALID_VALUE = "invalid_value"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    OUT_OF_RANGE = "out_of_range"
    CONTROL_CHARACTER = "control_character"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    SET_BY_OPERATORS = "set_by_operators"


_CODES: Mapping[str | None, ProfileViolation] = {
    None: ProfileViolation.UNKNOWN_FIELD,  # the schema `false`, at the object or array around it
    "type": ProfileViolation.INVALID_TYPE,
    "unevaluatedProperties": ProfileViolation.UNKNOWN_FIELD,
    "enum": ProfileViolation.INVALID_CHOICE,
    "const": ProfileViolation.INVALID_CHOICE,
    "format": ProfileViolation.INVALID_FORMAT,
    "pattern": ProfileViolation.INVALID_FORMAT,
    **dict.fromkeys(("minLength", "minItems", "minProperties"), ProfileViolation.TOO_SHORT),
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), ProfileViolation.TOO_LONG),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), ProfileViolation.OUT_OF_RANGE
    ),
}
"""By keyword of JSON Schema. All others are INVALID_VALUE."""


class ProfileSchemaError(ValueError):
    """The schema cannot be used. Its arguments are a predicate for each error."""


class ProfileSchema:
    """The schema of profiles.

    Violations have pointers within the profile: ``/first_name``, or an empty one for the whole profile. They never
    contain values.
    """

    def __init__(self, schema: Any) -> None:
        """Check the schema. Raises ProfileSchemaError."""
        # Imported here: it takes a third of a second, which commands and processes without own fields would lose.
        from jsonschema import Draft202012Validator, FormatChecker  # noqa: PLC0415
        from referencing import Registry  # noqa: PLC0415

        regular_expressions = FormatChecker(formats=["regex"])
        check = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=regular_expressions)
        wrong = {(place_of(error.absolute_path), error.message): None for error in check.iter_errors(schema)}
        if wrong := wrong or {(place_of(path), error): None for path, error in errors_in(schema)}:
            raise ProfileSchemaError(*(f"is wrong at {place}: {error[:MAX_ERROR_LENGTH]}" for place, error in wrong))
        has_rule = not schema.keys().isdisjoint({"additionalProperties", "unevaluatedProperties"})
        own = {name: value for name, value in schema.items() if name not in IN_ROOT_ONLY}
        own |= {} if has_rule else {"additionalProperties": False}
        formats = FormatChecker(formats=FORMATS)
        formats.checks("email", raises=InvalidAddressError)(_is_email)
        # The registry is empty, so that no reference is ever fetched.
        self._validator = Draft202012Validator(own, format_checker=formats, registry=Registry())
        marks = {name: mark for name, field in schema.get("properties", {}).items() if (mark := mark_of(field))}
        self.claims = frozenset(name for name, mark in marks.items() if mark.get("claim"))
        self.operator_fields = frozenset(name for name, mark in marks.items() if "set_by" in mark)

    def violations_in(self, profile: Json) -> list[Violation]:
        """Return the violations of a whole profile."""
        return limits_broken_by(profile) or self._against_schema(profile)

    def violations_by_user(self, given: Json) -> list[Violation]:
        """Return the violations of fields that a user gave: limits, and fields that only operators set."""
        denied = [name for name in given if name in self.operator_fields]
        return limits_broken_by(given) or [_violation((name,), ProfileViolation.SET_BY_OPERATORS) for name in denied]

    def claims_of(self, profile: Json) -> Json:
        """Return the claims of an access token, or an empty object if they are too large by an earlier schema."""
        return {} if self._has_too_large_claims(profile) else self._claims_in(profile)

    def _against_schema(self, profile: Json) -> list[Violation]:
        found = [violation for error in self._validator.iter_errors(profile) for violation in _violations_of(error)]
        if self._has_too_large_claims(profile):
            found.append(Violation("", ProfileViolation.TOO_LARGE))
        return list(dict.fromkeys(found))

    def _claims_in(self, profile: Json) -> Json:
        return {name: value for name, value in profile.items() if name in self.claims}

    def _has_too_large_claims(self, profile: Json) -> bool:
        return _length(self._claims_in(profile), ensure_ascii=True) > MAX_CLAIMS_BYTES


def read_profile_schema(path: Path) -> ProfileSchema:
    """Return the schema in that file. Raises ValueError with a predicate, or ProfileSchemaError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ValueError(f"cannot be read: {type(error).__name__}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"has more than {MAX_FILE_BYTES // 1024} KiB")
    try:
        return ProfileSchema(parse_json(content))
    except ProfileSchemaError:
        raise
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error


def merge_patch(target: Any, patch: Any) -> Any:
    """Return the target changed by a JSON merge patch (RFC 7396 §2). Its depth is limited by the caller."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def limits_broken_by(profile: Json) -> list[Violation]:
    """Return violations of the limits for any profile: depth, characters, numbers and size."""
    found = [_violation(path, code) for path, code in _broken_limits(profile, ())]
    if not found and _length(profile, ensure_ascii=False) > MAX_PROFILE_BYTES:
        found = [Violation("", ProfileViolation.TOO_LARGE)]
    return found


def _broken_limits(value: Any, path: JsonPath) -> Iterator[tuple[JsonPath, ProfileViolation]]:
    match value:
        case dict() | list() if len(path) == MAX_DEPTH:
            yield path, ProfileViolation.TOO_DEEP
        case dict() if any(map(_is_unprintable, value)):
            yield path, ProfileViolation.CONTROL_CHARACTER  # the pointer does not repeat the name
        case dict() | list():
            members = value.items() if isinstance(value, dict) else enumerate(value)
            yield from (broken for name, inner in members for broken in _broken_limits(inner, (*path, name)))
        case str() if _is_unprintable(value):
            yield path, ProfileViolation.CONTROL_CHARACTER
        case int() | float() if not _is_portable(value):
            yield path, ProfileViolation.OUT_OF_RANGE


def _is_email(value: Any) -> bool:
    return not isinstance(value, str) or bool(deliverable_email(value))


def _is_unprintable(text: str) -> bool:
    """Return whether it ends with a line end, or has control characters other than tabs and line ends.

    In Python, ``$`` also matches before a line end at the end, so ``^[0-9]$`` would accept one. PostgreSQL cannot store
    NUL.
    """
    allowed = {ord(character): None for character in "\t\n\r"}
    return text.endswith("\n") or has_control_characters(text.translate(allowed))


def _is_portable(number: float) -> bool:
    """Return whether clients and PostgreSQL can represent the number. Comparisons with NaN are false."""
    return abs(number) <= MAX_NUMBER and (number == 0 or abs(number) >= MIN_FRACTION)


def _length(value: Any, *, ensure_ascii: bool) -> int:
    return len(json.dumps(value, ensure_ascii=ensure_ascii, separators=(",", ":")).encode())


def _violations_of(error: Any) -> Iterator[Violation]:
    """Translate an error of jsonschema, whose message contains values."""
    path, names = (*error.absolute_path,), []
    code = _CODES.get(error.validator, ProfileViolation.INVALID_VALUE)
    match error.validator:
        case "required":
            code, names = ProfileViolation.REQUIRED, error.validator_value
        case "dependentRequired":
            code = ProfileViolation.REQUIRED
            names = [
                name for given, needed in error.validator_value.items() if given in error.instance for name in needed
            ]
        case "additionalProperties":
            yield from (_violation((*path, name), ProfileViolation.UNKNOWN_FIELD) for name in _extra(error))
            return
        case _:
            yield _violation(path, code)
    yield from (_violation((*path, name), code) for name in names if name not in error.instance)


def _extra(error: Any) -> list[str]:
    known, patterns = error.schema.get("properties", {}), error.schema.get("patternProperties", {})
    return [
        name for name in error.instance if name not in known and not any(re.search(each, name) for each in patterns)
    ]


def _violation(path: JsonPath, code: ProfileViolation) -> Violation:
    pointer = ""
    for name in path:
        pointer = child_pointer(pointer, str(name))
    return Violation(pointer, code)
