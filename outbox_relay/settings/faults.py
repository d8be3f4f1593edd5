"""Which settings contradict each other; pure, a line for each contradiction."""

from collections.abc import Collection, Mapping
from typing import Any

from outbox_relay.rendering import one_tap_domain

LEASE_IN_SENDS = 3
"""A letter is in hand for two sends at most, its own and the one before it; the third is room to wait in."""

WAYS = ("EMAIL_PROVIDERS", "SMS_PROVIDERS", "PROVISION_DATABASE_URL")

DKIM_SETTINGS = ("DKIM_DOMAIN", "DKIM_SELECTOR", "DKIM_KEY")


def contradictions(settings: Mapping[str, Any], written: Collection[str]) -> list[str]:
    """Return what does not fit together; ``settings`` holds those that could be read, ``written`` names all given."""
    faults = []
    if not {*WAYS} & set(written):
        faults.append(f"{', '.join(WAYS[:-1])} and {WAYS[-1]} are all not set: there is nothing to deliver through")
    lease, send = settings.get("lease_seconds"), settings.get("send_seconds")
    if lease and send and lease < LEASE_IN_SENDS * send:
        faults.append(f"RELAY_LEASE_SECONDS={lease} is below three times RELAY_SEND_SECONDS={send}")
    kept, actions_kept = settings.get("retention_days"), settings.get("actions_retention_days")
    if kept and actions_kept and actions_kept < kept:
        faults.append(f"RELAY_ACTIONS_RETENTION_DAYS={actions_kept} is below RELAY_RETENTION_DAYS={kept}")
    return faults + _one_tap_faults(settings) + _dkim_faults(settings, written)


def _one_tap_faults(settings: Mapping[str, Any]) -> list[str]:
    public_url = settings.get("public_url")
    if not settings.get("sms_one_tap") or public_url is None:
        return []
    try:
        one_tap_domain(public_url)
    except ValueError as error:
        return [f"SMS_ONE_TAP=on {error}"]
    return []


def _dkim_faults(settings: Mapping[str, Any], written: Collection[str]) -> list[str]:
    missing = [name for name in DKIM_SETTINGS if name not in written]
    if len(missing) == len(DKIM_SETTINGS):
        return []
    if missing:
        return [f"DKIM_DOMAIN, DKIM_SELECTOR and DKIM_KEY go together: {' and '.join(missing)} not set"]
    faults = []
    domain, sender = settings.get("dkim_domain"), settings.get("email_from")
    if domain and sender and not _is_aligned(domain, sender.domain.lower()):
        faults.append(f"DKIM_DOMAIN={domain!r} is neither the domain of EMAIL_FROM nor one above or below it")
    selectors, keys = settings.get("dkim_selector"), settings.get("dkim_key")
    if selectors and keys and len(selectors) != len(keys):
        faults.append(f"DKIM_SELECTOR has {len(selectors)} names, and DKIM_KEY {len(keys)} keys")
    return faults


def _is_aligned(domain: str, sender_domain: str) -> bool:
    """Tell whether receivers see both as one (RFC 7489 §3.1.1); of two below a third, only a list of suffixes knows."""
    return f".{domain}".endswith(f".{sender_domain}") or f".{sender_domain}".endswith(f".{domain}")
