"""`api-service`: serving, migrating, a check of the settings, and the document."""

import json
import os
import sys
import tempfile
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from api_service.migrate_settings import MigrateSettings, MigrateSettingsSchema
from api_service.settings import COUNTS_FOLDER_VARIABLE, ApiSettings, ApiSettingsSchema
from migrations.revisions import is_of_a_newer_release
from shared.database import describe
from shared.log import configure_logging, get_logger
from shared.settings import SettingsSchema, read_or_exit
from shared.telemetry import check_recording

log = get_logger("api.cli")


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


@main.command()
def serve() -> None:
    """Serve clients, until SIGTERM."""
    settings: ApiSettings = _read(ApiSettingsSchema())
    configure_logging("api-service", settings.log_level)
    os.environ[COUNTS_FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="signpost-api-counts-")
    from api_service import server  # noqa: PLC0415 - the counters choose at import where they count

    server.serve(settings)


@main.command()
def migrate() -> None:
    """Bring the database's schema up to date; log in as its owner. That of a newer release stays as it is.

    Roles of the processes that are missing, as after a restore on another server, are made, and given their rights.
    """
    from migrations.commands import upgrade  # noqa: PLC0415 - serving starts faster without alembic
    from migrations.preconditions import refuse_what_cannot_be  # noqa: PLC0415 - likewise
    from migrations.rights import RightsMissingError, give_back_rights  # noqa: PLC0415 - likewise
    from shared.migrating import NotMigratedError, UnknownRevisionError  # noqa: PLC0415 - likewise

    settings: MigrateSettings = _read(MigrateSettingsSchema())
    configure_logging("api-service", "info")
    try:
        refuse_what_cannot_be(settings.database_url)
        upgrade(settings.database_url)
        given = give_back_rights(settings.database_url)
    except UnknownRevisionError as error:
        _stop_unless_newer(error.revision)
    except (DBAPIError, NotMigratedError) as error:
        event = "rights missing" if isinstance(error, RightsMissingError) else "schema not migrated"
        needed = {"needed": error.needed} if isinstance(error, NotMigratedError) else {}
        log.error(event, **describe(error), **needed)  # noqa: TRY400 - the error's text may quote a row
        sys.exit(1)
    else:
        if given:
            log.warning("rights given back", count=given)
        click.echo("schema: up to date")


def _stop_unless_newer(revision: str) -> None:
    """Let a release that came back serve on the newer one's schema, and end with 1 at one that is not ours."""
    if not is_of_a_newer_release(revision):
        log.error("schema not migrated", error="revision not of this project")
        sys.exit(1)
    click.echo(f"schema: revision {revision} is of a newer release, and stays")


@main.command("check-settings")
def check_settings() -> None:
    """Tell everything that is wrong with the settings, and leave."""
    _read(ApiSettingsSchema())
    click.echo("settings: all well")


@main.command()
def openapi() -> None:
    """Print the API's document (OpenAPI 3.1)."""
    from flask import Flask  # noqa: PLC0415 - settings are checked faster without the web

    from api_service.app import add_routes  # noqa: PLC0415 - likewise
    from api_service.openapi import document_of  # noqa: PLC0415 - likewise

    app = Flask("api_service", static_folder=None)
    add_routes(app)
    click.echo(json.dumps(document_of(app), indent=2))


def _read(schema: SettingsSchema) -> Any:
    return read_or_exit(schema, check_recording)
