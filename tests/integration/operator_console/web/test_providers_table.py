"""The table of providers on the overview and on the page of relays."""

import re

import pytest

from tests.support.consoles import ConsoleUnderTest
from tests.support.outbox import Outbox


def cells(page: str, column: str) -> list[str]:
    """Return the texts of a column, without tags."""
    found = re.findall(f'<td data-label="{column}">(.*)</td>', page.partition('id="providers"')[2])
    return [re.sub(r"<.+?>", "", cell) for cell in found]


@pytest.mark.parametrize("path", ["/", "/relays"])
def test_each_provider_has_its_channel(console: ConsoleUnderTest, outbox: Outbox, token: str, path: str) -> None:
    outbox.execute("insert into providers (name, channel) values ('smtp:mx:25', 'email'), ('twilio:api', 'sms')")
    page = console.signed_in(token).get(path).text
    assert dict(zip(cells(page, "Provider"), cells(page, "Channel"), strict=True)) == {
        "smtp:mx:25": "E-mail",
        "twilio:api": "SMS",
    }
