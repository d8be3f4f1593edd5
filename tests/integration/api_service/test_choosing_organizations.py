"""A user of several organizations chooses one at sign-in or refresh, and the access token names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from sqlalchemy import event
from werkzeug.test import TestResponse

from api_service.services import EXTENSION
from shared.ids import uuid7
from tests.support.accounts import Account, signed_in
from tests.support.api import PASSWORD, ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.organizations import AFTER_ACTIVATION, CLINIC

API_SETTINGS = AFTER_ACTIVATION

REPAIRS = "select payload ->> 'organization_id' as id from outbox_messages where template = 'organization_repair'"


def chosen(document: dict[str, Any]) -> Any:
    """Return the id and the role that the access token names."""
    claims = jwt.decode(document["access_token"], options={"verify_signature": False})
    return tuple(claims["organization"][name] for name in ("id", "role")) if "organization" in claims else None


def member_of(api: ApiUnderTest, user_id: UUID, *roles: str) -> list[str]:
    """Add ready organizations, one for each role, which the user joins one after the other. Return their ids."""
    return [joined(api, user_id, role, hours_ago) for hours_ago, role in enumerate(reversed(roles))][::-1]


def joined(api: ApiUnderTest, user_id: UUID, role: str, hours_ago: int = 0) -> str:
    organization_id = uuid7()
    api.rows(
        "insert into organizations (id, name, founder_id, database_name, status, ready_at, health)"
        " values (%s, %s, gen_random_uuid(), %s, 'ready', now(), 'healthy')",
        organization_id,
        f"Clinic as {role}",
        f"org_{organization_id.hex}",
    )
    api.rows(
        "insert into organization_members (organization_id, user_id, role, joined_at)"
        " values (%s, %s, %s, now() - make_interval(hours => %s))",
        organization_id,
        user_id,
        role,
        hours_ago,
    )
    return str(organization_id)


def sign_in(api: ApiUnderTest, password: str = PASSWORD, **choice: Any) -> TestResponse:
    return api.client.post("/v1/sessions", json={"email": "ada@example.org", "password": password, **choice})


def refresh(api: ApiUnderTest, session: Any, **choice: Any) -> TestResponse:
    body = {"refresh_token": session["refresh_token"], **choice}
    return api.client.post("/v1/sessions/refresh", json=body)


def remove(api: ApiUnderTest, organization_id: str) -> None:
    api.rows("delete from organization_members where organization_id = %s", organization_id)


def test_the_token_names_the_chosen_organization_or_the_one_joined_first(api: ApiUnderTest) -> None:
    ada = api.activated()
    first, second = member_of(api, ada, "owner", "member")
    assert chosen(sign_in(api).json) == (first, "owner")
    assert chosen(sign_in(api, organization=second).json) == (second, "member")
    assert chosen(sign_in(api).json) == (first, "owner")  # a choice on one device changes nothing on another


def test_an_organization_that_failed_is_named_by_choice_or_if_there_is_no_other(api: ApiUnderTest) -> None:
    failed, second = member_of(api, api.activated(), "owner", "member")
    api.rows("update organizations set status = 'failed', failed_at = now(), ready_at = null where id = %s", failed)
    assert chosen(sign_in(api).json) == (second, "member")
    assert chosen(sign_in(api, organization=failed).json) == (failed, "owner")
    remove(api, second)
    assert chosen(sign_in(api).json) == (failed, "owner")


def test_a_refresh_keeps_the_organization_of_the_session_until_it_chooses_another(api: ApiUnderTest) -> None:
    ada = api.activated()
    first, second = member_of(api, ada, "owner", "member")
    session = sign_in(api, organization=second).json
    for choice, expected in (({}, second), ({"organization": first}, first), ({}, first)):
        session = refresh(api, session, **choice).json
        assert chosen(session)[0] == expected


def test_the_first_organization_that_a_signed_in_user_joins_is_named_from_the_next_refresh(api: ApiUnderTest) -> None:
    ada = api.activated()
    session = sign_in(api).json
    assert chosen(session) is None
    first = joined(api, ada, "member")
    session = refresh(api, session).json
    assert chosen(session) == (first, "member")
    joined(api, ada, "owner", hours_ago=1)
    assert chosen(refresh(api, session).json) == (first, "member")


def test_a_removed_member_gets_tokens_without_an_organization_until_a_new_choice(api: ApiUnderTest) -> None:
    ada = api.activated()
    first, second = member_of(api, ada, "owner", "member")
    session = sign_in(api, organization=second).json
    remove(api, second)
    for _ in range(2):
        session = refresh(api, session).json
        assert chosen(session) is None
    assert chosen(refresh(api, session, organization=first).json) == (first, "owner")


def test_me_and_the_export_list_all_memberships_in_the_order_of_joining(api: ApiUnderTest) -> None:
    ada = api.activated()
    roles = ("admin", "owner", "member")
    ids = member_of(api, ada, *roles)
    account = Account(api, ada, signed_in(api))
    expected = [
        {"id": organization_id, "name": f"Clinic as {role}", "role": role, "status": "ready"}
        for organization_id, role in zip(ids, roles, strict=True)
    ]
    assert account.get("/v1/me").json["organizations"] == expected
    assert account.get("/v1/me/export").json["user"]["organizations"] == expected


def not_chosen(api: ApiUnderTest, ada: UUID) -> list[str]:
    """Return choices that are refused: of others, left, unknown and malformed."""
    [left] = member_of(api, ada, "member")
    remove(api, left)
    return [joined(api, api.activated(email="bea@example.org"), "owner"), left, str(uuid4()), "", "x" * 36]


def without_id(response: TestResponse) -> Any:
    return response.status_code, {name: value for name, value in response.json.items() if name != "request_id"}


def test_refused_choices_look_the_same_and_leave_the_refresh_token_valid(api: ApiUnderTest) -> None:
    ada = api.activated()
    [first] = member_of(api, ada, "owner")
    session = sign_in(api).json
    refused = not_chosen(api, ada)
    at_sign_in = [without_id(sign_in(api, organization=choice)) for choice in refused]
    at_refresh = [without_id(refresh(api, session, organization=choice)) for choice in refused]
    for seen in (at_sign_in, at_refresh):
        status, problem = seen[0]
        assert (status, problem["code"]) == (403, "not_a_member")
        assert seen == [seen[0]] * len(refused)
    assert sign_in(api, "a wrong password", organization=refused[0]).json["code"] == "invalid_credentials"
    assert chosen(refresh(api, session).json) == (first, "owner")


def test_a_refused_choice_counts_as_no_failed_sign_in_and_starts_no_session(database: Database) -> None:
    with shared_api(database, RATE_LIMITS="on", LIMIT_FAILED_LOGINS_PER_ADDRESS="2/hour", **AFTER_ACTIVATION) as api:
        api.activated()
        before = api.rows("select count(*) from sessions")
        assert {sign_in(api, organization=str(uuid4())).status_code for _ in range(4)} == {403}
        assert api.rows("select count(*) from sessions") == before


def test_only_the_health_of_the_chosen_organization_matters(api: ApiUnderTest) -> None:
    ada = api.activated()
    first, second = member_of(api, ada, "owner", "member")
    session = sign_in(api).json
    api.rows("update organizations set health = 'lost' where id = %s", second)
    assert sign_in(api).status_code == 201
    for refused in (sign_in(api, organization=second), refresh(api, session, organization=second)):
        assert (refused.status_code, refused.json["code"]) == (503, "organization_not_ready")
        assert int(refused.headers["Retry-After"]) > 0
    assert [repair.id for repair in api.rows(REPAIRS)] == [second]
    api.rows("update organizations set health = 'lost' where id = %s", first)
    api.rows("update organizations set health = 'healthy' where id = %s", second)
    session = refresh(api, session).json  # a refresh that chooses nothing does not check the health
    assert chosen(refresh(api, session, organization=second).json) == (second, "member")


@contextmanager
def statements_of(api: ApiUnderTest) -> Iterator[list[str]]:
    """Collect the statements of the API during the block."""
    engine, executed = api.app.extensions[EXTENSION].engine, list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("value", [None, 5, {}, [], True])
def test_a_choice_that_is_no_string_is_a_violation(api: ApiUnderTest, value: object) -> None:
    response = sign_in(api, organization=value)
    assert (response.status_code, response.json["errors"][0]["code"]) == (422, "invalid_type")


def test_without_organizations_a_choice_is_refused_and_signing_in_reads_no_membership(database: Database) -> None:
    with shared_api(database) as off:
        ada = off.activated()
        [first] = member_of(off, ada, "owner")
        with statements_of(off) as executed:
            session = sign_in(off).json
            for refused in (sign_in(off, organization=first), refresh(off, session, organization=first)):
                assert refused.json["errors"][0]["code"] == "no_organizations"
            assert "organizations" not in Account(off, ada, session["access_token"]).get("/v1/me").json
            session = refresh(off, session).json
        assert chosen(session) is None
        assert "insert into sessions" in "".join(executed).lower()
        assert [one for one in executed if "organizations" in one or "organization_members" in one] == []
    with shared_api(database, **AFTER_ACTIVATION) as on:
        assert chosen(refresh(on, session).json) == (first, "owner")


def test_a_limited_session_has_no_organization_to_choose(database: Database) -> None:
    with shared_api(database, UNCONFIRMED_ACCESS="limited", **AFTER_ACTIVATION) as api:
        session = api.register(organization=CLINIC).json
        [organization] = api.rows("select id from organizations")
        for refused in (sign_in(api, organization=str(organization.id)), refresh(api, session, organization="x")):
            assert refused.json["code"] == "not_a_member"
        assert chosen(refresh(api, session).json) is None
