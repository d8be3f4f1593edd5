"""Commands for organizations: show, check, repair, adopt and remove their databases."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import click
import psycopg
from sqlalchemy.orm import Session, sessionmaker

from operator_console.actions.audit import AuditContext
from operator_console.actions.organizations import (
    Adoption,
    Repair,
    check_adoption,
    record_adoption,
    remove,
    renew_password,
    repair,
    request_checks,
)
from operator_console.cli.database import fail, report_error, session_maker, transaction
from operator_console.cli.options import (
    Reason,
    audit_context,
    confirm,
    confirmation_option,
    dry_run_option,
    json_option,
    limit_option,
    reason_option,
)
from operator_console.cli.output import show_object, show_rows
from operator_console.cli.tokens import OWNER_NEEDED
from operator_console.errors import ActionError, AdoptionError
from operator_console.queries.organizations import healthy_ids, list_organizations, show_organization
from operator_console.views import OrganizationDetail, as_json
from shared.command_line import EnumChoice
from shared.ids import uuid7
from shared.settings import read_or_exit
from shared.vocabulary import HealthStatus, database_name_of
from tenants.adoption import inspect_candidate, take_over
from tenants.settings import TenantsSettingsSchema

COLUMNS = ("id", "name", "status", "health", "health_error", "revision", "tables", "checked_at")
POLL_SECONDS = 0.25
REPAIR_RESULTS = {
    Repair.NOT_NEEDED: "is healthy and will be checked again now",
    Repair.ENQUEUED: "will be repaired",
    Repair.UNDER_WAY: "is being repaired already, or was within the last minute",
}


@click.group("organizations")
def organizations_commands() -> None:
    """Show, check, repair, adopt and remove organizations' databases."""


@organizations_commands.command("list")
@click.option(
    "--health", type=EnumChoice(HealthStatus), help="Only organizations whose last health check had this result."
)
@limit_option
@click.option("--before", "cursor", type=click.UUID, help="Only organizations older than this one: the next page.")
@json_option
def list_command(health: HealthStatus | None, limit: int, cursor: UUID | None, *, is_json: bool) -> None:
    """List organizations, newest first. A terminal gets a table, a pipe gets JSON lines."""
    with transaction() as session:
        page = list_organizations(session, health=health, limit=limit, cursor=cursor)
    show_rows([as_json(one) for one in page.organizations], COLUMNS, is_json=is_json)


@organizations_commands.command("show")
@click.argument("organization_id", type=click.UUID)
@json_option
def show_command(organization_id: UUID, *, is_json: bool) -> None:
    """Show one organization: its database's health, its provisioning steps, and lost databases."""
    with session_maker() as sessions:
        found = _organization(sessions, organization_id)
    show_object(as_json(found), is_json=is_json)


@organizations_commands.command("check")
@click.argument("ids", nargs=-1, type=click.UUID)
@click.option("--all", "is_all", is_flag=True, help="All organizations, without waiting for results.")
@click.option("--wait", "seconds", type=click.IntRange(0, 600), default=30, show_default=True, help="Seconds to wait.")
def check_command(ids: tuple[UUID, ...], seconds: int, *, is_all: bool) -> None:
    """Have the relays check these organizations' databases next, and report the results."""
    if bool(ids) == is_all:
        raise click.UsageError("Name organizations by their ids, or give --all.")
    with session_maker() as sessions:
        before = {each: _organization(sessions, each).checked_at for each in ids}
        with sessions.begin() as session:
            count = request_checks(session, None if is_all else ids)
        if is_all:
            click.echo(f"{count} organizations will be checked")
            return
        are_healthy = [_report_check(sessions, each, before[each], seconds) for each in ids]
    if not all(are_healthy):
        raise SystemExit(1)


@organizations_commands.command("repair")
@click.argument("organization_id", type=click.UUID)
@reason_option
def repair_command(organization_id: UUID, reason: str) -> None:
    """Recreate the missing parts of an organization's database, without their data."""
    with _refused(organization_id), transaction() as session:
        outcome = repair(session, organization_id, audit_context(reason))
    click.echo(f"organization {organization_id} {REPAIR_RESULTS[outcome]}")


