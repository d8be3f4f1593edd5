"""docs/reference/tables.md lists every column and the rights of each role; RENEW_DOCS=1 writes the rights."""

import os
import re
from collections import defaultdict
from pathlib import Path

from tests.support.databases import Database

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "tables.md"
ROLES = ("signpost_api", "signpost_relay", "signpost_console", "signpost_receiver")
COLUMNS = """
select relname::text, array_agg(attname::text order by attnum)
  from pg_class join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
 where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
   and relname <> 'alembic_version'
 group by relname
"""
GRANT = re.compile(r"grant ([^;]+?) on (?!function|schema)([\w, ]+) to (\w+);")


def test_every_column_is_documented_in_its_order(database: Database) -> None:
    sections = re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)
    documented = {
        section.partition("\n")[0]: columns
        for section in sections
        if (columns := re.findall(r"^\| `(\w+)` \| [^|]+ \|$", section, re.MULTILINE))
    }
    with database.connect() as connection:
        existing = dict(connection.execute(COLUMNS))
    assert documented == existing


def test_the_rights_of_each_role_are_those_that_the_migration_grants() -> None:
    begin, end = "<!-- rights -->\n\n", "\n\n<!-- end -->"
    before, _, rest = PAGE.read_text().partition(begin)
    documented, _, after = rest.partition(end)
    if os.environ.get("RENEW_DOCS"):
        PAGE.write_text(before + begin + rights_table() + end + after)
    else:
        assert documented == rights_table()


def rights_table() -> str:
    rights = defaultdict[str, dict[str, list[str]]](dict)
    statements = " ".join((ROOT / "migrations" / "rights.sql").read_text().split())
    for granted, names, role in GRANT.findall(statements):
        words = [f"{right}{'*' if columns else ''}" for right, columns in re.findall(r"([a-z]+)( \([^)]+\))?", granted)]
        for name in names.split(", "):
            rights[name].setdefault(role, []).extend(words)
    rows = [
        f"| `{name}` | {' | '.join(', '.join(sorted(by_role.get(role, []))) for role in ROLES)} |"
        for name, by_role in sorted(rights.items())
    ]
    head = f"| table or view | {' | '.join(f'`{role}`' for role in ROLES)} |"
    return "\n".join([head, "|---|---|---|---|", *rows])
