"""Create an organization with a registration, and sign in to it."""

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from devstack.cluster import Cluster
from tests.support.accounts import Account, signed_in
from tests.support.api import PASSWORD, ApiUnderTest, api_on
from tests.support.databases import fresh_database
from tests.support.organizations import BEFORE_ACTIVATION, CLINIC

API_SETTINGS = BEFORE_ACTIVATION

DONE = (
    "with done as (update outbox_messages set status = 'sent', settled_at = now() - interval '1 hour'"
    " where channel = 'provision' and status = 'pending' returning id)"
    " select signpost_provisioned(id, gen_random_uuid()) from done"
)
REPAIRS = "select * from outbox_messages where template = 'organization_repair'"


@pytest.fixture(scope="module")
def refusing(cluster: Cluster) -> Iterator[ApiUnderTest]:
    """One API for all tests: rejected requests change no row."""
    with fresh_database(cluster) as database, api_on(database, **API_SETTINGS) as api:
        yield api


def sign_in(api: ApiUnderTest, email: str = "ada@example.org") -> TestResponse:
    return api.client.post("/v1/sessions", json={"email": email, "password": PASSWORD})


def member_of_a_ready_one(api: ApiUnderTest) -> None:
    ada = api.registered(organization=CLINIC)
    api.rows(DONE)
    assert api.activate(ada).status_code == 200


def found_to_be(api: ApiUnderTest, health: str) -> None:
    api.rows("update organizations set health = %s, checked_at = now()", health)


def test_user_organization_token_and_one_message_are_added_together(api: ApiUnderTest) -> None:
    response = api.register(organization={"name": "  Cafe\u0301   du  Port ", "country": "FR"})
    [organization] = api.rows("select * from organizations")
    assert (response.status_code, response.json["organization"]) == (
        202,
        {"id": str(organization.id), "name": "Café du Port", "role": "owner", "status": "provisioning"},
    )
    [message] = api.rows("select * from outbox_messages")
    [user] = api.rows("select * from users")
    assert (user.organization_id, organization.founder_id) == (organization.id, user.id)
    assert (message.channel, message.template, message.user_id) == ("provision", "organization", user.id)
    assert (organization.name, organization.country, organization.is_decoy) == ("Café du Port", "FR", False)
    assert not response.json["can_resend"]


def test_a_registration_without_an_organization_has_no_such_member(api: ApiUnderTest) -> None:
    assert "organization" not in api.register().json
    assert api.rows("select * from organizations") == []


def test_a_lookup_returns_the_same_as_the_registration(api: ApiUnderTest) -> None:
    response = api.register(organization=CLINIC).json
    assert api.look_up(response["id"]).json == response


@pytest.mark.parametrize(
    ("organization", "pointer", "code"),
    [
        ({}, "#/organization/name", "required"),
        ("Clinic", "#/organization", "invalid_type"),
        (None, "#/organization", "invalid_type"),
        ({"name": "Clinic", "size": 3}, "#/organization/size", "unknown_field"),
        ({"name": ""}, "#/organization/name", "too_short"),
        ({"name": " -- "}, "#/organization/name", "too_short"),
        ({"name": "x" * 201}, "#/organization/name", "too_long"),
        ({"name": "Clinic\u202etset"}, "#/organization/name", "control_character"),
        ({"name": "Cli\u200bnic"}, "#/organization/name", "control_character"),
        ({"name": "Clinic\nBcc: eve@example.org"}, "#/organization/name", "control_character"),
        ({"name": "Clinic", "country": "fr"}, "#/organization/country", "invalid_country"),
        ({"name": "Clinic", "country": "EU"}, "#/organization/country", "invalid_country"),
        ({"name": "Clinic", "country": "FRA"}, "#/organization/country", "invalid_country"),
        ({"name": "Clinic", "country": None}, "#/organization/country", "invalid_type"),
    ],
)
def test_an_invalid_organization_is_rejected_with_a_pointer(
    refusing: ApiUnderTest, organization: Any, pointer: str, code: str
) -> None:
    response = refusing.register(organization=organization)
    assert response.status_code == 422
    assert [(violation["pointer"], violation["code"]) for violation in response.json["errors"]] == [(pointer, code)]
    assert refusing.count_rows() == (0, 0, 0)


def test_a_message_is_not_resent_before_the_organization_is_ready(api: ApiUnderTest) -> None:
    ada = api.registered(organization=CLINIC)
    response = api.resend(ada)
    assert (response.status_code, response.json["code"], response.headers["Retry-After"]) == (
        429,
        "resend_too_soon",
        "5",
    )
    api.rows(DONE)
    assert api.look_up(ada).json["can_resend"]
    assert api.resend(ada).status_code == 202


