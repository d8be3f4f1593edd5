"""What `tenants` is told from outside."""

from dataclasses import dataclass, field
from typing import ClassVar

from shared.secrets import SecretKeys
from shared.settings import DatabaseUrl, KeyRing, SettingsSchema


@dataclass(frozen=True)
class TenantsSettings:
    """All that `tenants` is told from outside."""

    provision_database_url: str = field(repr=False)


class TenantsSettingsSchema(SettingsSchema):
    """How its settings are written."""

    result: ClassVar[type[TenantsSettings]] = TenantsSettings

    provision_database_url = DatabaseUrl(
        "PROVISION_DATABASE_URL",
        "The server of organizations' databases, past any pooler; log in as the role that the relay makes them with.",
        is_secret=True,
    )


@dataclass(frozen=True)
class PasswordsSettings(TenantsSettings):
    """All that `tenants passwords` is told from outside."""

    secret_keys: SecretKeys


class PasswordsSettingsSchema(TenantsSettingsSchema):
    """How its settings are written."""

    result: ClassVar[type[TenantsSettings]] = PasswordsSettings

    secret_keys = KeyRing(
        "SECRET_KEYS",
        "`id:base64,id:base64`, as the relays have them; passwords are derived from the first.",
        is_secret=True,
    )
