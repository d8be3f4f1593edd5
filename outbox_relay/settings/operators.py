"""Settings of how operators are told that something needs them: by mail, and by a webhook."""

from typing import Any

from marshmallow import ValidationError

from shared.addresses import InvalidAddressError, deliverable_email
from shared.settings import Choice, Text
from shared.urls import is_web_url
from shared.vocabulary import Locale

MOST_ADDRESSES = 20
SHORTEST_KEY = 16


class OperatorAddresses(Text):
    """E-mail addresses, comma-separated; as a value, a tuple of them."""

    def __init__(self) -> None:
        super().__init__(
            "OPERATOR_ADDRESSES",
            "Who gets a digest, through the outbox, when messages die, are late, or a provider stays down.",
            unit="addresses, comma-separated",
            default=None,
        )

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        given = str(super()._deserialize(value, *rest, **more)).split(",")
        try:
            addresses = tuple(dict.fromkeys(deliverable_email(each.strip()) for each in given))
        except InvalidAddressError as error:
            raise ValidationError("is not a list of e-mail addresses") from error
        if len(addresses) > MOST_ADDRESSES:
            raise ValidationError(f"has more than {MOST_ADDRESSES} addresses")
        return addresses


class WebhookUrl(Text):
    """An http or https URL, with whatever its receiver wants in it."""

    def __init__(self) -> None:
        super().__init__(
            "OPERATOR_WEBHOOK_URL",
            "Where each digest is posted as JSON as well: for when e-mail is what is broken.",
            unit="URL",
            is_secret=True,
            default=None,
        )

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        url = str(super()._deserialize(value, *rest, **more))
        if not is_web_url(url):
            raise ValidationError("is not an http or https URL")
        return url


class WebhookKey(Text):
    """What receivers share with us, and nobody else knows."""

    def __init__(self) -> None:
        super().__init__(
            "OPERATOR_WEBHOOK_KEY",
            'What posted digests are signed with: `Signpost-Signature: t=SECONDS,v1=HMAC-SHA256 of "SECONDS.BODY"`.'
            " Without it, they are not.",
            is_secret=True,
            default=None,
        )

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> str:
        key = str(super()._deserialize(value, *rest, **more))
        if len(key) < SHORTEST_KEY:
            raise ValidationError(f"has fewer than {SHORTEST_KEY} characters")
        return key


def operator_locale_field() -> Choice:
    """Describe OPERATOR_LOCALE."""
    return Choice(Locale, "OPERATOR_LOCALE", "The language of digests by mail.", unit="`en` or `fr`", default=Locale.EN)