def test_a_failed_organization_is_not_resent(api: ApiUnderTest) -> None:
    ada = api.registered(organization=CLINIC)
    api.rows("update organizations set status = 'failed', failed_at = now()")
    response = api.resend(ada)
    assert (response.status_code, response.json["code"]) == (409, "organization_failed")
    assert [message.template for message in api.messages(ada)] == ["organization"]


def test_a_member_of_a_healthy_organization_signs_in(api: ApiUnderTest) -> None:
    member_of_a_ready_one(api)
    assert sign_in(api).status_code == 201
    assert api.rows(REPAIRS) == []


@pytest.mark.parametrize("health", ["lost", "damaged", "unreachable"])
def test_a_member_of_an_unavailable_organization_must_wait_and_one_repair_is_enqueued(
    api: ApiUnderTest, health: str
) -> None:
    member_of_a_ready_one(api)
    found_to_be(api, health)
    for _ in range(7):
        response = sign_in(api)
        assert (response.status_code, response.json["code"]) == (503, "organization_not_ready")
        assert response.headers["Retry-After"] == "5"
    [repair] = api.rows(REPAIRS)
    assert (repair.channel, repair.status) == ("provision", "pending")
    assert api.rows("select * from sessions where created_at > %s", repair.created_at) == []


def test_after_a_repair_that_did_not_help_there_is_another_a_minute_later(api: ApiUnderTest) -> None:
    member_of_a_ready_one(api)
    found_to_be(api, "lost")
    sign_in(api)
    api.rows("update outbox_messages set status = 'sent', settled_at = now() where status = 'pending'")
    sign_in(api)
    assert len(api.rows(REPAIRS)) == 1
    api.rows("update outbox_messages set settled_at = settled_at - interval '2 minutes'")
    sign_in(api)
    assert len(api.rows(REPAIRS)) == 2


def test_a_wrong_password_reveals_nothing_about_the_organization(api: ApiUnderTest) -> None:
    member_of_a_ready_one(api)
    found_to_be(api, "lost")
    response = api.client.post(
        "/v1/sessions", json={"email": "ada@example.org", "password": "not the right four words"}
    )
    assert (response.status_code, response.json["code"]) == (401, "invalid_credentials")
    assert api.rows(REPAIRS) == []


def test_a_user_without_an_organization_signs_in_regardless_of_others(api: ApiUnderTest) -> None:
    member_of_a_ready_one(api)
    found_to_be(api, "lost")
    api.activated(email="bea@example.org")
    assert sign_in(api, "bea@example.org").status_code == 201


def test_a_code_activates_without_a_session_while_the_organization_is_unavailable(api: ApiUnderTest) -> None:
    ada = api.registered(organization=CLINIC)
    api.rows(DONE)
    found_to_be(api, "lost")
    assert api.activate(ada).json.keys() == {"status", "organization"}
    assert len(api.rows(REPAIRS)) == 1


def test_a_decoy_that_activates_gets_its_organization_provisioned(api: ApiUnderTest) -> None:
    """The address was taken at registration and is free now."""
    holder = api.activated()
    stranger = api.registered(organization=CLINIC)
    api.rows(DONE)
    api.rows("delete from users where id = %s", holder)
    assert api.resend(stranger).status_code == 202
    assert api.activate(stranger).json.keys() == {"status", "organization"}
    assert sign_in(api).status_code == 503
    [repair] = api.rows(REPAIRS)
    [organization] = api.rows("select * from organizations")
    assert (organization.is_decoy, repair.payload["organization_id"]) == (False, str(organization.id))


def test_an_erased_founder_leaves_the_organization_without_personal_data(api: ApiUnderTest) -> None:
    ada = api.registered(organization=CLINIC)
    api.registered(organization={"name": "Nobody's"})
    api.rows(DONE)
    assert api.activate(ada).status_code == 200
    assert Account(api, ada, signed_in(api)).erase(password=PASSWORD).status_code == 202
    assert api.count_rows()[0] == 0
    founded = api.rows("select name, status from organizations order by name")
    assert [tuple(row) for row in founded] == [("Clinic", "ready"), ("Nobody's", "failed")]
    work = api.rows("select recipient, payload, status from outbox_messages where channel = 'provision'")
    assert [tuple(row) for row in work] == [("erased", {}, "sent")] * 2
