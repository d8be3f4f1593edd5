"""`signpost-receiver callbacks`: take receipts from SMS gateways and events from mail providers."""

import click

from migrations.revisions import REVISIONS
from receiver.callbacks.settings import CallbackSettings, CallbackSettingsSchema
from shared.command_line import report_connections
from shared.db.preflight import database_problem, schema_check
from shared.log import configure_logging
from shared.settings import read_or_exit, report_checked
from shared.web.metrics_folder import metrics_folder


@click.command()
def callbacks() -> None:
    """Take receipts from SMS gateways and events from mail providers until SIGTERM."""
    run(read_or_exit(CallbackSettingsSchema()))


def run(settings: CallbackSettings) -> None:
    """Serve until SIGTERM."""
    configure_logging("signpost-receiver", settings.log_level)
    with metrics_folder():
        from receiver.callbacks import server  # noqa: PLC0415 - it imports metrics

        server.serve(settings)


@click.command("check-callbacks")
@click.option("--connect", is_flag=True, help="Also connect to the database.")
def check_callbacks(*, connect: bool) -> None:
    """Report all errors in the settings of `callbacks`, and exit. Exits 1 if a connection fails."""
    schema = CallbackSettingsSchema()
    settings: CallbackSettings = read_or_exit(schema)
    report_checked(schema)
    if connect:
        report_connections([("DATABASE_URL", database_problem(settings.database_url, schema_check(REVISIONS)))])
