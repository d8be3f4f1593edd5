"""Organizations: how their databases were found, another look at them, and repairs."""

import time
from datetime import datetime
from uuid import UUID

import click
from sqlalchemy.orm import Session, sessionmaker

from operator_console.acting import (
    ActingError,
    Repair,
    UnknownOrganizationError,
    repair,
    request_checks,
)
from operator_console.cli.audited import act_because
from operator_console.cli.database import complain, database, fail, sessions
from operator_console.cli.options import json_option, reason_option
from operator_console.cli.output import show_lines, show_rows
from operator_console.organization_views import OrganizationDetail
from operator_console.reading import list_organizations, show_organization
from operator_console.views import as_json
from shared.command_line import OneOf
from shared.vocabulary import Verdict

LISTED = ("id", "name", "status", "health", "health_error", "revision", "tables", "checked_at")
HIGHEST_LIMIT = 10_000
LOOK_SECONDS = 0.25
TOLD = {
    Repair.NOT_NEEDED: "was found in order, and will be looked at again now",
    Repair.ENQUEUED: "will be repaired",
    Repair.UNDER_WAY: "is being repaired already, or was within the last minute",
}


@click.group("organizations")
def organizations_commands() -> None:
    """Look at organizations' databases, and have them repaired."""


@organizations_commands.command("list")
@click.option("--health", type=OneOf(Verdict), help="Only organizations whose databases were last found so.")
@click.option("--limit", type=click.IntRange(1, HIGHEST_LIMIT), default=50, show_default=True, help="At most so many.")
@click.option("--before", "cursor", type=click.UUID, help="Only organizations founded before this one: the next page.")
@json_option
def list_command(health: Verdict | None, limit: int, cursor: UUID | None, *, is_json: bool) -> None:
    """List organizations, newest first. A terminal gets a table, a pipe gets JSON lines."""
    with database() as session:
        page = list_organizations(session, health=health, limit=limit, cursor=cursor)
    show_rows([as_json(one) for one in page.organizations], LISTED, is_json=is_json)


@organizations_commands.command("show")
@click.argument("organization_id", type=click.UUID)
@json_option
def show_command(organization_id: UUID, *, is_json: bool) -> None:
    """Show one organization: how its database was found, the steps that made it, and what of it was lost."""
    with database() as session:
        found = show_organization(session, organization_id)
    if found is None:
        fail(f"there is no organization {organization_id}")
    show_lines(as_json(found), is_json=is_json)


@organizations_commands.command("check")
@click.argument("ids", nargs=-1, type=click.UUID)
@click.option("--all", "is_all", is_flag=True, help="All of them, at the relays' pace.")
@click.option("--wait", "seconds", type=click.IntRange(0, 600), default=30, show_default=True, help="At most so long.")
def check_command(ids: tuple[UUID, ...], seconds: int, *, is_all: bool) -> None:
    """Have relays look at these organizations' databases next, and tell what they find."""
    if bool(ids) == is_all:
        raise click.UsageError("Name organizations by their ids, or give --all.")
    with sessions() as made:
        with made.begin() as session:
            before = {each: _checked_at(session, each) for each in ids}
            asked = request_checks(session, None if is_all else ids)
        if is_all:
            click.echo(f"{asked} organizations will be looked at")
            return
        found = [_found(made, each, before[each], seconds) for each in ids]
    if not all(found):
        raise SystemExit(1)


@organizations_commands.command("repair")
@click.argument("organization_id", type=click.UUID)
@reason_option
def repair_command(organization_id: UUID, reason: str) -> None:
    """Have what is missing of an organization's database made anew; what was lost with it stays lost."""
    try:
        with database() as session:
            outcome = repair(session, organization_id, act_because(reason))
    except UnknownOrganizationError:
        fail(f"there is no organization {organization_id}")
    except ActingError as error:
        fail(f"organization {organization_id} {error}")
    click.echo(f"organization {organization_id} {TOLD[outcome]}")


def _checked_at(session: Session, organization_id: UUID) -> datetime | None:
    found = show_organization(session, organization_id)
    return found.checked_at if found else None


def _found(made: sessionmaker[Session], organization_id: UUID, before: datetime | None, seconds: int) -> bool:
    """Tell how the organization is found once somebody has looked since ``before``; False if it is not in order."""
    deadline = time.monotonic() + seconds
    while (found := _newer(made, organization_id, before)) is None:
        if time.monotonic() >= deadline:
            complain(f"nobody has looked at organization {organization_id} in {seconds} seconds")
            return False
        time.sleep(LOOK_SECONDS)
    click.echo(f"organization {organization_id} {_in_words(found)}")
    return found.health == Verdict.HEALTHY


def _in_words(found: OrganizationDetail) -> str:
    if not found.health_error:
        return str(found.health)
    # A server that was busy for once closes no door.
    what = "still taken for healthy; the last look" if found.health == Verdict.HEALTHY else str(found.health)
    return f"{what}: {found.health_error}"


def _newer(made: sessionmaker[Session], organization_id: UUID, before: datetime | None) -> OrganizationDetail | None:
    with made.begin() as session:
        found = show_organization(session, organization_id)
    if found is None:
        fail(f"there is no organization {organization_id}")
    return found if found.checked_at != before else None
