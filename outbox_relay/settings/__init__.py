"""The relay's settings, from its environment."""

from outbox_relay.settings.schema import RelaySettingsSchema
from outbox_relay.settings.values import RelaySettings

__all__ = ["RelaySettings", "RelaySettingsSchema"]
