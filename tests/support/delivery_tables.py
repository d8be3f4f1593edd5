"""The tables of docs/reference/failures.md, as the code has them."""

import re
from collections.abc import Container, Iterable
from datetime import timedelta
from itertools import product

from outbox_relay.delivery.retry_policy import CODE, LINK, NOTICE, PROVISIONING, Schedule, schedule_for
from outbox_relay.failures.http import ALL_STATUSES, HTTP_RULES, HttpRule
from outbox_relay.failures.network import NETWORK_RULES, NetworkRule, from_phase
from outbox_relay.failures.smtp import ALL_COMMANDS, BEFORE_RCPT, SMTP_RULES, SmtpCommand, SmtpRule
from shared.templates import TEMPLATES
from shared.vocabulary import Channel, Work, WorkChannel

KINDS = {"code": CODE, "link by e-mail": LINK, "notice": NOTICE, "organization": PROVISIONING}
SHOWN = 9


def smtp_table() -> str:
    rows = ((command_words(rule), reply_words(rule), rule.meaning, rule.kind, rule.source) for rule in SMTP_RULES)
    return table(("reply to", "reply", "it is about", "class", "source"), rows)


def http_table() -> str:
    rows = ((status_words(rule), rule.meaning, rule.kind, rule.source) for rule in HTTP_RULES)
    return table(("status", "it is about", "class", "source"), rows)


def api_table(rules: Iterable[HttpRule]) -> str:
    rows = ((status_words(rule), pattern_words(rule), rule.meaning, rule.kind, rule.source) for rule in rules)
    return table(("status", "response", "it means", "class", "source"), rows)


def pattern_words(rule: HttpRule) -> str:
    code = f"code `{rule.code}`" if rule.code != HttpRule.code else ""
    return ", ".join(filter(None, (code, f"text `{rule.text}`" if rule.text else ""))) or "any"


def break_table() -> str:
    rows = ((rule.cause, *break_classes(rule), rule.source) for rule in NETWORK_RULES)
    return table(("what failed", "before submission", "after it", "source"), rows)


def schedule_table() -> str:
    rows = ((kind, kinds_of_message(schedule), ", ".join(ceilings(schedule))) for kind, schedule in KINDS.items())
    return table(("kind", "messages", f"longest delay before attempt 2, 3 … {SHOWN + 1}"), rows)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def command_words(rule: SmtpRule) -> str:
    match rule.commands:
        case everything if everything == ALL_COMMANDS:
            return "anything"
        case before if before == BEFORE_RCPT:
            return "anything before RCPT"
        case some:
            names = {SmtpCommand.CONTENT: "the final dot"}
            return ", ".join(names.get(command, command.value) for command in SmtpCommand if command in some)


def reply_words(rule: SmtpRule) -> str:
    parts = [number_words(rule.codes)]
    if rule.enhanced != ".*":
        parts.append(f"`{rule.enhanced}`")
    if rule.text:
        parts.append("its text")
    return ", ".join(part for part in parts if part) or "any"


def number_words(codes: Container[int]) -> str:
    matching = [code for code in range(1000) if code in codes]
    if len(matching) == len(ALL_STATUSES):
        return ""
    if len(matching) == 100:
        return f"{matching[0] // 100}yz"
    return ", ".join(map(str, matching))


def status_words(rule: HttpRule) -> str:
    return number_words(rule.statuses).replace("yz", "xx") or "any"


def break_classes(_rule: NetworkRule) -> tuple[str, str]:
    return from_phase(maybe_accepted=False), from_phase(maybe_accepted=True)


def kinds_of_message(schedule: Schedule) -> str:
    users = [
        f"`{template}` by {channel}"
        for template, channel in [*product(TEMPLATES, Channel), *product(Work, WorkChannel)]
        if schedule_for(template, channel) is schedule
    ]
    return ", ".join(users) or "none yet"


def ceilings(schedule: Schedule) -> list[str]:
    return [duration_words(schedule.ceiling(spent)) for spent in range(1, SHOWN + 1)]


def duration_words(delay: timedelta) -> str:
    text = str(delay)
    hours, minutes, seconds = map(int, re.split(":", text))
    return " ".join(f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (seconds, "s")) if n)
