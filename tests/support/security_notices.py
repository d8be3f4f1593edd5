"""Sign in as different clients, and read the notices that a relay would send."""

from typing import Any

from werkzeug.test import TestResponse

from shared.secrets import LinkUse, link_token_for
from tests.support.accounts import ADA
from tests.support.api import PASSWORD, ApiUnderTest
from tests.support.keys import KEY

WRONG = "four loud words here"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/18.1 Mobile/15E148 Safari/604.1"
)
HOME, WORK, ELSEWHERE = "192.0.2.17", "198.51.100.4", "2001:db8:1:2::3"


def sign_in_from(
    api: ApiUnderTest, place: str, agent: str = FIREFOX, password: str = PASSWORD, **address: str
) -> TestResponse:
    body = {"password": password} | (address or {"email": ADA})
    return api.client.post("/v1/sessions", json=body, **coming_from(place, agent))


def coming_from(place: str, agent: str = FIREFOX) -> dict[str, Any]:
    return {"headers": {"User-Agent": agent}, "environ_overrides": {"REMOTE_ADDR": place}}


def pass_time(api: ApiUnderTest, interval: str) -> None:
    """Make all events, notices, clients and counters older."""
    for table, columns in {
        "security_events": ("occurred_at", "notified_at"),
        "seen_clients": ("first_seen_at", "last_seen_at"),
        "wrong_passwords": ("last_at",),
    }.items():
        older = ", ".join(f"{column} = {column} - interval '{interval}'" for column in columns)
        api.rows(f"update {table} set {older}")


def enqueue_notices(api: ApiUnderTest) -> int:
    """Add the notices that are due, as a relay's maintenance does."""
    return int(api.rows("select signpost_enqueue_notices(100) as enqueued")[0].enqueued)


def notices(api: ApiUnderTest, template: str) -> list[Any]:
    """Return the notices of that kind, oldest first."""
    return api.rows("select * from outbox_messages where template = %s order by created_at, id", template)


def listed(notice: Any) -> list[tuple[str, str]]:
    """Return device and network of each event that the notice lists."""
    return [(event["device"], event["network"]) for event in notice.payload["events"]]


def token_of(notice: Any) -> str:
    return link_token_for(notice.id, KEY, LinkUse.END_SESSIONS)
