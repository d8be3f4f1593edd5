"""docs/reference/failures.md shows the relay's decision tables. RENEW_DOCS=1 rewrites them."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from outbox_relay.failures.network import LONGEST_WAIT
from shared.enqueue import LONGEST_LIFE, MAX_ATTEMPTS
from tests.support.delivery_tables import break_table, http_table, schedule_table, smtp_table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "failures.md"
TABLES = {
    "smtp replies": smtp_table,
    "http statuses": http_table,
    "breaks": break_table,
    "schedules": schedule_table,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_match_the_code(name: str) -> None:
    expected = printed(TABLES[name])
    before, mark, rest = PAGE.read_text().partition(f"<!-- {name} -->\n\n")
    documented, end, after = rest.partition("<!-- end -->")
    assert mark
    assert end
    if os.environ.get("RENEW_DOCS"):
        PAGE.write_text(before + mark + expected + end + after)
    else:
        assert documented == expected


def test_the_limits_match_the_code() -> None:
    text = " ".join(PAGE.read_text().split())
    assert f"anything else {LONGEST_LIFE.total_seconds() / 3600:.0f} hours" in text
    assert f"the {MAX_ATTEMPTS} attempts that a message is allowed" in text
    assert f"at most {LONGEST_WAIT.total_seconds() / 3600:.0f} hours count (`LONGEST_WAIT`" in text
    digests = (ROOT / "migrations" / "sql" / "delivery.sql").read_text()
    [hours] = re.findall(r"now\(\) \+ interval '(\d+) hours'", digests)
    assert f"(`operator_digest`) with {hours} hours" in text


def printed(table: Callable[[], str]) -> str:
    return table() + "\n\n"
