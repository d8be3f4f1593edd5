"""Settings of `tenants`, and the setting that it shares with the relays."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import ValidationError

from shared.settings import DatabaseUrl, SettingsSchema, Text

if TYPE_CHECKING:
    from tenants.application import ApplicationMigrations


class OrganizationMigrations(Text):
    """The application's migrations of organizations' databases."""

    def __init__(self) -> None:
        super().__init__(
            "ORGANIZATION_MIGRATIONS",
            "The application's migrations of organizations' databases: the folder of an Alembic environment, or a"
            " revision and the command that upgrades the database of DATABASE_URL to it. Without it, databases start"
            " empty.",
            unit="folder or `REVISION: COMMAND`",
            default=None,
        )

    def parse(self, text: str) -> Any:
        """Return the command and its revision."""
        from tenants.application import migrations_of  # noqa: PLC0415 - an option

        try:
            return migrations_of(text)
        except (OSError, ValueError) as error:
            raise ValidationError(str(error)) from error


@dataclass(frozen=True)
class TenantsSettings:
    """Settings of `tenants migrate`."""

    provision_database_url: str = field(repr=False)
    organization_migrations: "ApplicationMigrations | None"


class TenantsSettingsSchema(SettingsSchema):
    """Environment variables of these settings."""

    result: ClassVar[type[TenantsSettings]] = TenantsSettings

    provision_database_url = DatabaseUrl(
        "PROVISION_DATABASE_URL",
        "The server of organizations' databases, without a pooler; log in as the role that creates them.",
        is_secret=True,
    )
    organization_migrations = OrganizationMigrations()
