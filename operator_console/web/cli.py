"""`operator-console`: serve operators, and check the settings."""

import click

from migrations.revisions import REVISIONS
from operator_console.settings import WebSettings, WebSettingsSchema
from shared.command_line import report_connections, version_option
from shared.db.preflight import database_problem, schema_check
from shared.log import configure_logging
from shared.settings import read_or_exit, report_checked
from shared.web.metrics_folder import metrics_folder


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@version_option()
def main() -> None:
    """Run a command."""


@main.command()
def serve() -> None:
    """Serve operators until SIGTERM."""
    settings: WebSettings = read_or_exit(WebSettingsSchema())
    configure_logging("operator-console", settings.log_level)
    with metrics_folder():
        from operator_console.web import server  # noqa: PLC0415 - it imports metrics

        server.serve(settings)


@main.command("check-settings")
@click.option("--connect", is_flag=True, help="Also connect to the database.")
def check_settings(*, connect: bool) -> None:
    """Report all errors in the settings, and exit. Exits 1 if a connection fails."""
    schema = WebSettingsSchema()
    settings: WebSettings = read_or_exit(schema)
    report_checked(schema)
    if connect:
        report_connections([("DATABASE_URL", database_problem(settings.database_url, schema_check(REVISIONS)))])
