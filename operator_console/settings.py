"""The console's settings, from its environment."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shared.settings import DatabaseUrl, SettingsSchema


@dataclass(frozen=True)
class ConsoleSettings:
    """All that the console is told from outside."""

    database_url: str = field(repr=False)


class ConsoleSettingsSchema(SettingsSchema):
    """How the console's settings are written."""

    result: ClassVar[Callable[..., Any]] = ConsoleSettings

    database_url = DatabaseUrl(
        "DATABASE_URL", "Where the outbox is; log in as a member of signpost_console.", is_secret=True
    )
