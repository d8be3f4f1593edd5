"""Settings of `tenants`."""

from dataclasses import dataclass, field
from typing import ClassVar

from shared.settings import DatabaseUrl, OrganizationMigrations, SettingsSchema
from tenants.application import ApplicationMigrations, migrations_of


@dataclass(frozen=True)
class TenantsSettings:
    """Settings of `tenants migrate`, and of `outboxctl organizations adopt`."""

    provision_database_url: str = field(repr=False)
    organization_migrations: ApplicationMigrations | None


class TenantsSettingsSchema(SettingsSchema):
    """Environment variables of these settings."""

    result: ClassVar[type[TenantsSettings]] = TenantsSettings

    provision_database_url = DatabaseUrl(
        "PROVISION_DATABASE_URL",
        "The server of organizations' databases, without a pooler; log in as the role that creates them."
        " `outboxctl organizations adopt` reads it, too.",
        is_secret=True,
    )
    organization_migrations = OrganizationMigrations(migrations_of)
