"""The commands and SQL statements of docs/guides/operations.md work as printed."""

import re

from tests.support.commands import PROGRAMS, ROOT, errors_in
from tests.support.databases import Database
from tests.support.shell_blocks import Command

PATH = ROOT / "docs" / "guides" / "operations.md"
TYPED = re.findall(r"^\$ (.+)$", PATH.read_text(), re.MULTILINE)
STATEMENTS = {sql for line in TYPED for _, sql in re.findall(r"psql -c (['\"])(.+?)\1", line)}


def test_the_sql_statements_run(database: Database) -> None:
    assert len(STATEMENTS) > 10
    with database.connect() as owner:
        for statement in STATEMENTS:
            assert owner.execute(f"explain {statement}").fetchall(), statement


def test_the_commands_exist_with_their_options() -> None:
    typed = [words for line in TYPED for words in Command(PATH, line).programs if words[0] in PROGRAMS]
    assert {words[0] for words in typed} >= {"outbox-relay", "outboxctl"}
    assert [fault for words in typed for fault in errors_in(words)] == []
