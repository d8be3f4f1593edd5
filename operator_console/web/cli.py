"""`operator-console`: serve operators, and check the settings."""

import click

from operator_console.settings import WebSettings, WebSettingsSchema
from shared.log import configure_logging
from shared.settings import read_or_exit
from shared.web.metrics_folder import metrics_folder


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
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
def check_settings() -> None:
    """Report all errors in the settings, and exit."""
    read_or_exit(WebSettingsSchema())
    click.echo("settings: all well")
