"""`tenants migrate`: all organizations' databases brought to this release's revision."""

import asyncio
import os
import subprocess
import sys

import pytest

from outbox_relay.provisioning import Organization, provision
from tenants.everyone import databases_behind
from tenants.revisions import HEAD
from tests.support.eventually import eventually
from tests.support.tenants import Noted, Tenants, an_organization

pytestmark = pytest.mark.anyio

MIGRATE = (sys.executable, "-m", "tenants", "migrate", "--at-once", "2")
BACK = "drop table audit; update schema_revision set version_num = '0001'"


async def older(tenants: Tenants, count: int) -> list[Organization]:
    organizations = [an_organization() for _ in range(count)]
    for organization in organizations:
        await provision(tenants.server(), organization, Noted())
        tenants.execute(BACK, organization.database)
    return organizations


def migrated(tenants: Tenants) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(MIGRATE, env=told_of(tenants), stdout=subprocess.PIPE, text=True, check=False)


def migrated_before_a_terminal(tenants: Tenants) -> tuple[int, str, str]:
    """Return how it ended, what it said, and what was shown on the terminal meanwhile."""
    reading, writing = os.openpty()
    with subprocess.Popen(MIGRATE, env=told_of(tenants), stdout=subprocess.PIPE, stderr=writing, text=True) as child:
        os.close(writing)
        shown = everything_from(reading)
        told, _ = child.communicate()
    os.close(reading)
    return child.returncode, told, shown


def told_of(tenants: Tenants) -> dict[str, str]:
    return os.environ | {"PROVISION_DATABASE_URL": tenants.url}


def revisions(tenants: Tenants, organizations: list[Organization]) -> list[str]:
    query = "select version_num from schema_revision"
    return [tenants.execute(query, organization.database)[0][0] for organization in organizations]


async def test_one_that_fails_stops_no_other_and_is_all_that_is_left_for_the_next_time(tenants: Tenants) -> None:
    organizations = await older(tenants, 3)
    broken = organizations[1].database
    tenants.execute("create table audit ()", broken)

    code, told, shown = migrated_before_a_terminal(tenants)
    assert (code, told) == (
        1,
        f"revision {HEAD}: 2 brought to it, 1 failed\n  {broken}: DuplicateTable 42P07\n",
    )
    assert "3/3" in shown
    assert "1 failed" in shown
    assert revisions(tenants, organizations) == [HEAD, "0001", HEAD]

    tenants.execute("drop table audit", broken)
    second = migrated(tenants)
    assert (second.returncode, second.stdout) == (0, f"revision {HEAD}: 1 brought to it, 0 failed\n")
    assert databases_behind(tenants.url) == []


async def test_killed_in_the_middle_it_leaves_nobody_at_work_and_goes_on_where_it_was(tenants: Tenants) -> None:
    organizations = await older(tenants, 3)
    await asyncio.to_thread(kill_in_the_middle, tenants, organizations)
    at_work = "select count(*) from pg_stat_activity where application_name = 'tenants upgrade'"
    eventually(lambda: tenants.execute(at_work) == [(0,)])
    assert migrated(tenants).returncode == 0
    assert revisions(tenants, organizations) == [HEAD] * 3


def kill_in_the_middle(tenants: Tenants, organizations: list[Organization]) -> None:
    with tenants.connect(organizations[-1].database) as holder, holder.transaction():
        holder.execute("create table audit ()")  # whoever is to make it waits for this to end
        with subprocess.Popen(MIGRATE, env=told_of(tenants)) as child:
            eventually(lambda: HEAD in revisions(tenants, organizations[:2]))
            child.kill()
        holder.execute("drop table audit")


def test_without_a_server_to_ask_it_says_which_setting_is_missing() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PROVISION_DATABASE_URL"}
    told = subprocess.run(MIGRATE, env=environment, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (2, "settings: PROVISION_DATABASE_URL is not set\n")


def everything_from(reading: int) -> str:
    shown = b""
    while True:
        try:
            shown += os.read(reading, 65_536)
        except OSError:  # nobody has the other side any more
            return shown.decode()
