"""A limited session does not reveal whether its address is free, taken, or registered several times."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from argon2 import PasswordHasher
from werkzeug.test import TestResponse

from bench.fast_hashing import FAST
from tests.support.api import PASSWORD, ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.observed import observed, shape

STRANGERS = "a password of the stranger"
FREE, TAKEN, RETIRED, CONTESTED = "free", "held", "left", "both"
KINDS = (FREE, TAKEN, RETIRED, CONTESTED)
"""Names of the same length, because responses contain the address."""
CHANNELS = ("email", "phone")


class CountingHasher(PasswordHasher):
    """Counts the hashes that it compares."""

    count = 0

    def verify(self, *arguments: Any) -> Any:
        self.count += 1
        return super().verify(*arguments)


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, UNCONFIRMED_ACCESS="limited") as api:
        yield api


def address_of(kind: str, channel: str) -> dict[str, str]:
    return {channel: f"{kind}@example.org" if channel == "email" else f"+44740012345{KINDS.index(kind)}"}


def registered(api: ApiUnderTest, kind: str, channel: str) -> dict[str, Any]:
    """Register an address of that kind, which others may have registered before or activate afterwards."""
    address = address_of(kind, channel)
    if kind == TAKEN:
        api.activated(**address, password=STRANGERS)
    first = api.registered(**address, password=STRANGERS) if kind in (RETIRED, CONTESTED) else None
    registration: dict[str, Any] = api.register(**address).json
    if first and kind == RETIRED:
        assert api.activate(first).status_code == 200
    return registration | {"address": address}


def bearing(registration: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {registration['access_token']}"}


def registering_again(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    return api.register(**one["address"])


def signing_in(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    return api.client.post("/v1/sessions", json={**one["address"], "password": PASSWORD})


def signing_in_wrongly(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    return api.client.post("/v1/sessions", json={**one["address"], "password": "not the right four words"})


def signing_in_after_the_expiry(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    api.rows("update tokens set expires_at = now() where user_id = %s", one["id"])
    return signing_in(api, one)


def refreshing(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    return api.client.post("/v1/sessions/refresh", json={"refresh_token": one["refresh_token"]})


def refreshing_twice(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    refreshing(api, one)
    return refreshing(api, one)


def refreshing_after_the_expiry(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    api.rows("update tokens set expires_at = now() where user_id = %s", one["id"])
    return refreshing(api, one)


def looking(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    return api.client.get("/v1/me", headers=bearing(one))


def looking_after_the_expiry(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    api.rows("update tokens set expires_at = now() where user_id = %s", one["id"])
    return looking(api, one)


def exporting(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    return api.client.get("/v1/me/export", headers=bearing(one))


def signing_out(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    return api.client.delete("/v1/sessions/current", headers=bearing(one))


def resending(api: ApiUnderTest, one: dict[str, Any]) -> TestResponse:
    return api.client.post(f"/v1/registrations/{one['id']}/resend", json={})


Ask = Callable[[ApiUnderTest, dict[str, Any]], TestResponse]
ASKED: list[tuple[Ask, int]] = [
    (registering_again, 202),
    (signing_in, 201),
    (signing_in_wrongly, 401),
    (signing_in_after_the_expiry, 403),
    (refreshing, 200),
    (refreshing_twice, 401),
    (refreshing_after_the_expiry, 401),
    (looking, 200),
    (looking_after_the_expiry, 401),
    (exporting, 403),
    (signing_out, 204),
    (resending, 202),
]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(("ask", "status"), ASKED)
def test_responses_and_their_work_are_the_same_for_each_kind_of_address(
    api: ApiUnderTest, ask: Ask, status: int, channel: str
) -> None:
    registrations = {kind: registered(api, kind, channel) for kind in KINDS}
    seen = {}
    for kind, one in registrations.items():
        counting = CountingHasher.from_parameters(FAST._parameters)  # noqa: SLF001 - no public attribute has them
        with patch("api_service.security.passwords._hasher", counting):
            response, work = observed(api, partial(ask, api, one))
        assert response.status_code == status, kind
        headers = sorted(set(response.headers.keys()))
        seen[kind] = headers, response.headers.get("Content-Length"), shape(response.json), work, counting.count

    for kind in KINDS:
        assert seen[kind] == seen[FREE], kind
    assert seen[FREE][3].statements


def test_a_wrong_password_costs_two_hashes_however_often_the_address_is_registered(api: ApiUnderTest) -> None:
    counts = []
    for times in (0, 1, 2, 5):
        for _ in range(times):
            api.register(email=f"{times}@example.org")
        counting = CountingHasher.from_parameters(FAST._parameters)  # noqa: SLF001 - no public attribute has them
        with patch("api_service.security.passwords._hasher", counting):
            signing_in_wrongly(api, {"address": {"email": f"{times}@example.org"}})
        counts.append(counting.count)

    assert counts == [2, 2, 2, 2]
