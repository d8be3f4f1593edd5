"""The tables about events of mail providers in the docs."""

from receiver.callbacks.mail import brevo, mailgun, postmark, resend, sendgrid, ses
from receiver.callbacks.mail.events import Rules
from shared.reports.mail_ids import MailProvider

RULES = {
    MailProvider.SES: ses.RULES,
    MailProvider.SENDGRID: sendgrid.RULES,
    MailProvider.MAILGUN: mailgun.RULES,
    MailProvider.POSTMARK: postmark.RULES,
    MailProvider.RESEND: resend.RULES,
    MailProvider.BREVO: brevo.RULES,
}


def event_table(rules: Rules) -> str:
    lines = ["| event | report | whose failure | permanent | the reply decides |", "|---|---|---|---|---|"]
    for name, rule in rules.items():
        verdict = rule.verdict
        cells = (
            verdict.kind,
            verdict.cause or "",
            "yes" if verdict.is_permanent else "",
            "yes" if rule.reads_reply else "",
        )
        lines.append(f"| `{name}` | {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    return "\n".join(lines)
