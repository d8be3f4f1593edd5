"""Neither a response nor the work for it reveals whether an address has an account."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from tests.support.accounts import confirm_reset
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.observed import Work, observed, shape
from tests.support.organizations import AFTER_ACTIVATION, BEFORE_ACTIVATION, CLINIC

Address = dict[str, str]

MAIL = {"email": "known@example.org"}, {"email": "never@example.org"}
NUMBERS = {"phone": "+447400123456"}, {"phone": "+447400123457"}
"""A number with an account, and one without."""


@dataclass(frozen=True)
class Person:
    """A person's address and newest registration."""

    address: Address
    registration_id: UUID


def registering(api: ApiUnderTest, who: Person) -> TestResponse:
    return api.register(**who.address)


def registering_with_an_organization(api: ApiUnderTest, who: Person) -> TestResponse:
    return api.register(**who.address, organization=CLINIC)


def looking_up_the_organization(api: ApiUnderTest, who: Person) -> TestResponse:
    return api.look_up(api.registered(**who.address, organization=CLINIC))


def resending_after_founding(api: ApiUnderTest, who: Person) -> TestResponse:
    return api.resend(api.registered(**who.address, organization=CLINIC))


def repeating_a_registration_with_an_organization(api: ApiUnderTest, who: Person) -> TestResponse:
    body = {**who.address, "password": PASSWORD, "organization": CLINIC}
    key = {"Idempotency-Key": f"for-{who.registration_id}"}
    api.client.post("/v1/registrations", json=body, headers=key)
    return api.client.post("/v1/registrations", json=body, headers=key)


def resending(api: ApiUnderTest, who: Person) -> TestResponse:
    return api.resend(who.registration_id)


def asking_for_a_reset(api: ApiUnderTest, who: Person) -> TestResponse:
    return api.client.post("/v1/password-resets", json=who.address)


def confirming_a_reset(api: ApiUnderTest, who: Person) -> TestResponse:
    return confirm_reset(api, WRONG_CODE, **who.address)


def signing_in(api: ApiUnderTest, who: Person) -> TestResponse:
    return api.client.post("/v1/sessions", json={**who.address, "password": "not the right four words"})


def signing_in_with_a_fifth_wrong_password(api: ApiUnderTest, who: Person) -> TestResponse:
    return [signing_in(api, who) for _ in range(5)][-1]


Ask = Callable[[ApiUnderTest, Person], TestResponse]
ASKED: list[tuple[Ask, int]] = [
    (registering, 202),
    (resending, 202),
    (asking_for_a_reset, 202),
    (confirming_a_reset, 400),
    (signing_in, 401),
    (signing_in_with_a_fifth_wrong_password, 401),
]
FOUNDED: list[tuple[Ask, dict[str, str], int]] = [
    (registering_with_an_organization, BEFORE_ACTIVATION, 202),
    (registering_with_an_organization, AFTER_ACTIVATION, 202),
    (registering_with_an_organization, {}, 422),
    (looking_up_the_organization, BEFORE_ACTIVATION, 200),
    (looking_up_the_organization, AFTER_ACTIVATION, 200),
    (resending_after_founding, BEFORE_ACTIVATION, 429),
    (resending_after_founding, AFTER_ACTIVATION, 202),
    (repeating_a_registration_with_an_organization, BEFORE_ACTIVATION, 202),
    (repeating_a_registration_with_an_organization, AFTER_ACTIVATION, 202),
]


@pytest.mark.parametrize("addresses", [MAIL, NUMBERS], ids=["mail", "numbers"])
@pytest.mark.parametrize(("ask", "status"), ASKED)
def test_responses_and_their_statements_are_the_same_with_and_without_an_account(
    api: ApiUnderTest, ask: Ask, status: int, addresses: tuple[Address, Address]
) -> None:
    works = works_of(api, ask, status, addresses)
    assert are_alike(works)
    assert works[0].statements


@pytest.mark.parametrize("addresses", [MAIL, NUMBERS], ids=["mail", "numbers"])
@pytest.mark.parametrize(("ask", "settings", "status"), FOUNDED)
def test_foundings_are_the_same_with_and_without_an_account_in_each_mode(
    database: Database, ask: Ask, settings: dict[str, str], status: int, addresses: tuple[Address, Address]
) -> None:
    with shared_api(database, **settings) as api:
        assert are_alike(works_of(api, ask, status, addresses))


def works_of(api: ApiUnderTest, ask: Ask, status: int, addresses: tuple[Address, Address]) -> tuple[Work, Work]:
    """Ask for a known and a free address, compare the responses, and return the database's work for them."""
    known, _unknown = addresses
    api.activated(**known)
    both = [Person(address, api.registered(**address)) for address in addresses]

    responses, works = zip(*(observed(api, partial(ask, api, who)) for who in both), strict=True)

    assert [response.status_code for response in responses] == [status, status]
    assert are_alike(list(response.headers.keys()) for response in responses)
    assert are_alike(response.headers["Content-Length"] for response in responses)
    assert are_alike(shape(response.json) for response in responses)
    with_account, without_account = works
    return with_account, without_account


def are_alike(both: Iterable[Any]) -> bool:
    """Return whether the two are equal."""
    first, second = both
    return bool(first == second)
