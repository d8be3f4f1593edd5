"""Allow the mail providers as sources of delivery reports."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SOURCES = (
    "lmtp",
    "imap",
    "twilio",
    "kannel",
    "json",
    "smpp",
    "ses",
    "sendgrid",
    "mailgun",
    "postmark",
    "resend",
    "brevo",
)


def upgrade() -> None:
    listed = ", ".join(f"'{source}'" for source in SOURCES)
    op.execute(
        "alter table delivery_reports drop constraint delivery_reports_source_check,"
        f" add constraint delivery_reports_source_check check (source in ({listed}))"
    )


def downgrade() -> None:
    raise NotImplementedError("the previous release runs with these sources, too")
