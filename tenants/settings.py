"""What `tenants` is told from outside."""

from dataclasses import dataclass, field
from typing import ClassVar

from shared.settings import DatabaseUrl, SettingsSchema


@dataclass(frozen=True)
class TenantsSettings:
    """All that `tenants` is told from outside."""

    provision_database_url: str = field(repr=False)


class TenantsSettingsSchema(SettingsSchema):
    """How its settings are written."""

    result: ClassVar = TenantsSettings

    provision_database_url = DatabaseUrl(
        "PROVISION_DATABASE_URL",
        "The server of organizations' databases, past any pooler; log in as the role that the relay makes them with.",
        is_secret=True,
    )
