"""Base class of the models: column types and the clock."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import DateTime, Dialect, Text, TypeDecorator, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

from shared.vocabulary import (
    Channel,
    DeadReason,
    Locale,
    OrganizationStatus,
    Priority,
    Purpose,
    Status,
    Template,
    UserStatus,
)

NOW = text("now()")

Found = TypeVar("Found")


class EnumText(TypeDecorator[StrEnum]):
    """A member of one or two enums, stored as text. So an enum can grow while the previous release still runs."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum], beside: type[StrEnum] | None = None) -> None:
        super().__init__()
        self.kind = kind
        self.beside = beside
        self._members: dict[str, StrEnum] = {word.value: word for each in (kind, beside) if each for word in each}
        self._plain = {word: word for word in self._members}

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the value as text."""
        return None if value is None else _known(self._plain, value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the member. Raises ValueError for an unknown value."""
        return None if value is None else _known(self._members, value)


def _known(words: Mapping[str, Found], word: str) -> Found:
    try:
        return words[word]
    except KeyError:
        raise ValueError("not a value of the enum") from None


class Base(DeclarativeBase):
    """Map datetimes to timestamptz, strings to text and dicts to jsonb."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        datetime: DateTime(timezone=True),
        str: Text(),
        UUID: Uuid(),
        dict[str, Any]: JSONB(),
        Channel: EnumText(Channel),
        Status: EnumText(Status),
        DeadReason: EnumText(DeadReason),
        Template: EnumText(Template),
        Priority: EnumText(Priority),
        Purpose: EnumText(Purpose),
        UserStatus: EnumText(UserStatus),
        OrganizationStatus: EnumText(OrganizationStatus),
        Locale: EnumText(Locale),
    }
