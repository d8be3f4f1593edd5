"""The RateLimit fields (draft-ietf-httpapi-ratelimit-headers-10): what is allowed, and what is left of it."""

from collections import Counter
from collections.abc import Sequence

from api_service.rate_limits.limiter import Tally
from api_service.rate_limits.rules import RULES, Per


def limit_headers(tallies: Sequence[Tally]) -> dict[str, str]:
    """Return the headers that tell of these.

    What is left for an address is told only where it has run out: it would show strangers whether
    somebody has been busy under the address.
    """
    told = [tally for tally in tallies if RULES[tally.limit].per is Per.NETWORK or not tally.is_admitted]
    if not told:
        return {}
    names = _names(told)
    policies = (f'"{name}";q={tally.item.amount};w={tally.item.get_expiry()}' for name, tally in names)
    left = (f'"{name}";r={tally.left};t={tally.seconds}' for name, tally in names)
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def _names(tallies: Sequence[Tally]) -> list[tuple[str, Tally]]:
    windows = Counter(tally.limit for tally in tallies)
    return [
        (f"{tally.limit}_{tally.item.get_expiry()}" if windows[tally.limit] > 1 else str(tally.limit), tally)
        for tally in tallies
    ]
