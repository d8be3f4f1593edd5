"""The relay's settings, from its environment."""

from outbox_relay.settings.look import PreviewSettingsSchema
from outbox_relay.settings.schema import RelaySettingsSchema
from outbox_relay.settings.values import LookSettings, RelaySettings

__all__ = ["LookSettings", "PreviewSettingsSchema", "RelaySettings", "RelaySettingsSchema"]
