"""The relay's settings: declared once in ``schema``, with the ways to parse them in ``fields``."""

from outbox_relay.settings.schema import BrandingSettings, PreviewSettingsSchema, RelaySettings, RelaySettingsSchema

__all__ = ["BrandingSettings", "PreviewSettingsSchema", "RelaySettings", "RelaySettingsSchema"]
