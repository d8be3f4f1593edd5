"""Settings of `tenants`."""

from dataclasses import dataclass, field
from typing import ClassVar

from shared.secrets import SecretKeys
from shared.settings import DatabaseUrl, KeyRing, SettingsSchema


@dataclass(frozen=True)
class TenantsSettings:
    """Settings of `tenants migrate`."""

    provision_database_url: str = field(repr=False)


class TenantsSettingsSchema(SettingsSchema):
    """Environment variables of these settings."""

    result: ClassVar[type[TenantsSettings]] = TenantsSettings

    provision_database_url = DatabaseUrl(
        "PROVISION_DATABASE_URL",
        "The server of organizations' databases, without a pooler; log in as the role that creates them.",
        is_secret=True,
    )


@dataclass(frozen=True)
class PasswordsSettings(TenantsSettings):
    """Settings of `tenants passwords`."""

    secret_keys: SecretKeys


class PasswordsSettingsSchema(TenantsSettingsSchema):
    """Environment variables of these settings."""

    result: ClassVar[type[TenantsSettings]] = PasswordsSettings

    secret_keys = KeyRing(
        "SECRET_KEYS",
        "`id:base64,id:base64`, as for the relays; passwords are derived from the first.",
        is_secret=True,
    )
