"""The relay's settings, from its environment."""

from outbox_relay.settings.look import PreviewSettingsSchema
from outbox_relay.settings.schema import RelaySettingsSchema
from outbox_relay.settings.values import BrandingSettings, RelaySettings

__all__ = ["BrandingSettings", "PreviewSettingsSchema", "RelaySettings", "RelaySettingsSchema"]
