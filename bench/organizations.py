"""What an organization's database costs: made from the template or by migrations alone, and looked at ever after."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from os import times

from psycopg import sql

from bench.ground import Ground
from bench.report import Report, median
from bench.sizes import Size
from outbox_relay.provisioning import Organization, ProvisionServer, Step, check, drop, provision
from outbox_relay.provisioning.upgrading import upgrade
from shared.database import driver_url
from shared.ids import uuid7
from shared.secrets import SecretKeys
from shared.vocabulary import Verdict
from tenants.helper import Helper
from tenants.naming import template_name
from tenants.revisions import HEAD

CONNECTIONS = 8
LOGIN = "organizer"
PLAIN = "plain_organization"


class Unrecorded:
    """A record that nobody keeps: what is measured is the organizations' server."""

    async def begun(self, step: Step) -> None:
        """Do nothing."""

    async def done(self, step: Step) -> None:
        """Do nothing."""


def organizations(ours: Ground, size: Size) -> Report:
    """Measure provisioning by template beside plain migrations, and looks at many databases."""
    with ours.connect() as connection:
        connection.execute(f"create role {LOGIN} login createdb createrole")
    server = ProvisionServer(ours.url(LOGIN), SecretKeys({"bench": bytes(32)}), connections=CONNECTIONS)
    founded = [an_organization() for _ in range(size.organizations)]
    report = asyncio.run(_made(ours, server, founded, size)) | asyncio.run(_looked_at(server, founded, size))
    asyncio.run(_dropped(server, founded))
    return report


def an_organization() -> Organization:
    """Return one that nobody has founded."""
    return Organization(uuid7(), "Clinic", "FR", uuid7(), "Ada Lovelace")


async def _made(ours: Ground, server: ProvisionServer, founded: list[Organization], size: Size) -> Report:
    first, *others = founded
    with_template = await _timed(partial(provision, server, first, Unrecorded()))
    all_steps = [await _timed(partial(provision, server, one, Unrecorded())) for one in others]
    made = await asyncio.to_thread(_made_by_turns, ours, size.rounds)
    return {
        "an organization by the template, all steps, ms": median(all_steps) * 1000,
        "  the first of a release, which makes the template, s": with_template,
        "its database with tables: a copy of the template, ms": median(copy for copy, _, _ in made) * 1000,
        "  migrations in a warm process ÷ that": median(warm / copy for copy, warm, _ in made),
        "  migrations in a process of its own ÷ that": median(cold / copy for copy, _, cold in made),
    }


def _made_by_turns(ours: Ground, rounds: int) -> list[tuple[float, float, float]]:
    """Time a database with tables: copied; migrated by a process that has alembic; by one that begins for it."""
    with Helper() as helper:
        _with_tables(ours, "template0", helper.upgrade)  # imports alembic
        return [
            (
                _with_tables(ours, template_name(HEAD), lambda _url: None),
                _with_tables(ours, "template0", helper.upgrade),
                _with_tables(ours, "template0", lambda url: asyncio.run(upgrade(url))),
            )
            for _ in range(rounds)
        ]


def _with_tables(ours: Ground, template: str, upgraded: Callable[[str], object]) -> float:
    create = sql.SQL("create database {} template {}").format(sql.Identifier(PLAIN), sql.Identifier(template))
    with ours.connect() as connection:
        began = time.perf_counter()
        connection.execute(create)
        upgraded(driver_url(ours.cluster.url(PLAIN)))
        took = time.perf_counter() - began
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(PLAIN)))
    return took


async def _looked_at(server: ProvisionServer, founded: list[Organization], size: Size) -> Report:
    wanted = [founded[number % len(founded)] for number in range(size.looks)]
    began, cpu = time.perf_counter(), sum(times()[:2])
    found = await asyncio.gather(*(check(server, one) for one in wanted))
    took, cpu = time.perf_counter() - began, sum(times()[:2]) - cpu
    healthy = sum(one.verdict is Verdict.HEALTHY for one in found)
    return {
        f"{size.looks:,} looks at {len(founded):,} databases, {CONNECTIONS // 2} side by side, s": took,
        "  found in order": healthy,
        "  one look, ms of this process's CPU": cpu / size.looks * 1000,
    }


async def _dropped(server: ProvisionServer, founded: list[Organization]) -> None:
    for one in founded:
        await drop(server, one)


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
