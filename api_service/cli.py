"""`api-service`: serve, migrate, check the settings, print the OpenAPI document."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from api_service.settings import (
    ApiSettings,
    ApiSettingsSchema,
    Founding,
    MigrateSettings,
    MigrateSettingsSchema,
)
from migrations.revisions import REVISIONS, is_of_a_newer_release
from shared.command_line import report_connections, version_option
from shared.db.errors import describe
from shared.db.preflight import database_problem, schema_check
from shared.log import configure_logging, get_logger
from shared.settings import SettingsSchema, check_tracing, read_or_exit, report_checked
from shared.web.metrics_folder import metrics_folder

log = get_logger("api.cli")


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@version_option()
def main() -> None:
    """Group the commands."""


@main.command()
def serve() -> None:
    """Serve HTTP until SIGTERM."""
    settings: ApiSettings = _read(ApiSettingsSchema())
    configure_logging("api-service", settings.log_level)
    with metrics_folder():
        from api_service import server  # noqa: PLC0415 - it imports metrics

        server.serve(settings)


@main.command()
def migrate() -> None:
    """Migrate the database schema; log in as its owner. A schema of a newer release stays unchanged.

    Missing roles of the processes, as after a restore on another server, are created with their rights.
    """
    from migrations.commands import check_preconditions, upgrade  # noqa: PLC0415 - serving starts faster without alembic
    from migrations.rights import RightsMissingError, restore_rights  # noqa: PLC0415 - likewise
    from shared.db.migrating import MigrationError, UnknownRevisionError  # noqa: PLC0415 - likewise

    settings: MigrateSettings = _read(MigrateSettingsSchema())
    configure_logging("api-service", "info")
    try:
        check_preconditions(settings.database_url)
        upgrade(settings.database_url)
        given = restore_rights(settings.database_url)
    except UnknownRevisionError as error:
        _stop_unless_newer(error.revision)
    except (DBAPIError, MigrationError) as error:
        event = "rights missing" if isinstance(error, RightsMissingError) else "schema not migrated"
        needed = {"needed": error.needed} if isinstance(error, MigrationError) else {}
        log.error(event, **describe(error), **needed)  # noqa: TRY400 - the error's text may quote a row
        sys.exit(1)
    else:
        if given:
            log.warning("rights restored", count=given)
        click.echo("schema: up to date")


def _stop_unless_newer(revision: str) -> None:
    """Accept the schema of a newer release, so that a rollback can serve; exit with 1 for an unknown revision."""
    if not is_of_a_newer_release(revision):
        log.error("schema not migrated", error="revision not of this project")
        sys.exit(1)
    click.echo(f"schema: revision {revision} is of a newer release, unchanged")


@main.command("check-settings")
@click.option(
    "--connect", is_flag=True, help="Also connect to the database, and look for a relay that ORGANIZATIONS needs."
)
def check_settings(*, connect: bool) -> None:
    """Report every error in the settings, and exit. Exits 1 if a connection fails."""
    schema = ApiSettingsSchema()
    settings: ApiSettings = _read(schema)
    report_checked(schema)
    if connect:
        report_connections(_connections(settings))


def _connections(settings: ApiSettings) -> Iterator[tuple[str, str | None]]:
    yield "DATABASE_URL", database_problem(settings.database_url, schema_check(REVISIONS))
    if settings.organizations is not Founding.OFF:
        from api_service.use_cases.organizations import provisioning_problem  # noqa: PLC0415 - an option

        yield "ORGANIZATIONS", database_problem(settings.database_url, provisioning_problem)


@main.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document."""
    from flask import Flask  # noqa: PLC0415 - settings are checked faster without Flask

    from api_service.app import add_routes  # noqa: PLC0415 - likewise
    from api_service.openapi import document_of  # noqa: PLC0415 - likewise

    app = Flask("api_service", static_folder=None)
    add_routes(app)
    click.echo(json.dumps(document_of(app), indent=2))


def _read(schema: SettingsSchema) -> Any:
    return read_or_exit(schema, check_tracing)
