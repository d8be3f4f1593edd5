"""How limits and origins are written in settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError

from api_service.rate_limits.rules import MOST_HITS, RULES, Limit, Windows
from shared.settings import SettingsSchema, Switch, Text
from shared.urls import is_web_url


@dataclass(frozen=True)
class LimitSettings:
    """What is allowed of each limit, if there are limits at all."""

    rate_limits: bool
    registrations_per_network: Windows
    registrations_per_address: Windows
    resends_per_address: Windows
    code_tries_per_address: Windows
    failed_logins_per_network: Windows
    failed_logins_per_address: Windows
    wrong_passwords_per_user: Windows
    changes_per_user: Windows
    resets_per_network: Windows
    resets_per_address: Windows

    @property
    def limits(self) -> Mapping[Limit, Windows]:
        """Return the windows of each limit."""
        return {limit: getattr(self, limit.value) if self.rate_limits else Windows("none", ()) for limit in Limit}


class RateLimits(Text):
    """``5/hour``, ``5/5 minutes``, ``5/hour; 20/day`` or ``none``: what the limit of that name allows."""

    def __init__(self, limit: Limit) -> None:
        rule = RULES[limit]
        super().__init__(f"LIMIT_{limit.name}", rule.meaning, unit="number/time", default=rule.default)

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        try:
            return Windows.read(str(super()._deserialize(value, *rest, **more)))
        except ValueError:
            raise ValidationError(f"is not such as 5/hour, 5/5 minutes or none; 1 to {MOST_HITS} at a time") from None


class LimitSettingsSchema(SettingsSchema):
    """How the limits are written."""

    rate_limits = Switch(
        "RATE_LIMITS", "Whether there are limits at all; off only where nobody else calls.", default=True
    )
    registrations_per_network = RateLimits(Limit.REGISTRATIONS_PER_NETWORK)
    registrations_per_address = RateLimits(Limit.REGISTRATIONS_PER_ADDRESS)
    resends_per_address = RateLimits(Limit.RESENDS_PER_ADDRESS)
    code_tries_per_address = RateLimits(Limit.CODE_TRIES_PER_ADDRESS)
    failed_logins_per_network = RateLimits(Limit.FAILED_LOGINS_PER_NETWORK)
    failed_logins_per_address = RateLimits(Limit.FAILED_LOGINS_PER_ADDRESS)
    wrong_passwords_per_user = RateLimits(Limit.WRONG_PASSWORDS_PER_USER)
    changes_per_user = RateLimits(Limit.CHANGES_PER_USER)
    resets_per_network = RateLimits(Limit.RESETS_PER_NETWORK)
    resets_per_address = RateLimits(Limit.RESETS_PER_ADDRESS)


class Origins(Text):
    """Origins, comma-separated, as browsers write them: scheme, host, and the port if it is not the scheme's own."""

    def __init__(self, name: str, meaning: str) -> None:
        super().__init__(name, meaning, unit="origins, comma-separated", default=None)

    def deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        """Return the set of them; none where nothing is set."""
        return super().deserialize(value, *rest, **more) or frozenset()

    def _deserialize(self, value: Any, *rest: Any, **more: Any) -> Any:
        origins = [origin.strip() for origin in str(super()._deserialize(value, *rest, **more)).split(",")]
        if not all(map(_is_origin, origins)):
            raise ValidationError("is not a list of origins such as https://app.example.org")
        return frozenset(origins)


def _is_origin(text: str) -> bool:
    if not is_web_url(text):
        return False
    parts = urlsplit(text)
    return text == f"{parts.scheme}://{parts.netloc}".lower()
