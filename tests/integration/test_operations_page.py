"""What docs/operations.md tells people to type at night: it exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import api_service.cli
import outbox_relay.cli
from devstack.cluster import Cluster
from tests.support.databases import Database, fresh_database

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
TYPED = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)
ASKED = sorted({asked for line in TYPED for _, asked in re.findall(r"psql -c (['\"])(.+?)\1", line)})
PROGRAMS: dict[str, click.Group] = {"api-service": api_service.cli.main, "outbox-relay": outbox_relay.cli.main}


@pytest.fixture(scope="module")
def asked_database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.mark.parametrize("statement", ASKED)
def test_statements_that_operators_are_told_to_type_can_be_run(asked_database: Database, statement: str) -> None:
    with asked_database.connect() as owner:
        assert owner.execute(f"explain {statement}").fetchall()


def test_commands_that_operators_are_told_to_type_exist() -> None:
    typed = [re.match(r"(api-service|outbox-relay) ([a-z-]+)", line) for line in TYPED]
    named = {(found[1], found[2]) for found in typed if found}
    assert len(named) >= 3
    assert {(program, command) for program, command in named if command not in PROGRAMS[program].commands} == set()
