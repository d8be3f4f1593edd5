"""The settings of `migrate`, from its environment."""

from dataclasses import dataclass, field
from typing import ClassVar

from shared.settings import DatabaseUrl, SettingsSchema


@dataclass(frozen=True)
class MigrateSettings:
    """All that ``migrate`` needs."""

    database_url: str = field(repr=False)


class MigrateSettingsSchema(SettingsSchema):
    """How the settings of ``migrate`` are written."""

    result: ClassVar = MigrateSettings

    database_url = DatabaseUrl("DATABASE_URL", "The database to migrate; log in as its owner.", is_secret=True)
