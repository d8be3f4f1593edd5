"""`operator-console`: serving operators, and a check of the settings."""

import os

import click

from operator_console.web.settings import WebSettings, WebSettingsSchema
from shared.log import configure_logging
from shared.settings import SettingsError, exit_telling


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


@main.command()
def serve() -> None:
    """Serve operators, until SIGTERM."""
    settings = _read()
    configure_logging("operator-console", settings.log_level)
    from operator_console.web import server  # noqa: PLC0415 - settings are checked faster without the web

    server.serve(settings)


@main.command("check-settings")
def check_settings() -> None:
    """Tell everything that is wrong with the settings, and leave."""
    _read()
    click.echo("settings: all well")


def _read() -> WebSettings:
    try:
        settings: WebSettings = WebSettingsSchema().read(os.environ)
    except SettingsError as error:
        exit_telling(error)
    return settings
