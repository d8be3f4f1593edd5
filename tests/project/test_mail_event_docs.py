"""docs/reference/mail-events.md shows what each provider's events mean. RENEW_DOCS=1 rewrites its tables."""

import os

import pytest

from shared.reports.mail_ids import MailProvider
from tests.support.commands import ROOT
from tests.support.mail_event_tables import RULES, event_table

PAGE = ROOT / "docs" / "reference" / "mail-events.md"


@pytest.mark.parametrize("provider", MailProvider)
def test_the_tables_match_the_code(provider: MailProvider) -> None:
    before, mark, rest = PAGE.read_text().partition(f"<!-- {provider} -->\n\n")
    documented, end, after = rest.partition("\n\n<!-- end -->")
    table = event_table(RULES[provider])
    assert mark
    assert end
    if os.environ.get("RENEW_DOCS"):
        PAGE.write_text(before + mark + table + end + after)
    else:
        assert documented == table
