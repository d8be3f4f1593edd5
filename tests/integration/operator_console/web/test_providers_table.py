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


@pytest.mark.parametrize(
    ("open_until", "unpaused", "paused"),
    [
        ("now() + interval '1 hour'", "circuit open until", "down paused"),
        ("now() - interval '1 second'", "probing", "down paused"),
        ("null", "healthy", "healthy paused"),
    ],
)
def test_a_paused_provider_is_shown_as_down_and_offers_no_probe(
    console: ConsoleUnderTest, outbox: Outbox, token: str, *, open_until: str, unpaused: str, paused: str
) -> None:
    outbox.execute(
        "insert into providers (name, channel, consecutive_opens, open_until)"
        f" select 'smtp:mx:25', 'email', ({open_until} is not null)::int, {open_until}"
    )
    browser = console.signed_in(token)
    page = browser.get("/relays").text
    [state] = cells(page, "State")
    assert (state.startswith(unpaused), "Probe…" in page) == (True, unpaused == "circuit open until")
    for kind, name in (("provider", "smtp:mx:25"), ("channel", "email")):
        outbox.execute("delete from pauses")
        outbox.execute("insert into pauses (kind, name, operator, reason) values (%s, %s, 'ada', 'x')", kind, name)
        page = browser.get("/relays").text
        assert (cells(page, "State"), "Probe…" in page) == ([paused], False)
