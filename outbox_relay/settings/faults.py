"""Which settings contradict each other; pure, a line for each contradiction."""

from collections.abc import Collection, Mapping
from typing import Any

from outbox_relay.rendering import one_tap_domain

LEASE_IN_SENDS = 3
"""A letter is in hand for two sends at most, its own and the one before it; the third is room to wait in."""


def contradictions(settings: Mapping[str, Any], written: Collection[str]) -> list[str]:
    """Return what does not fit together; ``settings`` holds those that could be read, ``written`` names all given."""
    faults = []
    if not {"EMAIL_PROVIDERS", "SMS_PROVIDERS"} & set(written):
        faults.append("EMAIL_PROVIDERS and SMS_PROVIDERS are both not set: there is nothing to deliver through")
    lease, send = settings.get("lease_seconds"), settings.get("send_seconds")
    if lease and send and lease < LEASE_IN_SENDS * send:
        faults.append(f"RELAY_LEASE_SECONDS={lease} is below three times RELAY_SEND_SECONDS={send}")
    kept, actions_kept = settings.get("retention_days"), settings.get("actions_retention_days")
    if kept and actions_kept and actions_kept < kept:
        faults.append(f"RELAY_ACTIONS_RETENTION_DAYS={actions_kept} is below RELAY_RETENTION_DAYS={kept}")
    return faults + _one_tap_faults(settings)


def _one_tap_faults(settings: Mapping[str, Any]) -> list[str]:
    public_url = settings.get("public_url")
    if not settings.get("sms_one_tap") or public_url is None:
        return []
    try:
        one_tap_domain(public_url)
    except ValueError as error:
        return [f"SMS_ONE_TAP=on {error}"]
    return []