@organizations_commands.command("adopt")
@click.argument("database")
@click.option("--name", required=True, type=Reason(), help="The organization's name.")
@click.option("--owner", "owner_id", required=True, type=click.UUID, help="The id of the active user who owns it.")
@dry_run_option
@reason_option
def adopt_command(database: str, name: str, owner_id: UUID, reason: str, *, is_dry_run: bool) -> None:
    """Take over an existing database as an organization's. Needs the DATABASE_URL of the schema's owner.

    The database is renamed to `org_` and the new organization's id. A relay then creates its role and checks it. You
    can repeat an interrupted command, also with the new name.
    """
    url = read_or_exit(TenantsSettingsSchema()).provision_database_url
    try:
        candidate = inspect_candidate(url, database)
        if candidate.problems:
            fail(f"database {database} cannot be adopted: {'; '.join(candidate.problems)}")
        adoption = Adoption(database, candidate.organization_id or uuid7(), name, owner_id)
        _adopt(url, adoption, audit_context(reason), is_dry_run=is_dry_run)
    except psycopg.Error as error:
        fail(f"database {database} was not adopted ({type(error).__name__} {error.sqlstate or ''})")


def _adopt(url: str, adoption: Adoption, audit: AuditContext, *, is_dry_run: bool) -> None:
    organization_id = adoption.organization_id
    with _refused(organization_id), session_maker(OWNER_NEEDED) as sessions:
        with sessions.begin() as session:
            check_adoption(session, adoption)
        if is_dry_run:
            click.echo(f"database {adoption.database} can be adopted")
            return
        # First, because a repair of an organization without this name would create an empty database.
        take_over(url, adoption.database, organization_id, database_name_of(organization_id))
        with sessions.begin() as session:
            record_adoption(session, adoption, audit)
    click.echo(f"organization {organization_id} has adopted database {adoption.database}")


@organizations_commands.command("renew-passwords")
@click.argument("ids", nargs=-1, type=click.UUID)
@click.option("--all", "is_all", is_flag=True, help="All healthy organizations, such as after a change of keys.")
@reason_option
def renew_passwords_command(ids: tuple[UUID, ...], reason: str, *, is_all: bool) -> None:
    """Have the relays set new passwords of organizations' roles, derived from the newest key."""
    if bool(ids) == is_all:
        raise click.UsageError("Name organizations by their ids, or give --all.")
    audit, failed = audit_context(reason), False
    with session_maker() as sessions:
        with sessions.begin() as session:
            chosen = healthy_ids(session) if is_all else ids
        for each in chosen:
            try:
                with sessions.begin() as session:
                    renew_password(session, each, audit)
            except ActionError as error:
                report_error(f"organization {each} {error}")
                failed = True
            else:
                click.echo(f"organization {each} gets a new password")
    if failed:
        raise SystemExit(1)


@organizations_commands.command("remove")
@click.argument("organization_id", type=click.UUID)
@click.option("--force", "is_forced", is_flag=True, help="End open sessions in its database. Otherwise, relays wait.")
@dry_run_option
@confirmation_option
@reason_option
def remove_command(
    organization_id: UUID, reason: str, *, is_forced: bool, is_dry_run: bool, is_confirmed: bool
) -> None:
    """Take an organization from its members, and have a relay drop its database with all data.

    Accounts stay. Repeat the command to add or leave out --force.
    """
    with session_maker() as sessions:
        found = _organization(sessions, organization_id)
        click.echo(
            f"organization {organization_id}, {found.name}: {found.status}, {found.members} members,"
            f" database {found.database_name} with {found.tables or 0} tables and {found.size_bytes or 0:,} bytes"
        )
        if is_dry_run:
            return
        confirm("Remove it, and drop the database with all data?", is_confirmed=is_confirmed)
        with _refused(organization_id), sessions.begin() as session:
            remove(session, organization_id, audit_context(reason), is_forced=is_forced)
    click.echo(f"organization {organization_id} is removed, and a relay will drop its database")


def _organization(sessions: sessionmaker[Session], organization_id: UUID) -> OrganizationDetail:
    with _refused(organization_id), sessions.begin() as session:
        return show_organization(session, organization_id)


@contextmanager
def _refused(organization_id: UUID) -> Iterator[None]:
    """Report why an action is refused, and exit."""
    try:
        yield
    except (ActionError, AdoptionError) as error:
        fail(f"organization {organization_id} {error}")


def _report_check(
    sessions: sessionmaker[Session], organization_id: UUID, before: datetime | None, seconds: int
) -> bool:
    """Wait for a health check later than ``before`` and report its result; return whether it was healthy."""
    deadline = time.monotonic() + seconds
    while (found := _organization(sessions, organization_id)).checked_at == before:
        if time.monotonic() >= deadline:
            report_error(f"no relay has checked organization {organization_id} within {seconds} seconds")
            return False
        time.sleep(POLL_SECONDS)
    result = str(found.health)
    if found.health_error:
        # One failed check of a busy server does not change the status.
        what = "is still considered healthy; the last check failed" if found.health == HealthStatus.HEALTHY else result
        result = f"{what}: {found.health_error}"
    click.echo(f"organization {organization_id} {result}")
    return found.health == HealthStatus.HEALTHY
