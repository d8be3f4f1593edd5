"""The command `signpost-receiver`: take delivery reports from outside, and check the settings."""

import asyncio
import sys
from collections.abc import Iterator

import click

from receiver.bounces.settings import BounceSettings, BounceSettingsSchema
from receiver.callbacks.command import callbacks, check_callbacks
from shared.command_line import report_connections, version_option
from shared.log import configure_logging, get_logger
from shared.settings import read_or_exit, report_checked

log = get_logger("receiver.cli")


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@version_option()
def main() -> None:
    """Group the commands."""


main.add_command(callbacks)
main.add_command(check_callbacks)


@main.command()
def bounces() -> None:
    """Take bounces over LMTP and IMAP until SIGTERM, and store them as delivery reports."""
    settings = _settings()
    from receiver.bounces.service import run_bounces  # noqa: PLC0415 - other commands start faster without it

    try:
        asyncio.run(run_bounces(settings))
    except OSError as error:
        # Only listening raises OSError here.
        log.error("receiver cannot listen", error=error.strerror)  # noqa: TRY400 - no trace wanted
        sys.exit(1)
    except Exception:
        log.exception("receiver failed")
        sys.exit(1)


@main.command("check-settings")
@click.option("--connect", is_flag=True, help="Also connect to the database, and log in to the mailbox.")
def check_settings(*, connect: bool) -> None:
    """Report all errors in the settings, and exit. Exits 1 if a connection fails."""
    settings = _settings()
    report_checked(BounceSettingsSchema())
    if connect:
        report_connections(_problems(settings))


def _problems(settings: BounceSettings) -> Iterator[tuple[str, str | None]]:
    from migrations.revisions import REVISIONS  # noqa: PLC0415 - only for this
    from receiver.bounces.imap import mailbox_problem  # noqa: PLC0415 - only for this
    from shared.db.preflight import database_problem, schema_check  # noqa: PLC0415 - only for this

    yield "DATABASE_URL", database_problem(settings.database_url, schema_check(REVISIONS))
    if settings.bounce_imap_url:
        yield "BOUNCE_IMAP_URL", mailbox_problem(settings.bounce_imap_url)


def _settings() -> BounceSettings:
    settings: BounceSettings = read_or_exit(BounceSettingsSchema())
    configure_logging("signpost-receiver", settings.log_level)
    return settings
