"""Base class of the models: column types and the clock."""

from collections.abc import Iterable, Mapping
from datetime import datetime
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
    UserStatus,
)

NOW = text("now()")

Found = TypeVar("Found")


class EnumText(TypeDecorator[str]):
    """One of several known values, stored as text. So an enum can grow while the previous release still runs."""

    impl = Text
    cache_ok = True

    def __init__(self, members: Iterable[str]) -> None:
        super().__init__()
        self.members = tuple(members)
        self._by_text = {str(member): member for member in self.members}
        self._plain = {text: text for text in self._by_text}

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the value as text."""
        return None if value is None else _known(self._plain, value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the member. Raises ValueError for an unknown value."""
        return None if value is None else _known(self._by_text, value)


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
        Priority: EnumText(Priority),
        Purpose: EnumText(Purpose),
        UserStatus: EnumText(UserStatus),
        OrganizationStatus: EnumText(OrganizationStatus),
        Locale: EnumText(Locale),
    }
