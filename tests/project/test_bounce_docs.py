"""docs/reference/bounces.md shows how bounces are classified. RENEW_DOCS=1 rewrites its tables."""

import os
from collections.abc import Callable

import pytest

from tests.support.bounce_samples import code_table, general_codes, sample_table, text_table
from tests.support.commands import ROOT

PAGE = ROOT / "docs" / "reference" / "bounces.md"
TABLES = {"codes": code_table, "general codes": general_codes, "texts": text_table, "samples": sample_table}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_match_the_code(name: str) -> None:
    table: Callable[[], str] = TABLES[name]
    before, mark, rest = PAGE.read_text().partition(f"<!-- {name} -->\n\n")
    documented, end, after = rest.partition("\n\n<!-- end -->")
    assert mark
    assert end
    if os.environ.get("RENEW_DOCS"):
        PAGE.write_text(before + mark + table() + end + after)
    else:
        assert documented == table()
