"""What docs/operations.md tells people to type at night: it exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.cluster import Cluster
from tests.support.commands import PROGRAMS, faults_of
from tests.support.databases import Database, fresh_database
from tests.support.shell_blocks import Command

PATH = Path(__file__).parents[2] / "docs" / "operations.md"
PAGE = PATH.read_text()
TYPED = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)
ASKED = sorted({asked for line in TYPED for _, asked in re.findall(r"psql -c (['\"])(.+?)\1", line)})


@pytest.fixture(scope="module")
def asked_database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.mark.parametrize("statement", ASKED)
def test_statements_that_operators_are_told_to_type_can_be_run(asked_database: Database, statement: str) -> None:
    with asked_database.connect() as owner:
        assert owner.execute(f"explain {statement}").fetchall()


def test_commands_that_operators_are_told_to_type_exist_with_their_options() -> None:
    typed = [words for line in TYPED for words in Command(PATH, line).programs if words[0] in PROGRAMS]
    assert {words[0] for words in typed} >= {"outbox-relay", "outboxctl"}
    assert [fault for words in typed for fault in faults_of(words)] == []
