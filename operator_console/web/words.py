"""The words of the pages: what stands in the database, in English, and numbers and times as people read them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from shared.vocabulary import Channel, DeadReason, Verdict, WorkChannel

DEAD_REASONS: Mapping[str, str] = {
    DeadReason.REJECTED: "refused for good",
    DeadReason.EXHAUSTED: "all attempts spent",
    DeadReason.EXPIRED: "no longer of use",
    DeadReason.SUPERSEDED: "replaced or no longer needed",
    DeadReason.DISCARDED: "closed by hand",
    DeadReason.POISON: "takes the relay down",
    DeadReason.UNKNOWN_OUTCOME: "may have arrived",
}
CHANNELS: Mapping[str, str] = {
    Channel.EMAIL: "E-mail",
    Channel.SMS: "SMS",
    WorkChannel.PROVISION: "Organizations",
}
BREAKERS: Mapping[str, str] = {"closed": "in order", "open": "left alone", "half_open": "probed"}
HEALTH: Mapping[str, str] = {
    Verdict.HEALTHY: "in order",
    Verdict.LOST: "lost",
    Verdict.DAMAGED: "damaged",
    Verdict.UNREACHABLE: "no answer",
}
HAPPENINGS: Mapping[str, str] = {
    "enqueued": "Enqueued",
    "retry": "An attempt failed, tried again",
    "deferred": "Put off, at no cost",
    "dead": "Died",
    "sent": "Accepted by the provider",
    "fell_back": "Fell back to the other channel",
    "requeue": "Requeued",
    "discard": "Discarded",
    "undo_discard": "Discard taken back",
    "reveal": "Address revealed",
    "begin_bulk": "Bulk act begun",
    "stop_bulk": "Bulk act stopped",
    "resume_bulk": "Bulk act resumed",
    "repair": "Organization's repair asked for",
    "create_token": "Token made",
    "revoke_token": "Token revoked",
}
BY_OPERATORS = ("requeue", "discard", "undo_discard", "reveal")
DONE: Mapping[str, str] = {
    "requeued": "Requeued: it is pending and due now.",
    "discarded": "Discarded. You can take that back below.",
    "restored": "The discard is taken back.",
    "repairing": "A repair is on its way. What was found last stands here until it is done.",
    "well": "It was found in order, and will be looked at again now.",
    "begun": "Begun. It goes on by itself, also when you leave.",
    "stopped": "Stopped. It can go on from where it stands.",
    "running": "It goes on.",
    "done": "Nothing was changed: it was done before.",
    "revoked": "Revoked: the token works no longer.",
    "not-revoked": "Nothing was changed: there is no such token, or it was revoked before.",
    "signed-out": "You are signed out.",
    "undone": "You were signed out: nothing was done. Sign in, and you are where you were.",
}
"""What was done, by a word for it; of a bulk act that was stopped or resumed, by how it stands since."""
NOT_DONE = ("done", "not-revoked", "undone")

MINUTE, HOUR, DAY = 60, 3600, 86_400


def spoken(span: timedelta | float | None) -> str:
    """Say how long something takes in one unit, or in two where one would be coarse; nothing as a dash."""
    if span is None:
        return "—"
    seconds = int(span.total_seconds() if isinstance(span, timedelta) else span)
    if seconds < MINUTE:
        return f"{seconds} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min"
    if seconds < DAY:
        return f"{seconds // HOUR} h {seconds % HOUR // MINUTE} min"
    return f"{seconds // DAY} d {seconds % DAY // HOUR} h"


def grouped(number: int) -> str:
    """Write a number with thin spaces between its thousands."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def sized(size_bytes: int | None) -> str:
    """Write how much a database takes, in megabytes of a million bytes; nothing as a dash."""
    return "—" if size_bytes is None else f"{size_bytes / 1_000_000:.1f} MB"


def dated(moment: datetime, this_year: int) -> str:
    """Write a moment with its date, and with the year where that is another than this one."""
    return moment.strftime("%-d %b %H:%M:%S" if moment.year == this_year else "%-d %b %Y %H:%M:%S")


def typed_moment(moment: datetime | None) -> str:
    """Write a moment as a form's field of a date and a time has it, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[: len("2026-01-01T00:00:00")] if moment else ""
