"""Settings of how messages look; the relay and its preview have them in common."""

from pathlib import Path
from typing import Any, ClassVar

from marshmallow import ValidationError

from outbox_relay.rendering import DEFAULT_COLOUR, Sender, colour_from
from outbox_relay.settings.fields import From
from outbox_relay.settings.values import BrandingSettings
from shared.addresses import InvalidAddressError, deliverable_email
from shared.settings import SettingsSchema, Switch, Text, WebUrl
from shared.urls import is_web_url

LONGEST_FOOTER = 300


class OneLine(Text):
    """Words on one line, of so many characters at most."""

    def __init__(self, name: str, meaning: str, *, longest: int) -> None:
        super().__init__(name, meaning, default=None)
        self.longest = longest

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        words = str(super()._deserialize(value, *rest, **more)).strip()
        if not words or not words.isprintable() or len(words) > self.longest:
            raise ValidationError(f"is not one line of at most {self.longest} characters")
        return words


class BrandColour(Text):
    """``#rrggbb``."""

    def __init__(self) -> None:
        super().__init__(
            "BRAND_COLOUR",
            "Of buttons and the line above a mail. The text on it is black where white could not be read.",
            unit="#rrggbb",
            default=DEFAULT_COLOUR,
        )

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        try:
            return colour_from(str(super()._deserialize(value, *rest, **more)))
        except ValueError as error:
            raise ValidationError(str(error)) from error


class BrandLogoUrl(Text):
    """An https URL: a mail shows no picture that came in clear."""

    def __init__(self) -> None:
        super().__init__(
            "BRAND_LOGO_URL",
            "A picture in place of the brand's name above a mail, shown 36 pixels high; SVG is shown by few readers.",
            unit="https URL",
            default=None,
        )

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        url = str(super()._deserialize(value, *rest, **more))
        if not is_web_url(url, ("https",)):
            raise ValidationError("is not an https URL")
        return url


class SupportAddress(Text):
    """An e-mail address to print."""

    def __init__(self) -> None:
        super().__init__("SUPPORT_ADDRESS", "Where mails say to write with questions.", unit="address", default=None)

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        try:
            return deliverable_email(str(super()._deserialize(value, *rest, **more)))
        except InvalidAddressError as error:
            raise ValidationError("is not an e-mail address") from error


class ThemeFolder(Text):
    """A folder that is there."""

    def __init__(self) -> None:
        super().__init__(
            "THEME_FOLDER",
            "Templates that go before ours, file for file; read again at SIGHUP.",
            unit="folder",
            default=None,
        )

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        folder = Path(str(super()._deserialize(value, *rest, **more)))
        if not folder.is_dir():
            raise ValidationError("is not a folder")
        return folder


def brand_name_field() -> OneLine:
    """Describe BRAND_NAME."""
    return OneLine("BRAND_NAME", "What messages call the product; without it, EMAIL_FROM's name.", longest=60)


def brand_footer_field() -> OneLine:
    """Describe BRAND_FOOTER."""
    return OneLine(
        "BRAND_FOOTER", "The last line of each mail, such as a company's name and place.", longest=LONGEST_FOOTER
    )


def console_url_field() -> WebUrl:
    """Describe CONSOLE_URL."""
    return WebUrl(
        "CONSOLE_URL", "Where operators find dead messages; linked in their digest.", unit="URL", default=None
    )


class PreviewSettingsSchema(SettingsSchema):
    """What a look at the messages needs: no database, no key, and all with a default."""

    result: ClassVar = BrandingSettings

    public_url = WebUrl("PUBLIC_URL", "What links in messages begin with.", default="https://signpost.example")
    email_from = From("EMAIL_FROM", "Who e-mails come from.", default=Sender("Signpost", "no-reply@signpost.example"))
    sms_one_tap = Switch("SMS_ONE_TAP", "Whether a code's SMS ends in a line for phones.", default=False)
    brand_name = brand_name_field()
    brand_colour = BrandColour()
    brand_logo_url = BrandLogoUrl()
    support_address = SupportAddress()
    brand_footer = brand_footer_field()
    theme_folder = ThemeFolder()
    console_url = console_url_field()
