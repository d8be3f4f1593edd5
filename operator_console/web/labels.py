"""The labels and texts of the pages, and the formats of numbers and times."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from shared.reports.report import BounceCause, ReportKind
from shared.vocabulary import Channel, DeadReason, SuppressionReason, WorkChannel

DEAD_REASONS: Mapping[str, str] = {
    DeadReason.REJECTED: "refused permanently",
    DeadReason.EXHAUSTED: "all attempts failed",
    DeadReason.EXPIRED: "not accepted in time",
    DeadReason.SUPERSEDED: "replaced or no longer needed",
    DeadReason.DISCARDED: "closed by an operator",
    DeadReason.POISON: "crashes the relay",
    DeadReason.SUPPRESSED: "the address bounced or complained before",
}
DEAD_REASON_OPTIONS: Mapping[str, str] = {reason: f"{reason}: {text}" for reason, text in DEAD_REASONS.items()}
"""In a filter, the reason itself must be recognizable, because lists and the command line show it."""
BOUNCE_CAUSES: Mapping[str, str] = {
    BounceCause.RECIPIENT: "the recipient does not exist",
    BounceCause.MAILBOX_FULL: "the mailbox is full",
    BounceCause.CONTENT: "the content was refused",
    BounceCause.POLICY: "a policy or our reputation",
    BounceCause.OTHER: "another cause, or none given",
}
"""The parties that bounces blame."""
SUPPRESSION_REASONS: Mapping[str, str] = {
    SuppressionReason.BOUNCED: "messages to it bounced",
    SuppressionReason.COMPLAINED: "the recipient complained",
    SuppressionReason.OPERATOR: "an operator added it",
}
FAILURES: Mapping[str, str] = {
    "recipient": "recipient refused",
    "content": "content refused",
    "transient": "temporary",
    "provider": "provider not usable",
}
"""Texts for the relay's failure classes."""
CHANNELS: Mapping[str, str] = {
    Channel.EMAIL: "E-mail",
    Channel.SMS: "SMS",
    WorkChannel.PROVISION: "Organizations",
}
BREAKERS: Mapping[str, str] = {"closed": "healthy", "open": "circuit open", "half_open": "probing"}
EVENTS: Mapping[str, str] = {
    "enqueued": "Enqueued",
    "retry": "Attempt failed, will retry",
    "deferred": "Deferred without an attempt",
    "failed": "Attempt failed, no retry",
    "dead": "Dead",
    "was_dead": "Was dead at this time",
    "sent": "Accepted by the provider",
    ReportKind.DELIVERED: "Reported as delivered",
    ReportKind.BOUNCED: "Bounced",
    ReportKind.DELAYED: "Reported as delayed",
    ReportKind.COMPLAINED: "Recipient complained",
    "report_ignored": "Report that does not count",
    "fell_back": "Fell back to the other channel",
    "requeue": "Requeued",
    "correct_recipient": "Corrected the recipient and requeued",
    "discard": "Discarded",
    "undo_discard": "Discard undone",
    "reveal": "Address revealed",
    "start_bulk": "Bulk action started",
    "stop_bulk": "Bulk action stopped",
    "resume_bulk": "Bulk action resumed",
    "pause": "Paused",
    "resume": "Resumed",
    "probe": "Provider probed",
    "adopt": "Database adopted for an organization",
    "repair": "Repair of an organization requested",
    "get_credentials": "Credentials of an organization given",
    "remove_organization": "Organization removed",
    "renew_password": "New password for an organization requested",
    "add_suppression": "Address suppressed",
    "remove_suppression": "Suppression ended",
    "change_profile": "Own fields of a user changed",
    "create_token": "Token created",
    "revoke_token": "Token revoked",
}
OPERATOR_EVENTS = ("requeue", "correct_recipient", "discard", "undo_discard", "reveal")
NOTICES: Mapping[str, str] = {
    "requeued": "Requeue requested. The timeline shows the result.",
    "discarded": "Discarded. Undo discard opens the message again.",
    "restored": "The discard was undone.",
    "repairing": "Repair requested. This page shows the last check until the repair is done.",
    "healthy": "The database is healthy. It will be checked again now.",
    "paused": "Paused. The relays notice it within a second or two.",
    "resumed": "The pause has ended.",
    "probed": "The relays will probe the provider. This page shows the result.",
    "started": "Started. It continues when you leave this page.",
    "stopped": "Stopped. You can resume it.",
    "running": "Resumed.",
    "done": "Nothing was changed: the bulk action was done before.",
    "suppressed": "The address is suppressed. Messages to it die without an attempt.",
    "unsuppressed": "The suppression has ended. Requeue the messages that died of it.",
    "revoked": "The token was revoked.",
    "not-revoked": "Nothing was changed: the token is unknown or was revoked before.",
    "signed-out": "You are signed out.",
    "session-ended": "Nothing was changed: your session had ended. After you sign in, you return to the same page.",
}
"""Texts about the result of a form. For a bulk action that was stopped or resumed, the key is its status."""
FAILURE_NOTICES = ("done", "not-revoked", "session-ended")

MINUTE, HOUR, DAY = 60, 3600, 86_400


def format_duration(span: timedelta | float | None) -> str:
    """Return a duration in one unit, or in two for hours and days; None as a dash."""
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


def format_number(number: int) -> str:
    """Return a number with thin spaces between its thousands."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def format_size(size_bytes: int | None) -> str:
    """Return a size in megabytes of a million bytes; None as a dash."""
    return "—" if size_bytes is None else f"{size_bytes / 1_000_000:.1f} MB"


def format_time(moment: datetime, this_year: int) -> str:
    """Return a time with its date, and with its year if that is not this one."""
    return moment.strftime("%-d %b %H:%M:%S" if moment.year == this_year else "%-d %b %Y %H:%M:%S")


def format_time_input(moment: datetime | None) -> str:
    """Return a time as the value of a ``datetime-local`` field, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")[: len("2026-01-01T00:00:00")] if moment else ""
