"""The docs show the relay's decision tables. RENEW_DOCS=1 rewrites them."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from outbox_relay.failures.network import LONGEST_WAIT
from shared.enqueue import LONGEST_LIFE, MAX_ATTEMPTS
from tests.support.delivery_tables import api_table, break_table, http_table, schedule_table, smtp_table
from tests.support.email_apis import EMAIL_APIS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "failures.md"
PROVIDERS = ROOT / "docs" / "guides" / "providers"
TABLES = {
    (PAGE, "smtp replies"): smtp_table,
    (PAGE, "http statuses"): http_table,
    (PAGE, "breaks"): break_table,
    (PAGE, "schedules"): schedule_table,
} | {
    (PROVIDERS / f"{name.replace('+', '-')}.md", "errors"): partial(api_table, api.rules)
    for name, api in EMAIL_APIS.items()
}


@pytest.mark.parametrize(("page", "name"), TABLES, ids=lambda part: part.stem if isinstance(part, Path) else part)
def test_the_tables_match_the_code(page: Path, name: str) -> None:
    expected = printed(TABLES[page, name])
    before, mark, rest = page.read_text().partition(f"<!-- {name} -->\n\n")
    documented, end, after = rest.partition("<!-- end -->")
    assert mark
    assert end
    if os.environ.get("RENEW_DOCS"):
        page.write_text(before + mark + expected + end + after)
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
