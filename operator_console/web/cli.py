"""`operator-console`: serving operators, and a check of the settings."""

import click

from operator_console.web.settings import WebSettings, WebSettingsSchema
from shared.log import configure_logging
from shared.settings import read_or_exit


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


@main.command()
def serve() -> None:
    """Serve operators, until SIGTERM."""
    settings: WebSettings = read_or_exit(WebSettingsSchema())
    configure_logging("operator-console", settings.log_level)
    from operator_console.web import server  # noqa: PLC0415 - settings are checked faster without the web

    server.serve(settings)


@main.command("check-settings")
def check_settings() -> None:
    """Tell everything that is wrong with the settings, and leave."""
    read_or_exit(WebSettingsSchema())
    click.echo("settings: all well")
