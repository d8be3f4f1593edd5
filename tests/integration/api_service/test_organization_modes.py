"""The three modes of ORGANIZATIONS: off, and databases created after or before the activation."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import jwt
import pytest
from werkzeug.test import TestResponse

from api_service.use_cases.organizations import held_foundings, provisioning_problem
from shared.db.engine import create_database_engine
from tests.support.accounts import Account, signed_in
from tests.support.api import PASSWORD, ApiUnderTest, api_on, shared_api
from tests.support.databases import Database
from tests.support.keys import PUBLIC_URL, SECRET_KEYS
from tests.support.organizations import AFTER_ACTIVATION, BEFORE_ACTIVATION, CLINIC

API_SETTINGS = AFTER_ACTIVATION

PENDING_WORK = "select * from outbox_messages where channel = 'provision' and status = 'pending'"
PROVISIONED = f"with work as ({PENDING_WORK}) select signpost_provisioned(id, gen_random_uuid()) from work"
GIVEN_UP = f"with work as ({PENDING_WORK}) select signpost_provisioning_failed(id, gen_random_uuid()) from work"
A_RELAY = (
    "insert into relays (id, host, version, channels, batch_size, connections)"
    " values (gen_random_uuid(), 'here', '1', %s, 1, 1)"
)

# Prints the modules of the feature that a registration, its look-up and a sign-in load, and those of a relay.
LOADED = """
import sys
import outbox_relay.daemon, outbox_relay.once
from api_service.app import create_app
from api_service.settings import ApiSettingsSchema
names = ("DATABASE_URL", "SECRET_KEYS", "PUBLIC_URL", "ORGANIZATIONS")
app = create_app(ApiSettingsSchema().read(dict(zip(names, sys.argv[1:]))))
client = app.test_client()
body = {"email": "ada@example.org", "password": "four quiet words here"}
response = client.post("/v1/registrations", json=body)
assert client.get(response.headers["Location"]).status_code == 200
assert client.post("/v1/sessions", json=body).status_code == 403
app.close()
option = {"invitations", "members", "organizations", "provisioning", "tenants"}
print(*sorted(name for name in sys.modules if option & set(name.split("."))))
"""


def claim_in(document: dict[str, Any]) -> Any:
    return jwt.decode(document["access_token"], options={"verify_signature": False}).get("organization")


def sign_in(api: ApiUnderTest) -> TestResponse:
    return api.client.post("/v1/sessions", json={"email": "ada@example.org", "password": PASSWORD})


def members(api: ApiUnderTest) -> list[tuple[UUID, str]]:
    return [(row.user_id, row.role) for row in api.rows("select user_id, role from organization_members")]


def test_without_organizations_the_field_is_refused_and_no_module_is_loaded(database: Database) -> None:
    with shared_api(database) as api:
        for organization in (CLINIC, {}, None):
            response = api.register(organization=organization)
            assert (response.status_code, response.json["errors"][0]["pointer"]) == (422, "#/organization")
            assert response.json["errors"][0]["code"] == "no_organizations"
        assert api.count_rows() == (0, 0, 0)
    assert loaded(database, "off") == []
    assert loaded(database, "after_activation") == [
        "api_service.routes.invitations",
        "api_service.routes.members",
        "api_service.schemas.invitations",
        *(f"api_service.use_cases.{name}" for name in ("invitations", "members", "organizations")),
    ]


def loaded(database: Database, mode: str) -> list[str]:
    command = [sys.executable, "-c", LOADED, database.api_url, SECRET_KEYS, PUBLIC_URL, mode]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1].split()


def test_the_code_does_not_wait_for_a_planned_organization(api: ApiUnderTest) -> None:
    response = api.register(organization=CLINIC)
    [organization] = api.rows("select * from organizations")
    view = {"id": str(organization.id), "name": "Clinic", "role": "owner", "status": "planned"}
    assert response.json["organization"] == view
    assert response.json["can_resend"]
    assert api.look_up(response.json["id"]).json == response.json
    assert api.resend(UUID(response.json["id"])).status_code == 202
    api.rows("update outbox_messages set status = 'sent', settled_at = now() where status = 'pending'")
    assert api.look_up(response.json["id"], Prefer="wait=20").headers["Preference-Applied"] == "wait=20"
    assert [message.template for message in api.rows("select * from outbox_messages")] == ["activation"] * 2
    assert members(api) == []


def test_the_activation_founds_the_organization_and_sign_in_works_meanwhile(
    api: ApiUnderTest,
) -> None:
    ada = api.registered(organization=CLINIC)
    activated = api.activate(ada).json
    view = activated["organization"]
    claim = {"id": view["id"], "role": "owner", "status": "provisioning"}
    assert view == claim | {"name": "Clinic"}
    assert claim_in(activated) == claim_in(sign_in(api).json) == claim
    assert Account(api, ada, signed_in(api)).get("/v1/me").json["organizations"] == [view]
    [work] = api.rows(PENDING_WORK)
    assert (work.template, work.payload.keys()) == ("organization", {"organization_id", "name"})
    assert members(api) == [(ada, "owner")]

    shown = api.look_up(ada).json
    assert (shown["status"], shown["delivery"]["attempts"], shown["channel"]) == ("active", 0, "email")
    api.rows(PROVISIONED)
    refreshed = api.client.post("/v1/sessions/refresh", json={"refresh_token": activated["refresh_token"]})
    assert claim_in(refreshed.json) == claim | {"status": "ready"}
    # One transaction enqueues the first two, so their times are the same.
    *newest, oldest = [message.template for message in api.messages(ada)]
    assert (set(newest), oldest) == ({"organization", "welcome"}, "activation")

    api.rows("select signpost_remove_organization(id, false) from organizations")
    refreshed = api.client.post("/v1/sessions/refresh", json={"refresh_token": refreshed.json["refresh_token"]})
    assert (claim_in(refreshed.json), "organization" in sign_in(api).json) == (None, False)
    assert (api.look_up(ada).json["status"], members(api)) == ("active", [])


def test_a_link_founds_the_organization_too(api: ApiUnderTest) -> None:
    ada, bea = (api.registered(email=f"{name}@example.org", organization=CLINIC) for name in ("ada", "bea"))
    assert api.activate_by_link(api.link_token(ada)).json["organization"]["status"] == "provisioning"
    assert api.client.post("/activate", data={"token": api.link_token(bea)}).status_code == 200
    assert {work.user_id for work in api.rows(PENDING_WORK)} == {ada, bea}


def test_a_founding_that_fails_is_reported_at_the_verified_address(api: ApiUnderTest) -> None:
    ada = api.activated(phone="+447400123456", organization=CLINIC)
    api.rows(GIVEN_UP)
    [notice] = api.rows("select * from outbox_messages where template = 'organization_failed'")
    assert (notice.channel, notice.recipient, notice.user_id) == ("sms", "+447400123456", ada)
    assert notice.payload == {"name": None}
    body = {"phone": "+447400123456", "password": PASSWORD}
    assert claim_in(api.client.post("/v1/sessions", json=body).json)["status"] == "failed"


def test_a_decoy_founds_its_organization_if_the_address_becomes_free(api: ApiUnderTest) -> None:
    holder = api.activated()
    stranger = api.registered(organization=CLINIC)
    api.rows("delete from users where id = %s", holder)
    assert api.resend(stranger).status_code == 202
    assert api.activate(stranger).json["organization"]["status"] == "provisioning"
    [organization] = api.rows("select * from organizations")
    assert (organization.is_decoy, members(api)) == (False, [(stranger, "owner")])


def test_an_organization_that_was_planned_before_a_change_of_the_mode_is_founded_at_sign_in(
    database: Database,
) -> None:
    with shared_api(database, **AFTER_ACTIVATION) as after:
        ada = after.registered(organization=CLINIC)
    with shared_api(database) as off:
        activated = off.activate(ada).json
        assert ("organization" in activated, claim_in(activated), off.rows(PENDING_WORK)) == (False, None, [])
    with shared_api(database, **BEFORE_ACTIVATION) as before:
        assert claim_in(sign_in(before).json)["status"] == "provisioning"
        assert len(before.rows(PENDING_WORK)) == 1


@pytest.mark.parametrize("mode", [AFTER_ACTIVATION, BEFORE_ACTIVATION], ids=["after", "before"])
def test_the_founder_is_the_owner_from_the_activation_to_the_erasure(database: Database, mode: dict[str, str]) -> None:
    with shared_api(database, **mode) as api:
        ada = api.registered(organization=CLINIC)
        api.rows(PROVISIONED)
        assert members(api) == []
        assert api.activate(ada).status_code == 200
        api.rows(PROVISIONED)
        assert members(api) == [(ada, "owner")]
        account = Account(api, ada, signed_in(api))
        assert account.get("/v1/me/export").json["user"]["organizations"][0]["role"] == "owner"
        assert account.erase(password=PASSWORD).status_code == 202
        assert members(api) == []


@contextmanager
def limited(database: Database, mode: dict[str, str], **limits: str) -> Iterator[ApiUnderTest]:
    relaxed = {"RATE_LIMITS": "on", "TRUSTED_PROXIES": "1", "LIMIT_REGISTRATIONS_PER_NETWORK": "none"}
    with api_on(database, **relaxed, **mode, **limits) as api:
        yield api


def flood(api: ApiUnderTest, size: int, networks: int) -> list[int]:
    """Register that many founders from several networks, and return the status of each response."""
    bodies = [{"email": f"a{n}@example.org", "password": PASSWORD, "organization": CLINIC} for n in range(size)]
    return [
        api.client.post(
            "/v1/registrations", json=body, headers={"X-Forwarded-For": f"192.0.2.{n % networks}"}
        ).status_code
        for n, body in enumerate(bodies)
    ]


def test_a_flood_of_registrations_causes_no_provisioning_before_an_activation(database: Database) -> None:
    with limited(database, AFTER_ACTIVATION, LIMIT_ORGANIZATIONS_PER_NETWORK="none") as api:
        assert set(flood(api, 40, networks=2)) == {202}
        assert api.rows("select * from outbox_messages where channel = 'provision'") == []
        api.rows("delete from users")
        assert {row.status for row in api.rows("select status from organizations")} == {"failed"}
        assert api.rows("select signpost_prune_organizations(1, 100)")[0][0] == 0
        api.rows("update organizations set failed_at = now() - interval '3 days'")
        assert api.rows("select signpost_prune_organizations(1, 100)")[0][0] == 40


@pytest.mark.parametrize("limit", ["LIMIT_ORGANIZATIONS_PER_NETWORK", "LIMIT_ORGANIZATIONS_IN_TOTAL"])
def test_a_flood_before_the_activation_stays_within_each_limit(database: Database, limit: str) -> None:
    others = {"LIMIT_ORGANIZATIONS_PER_NETWORK": "none", "LIMIT_ORGANIZATIONS_IN_TOTAL": "none"}
    admitted = {"LIMIT_ORGANIZATIONS_PER_NETWORK": 8, "LIMIT_ORGANIZATIONS_IN_TOTAL": 4}
    with limited(database, BEFORE_ACTIVATION, **others | {limit: "4/day"}) as api:
        statuses = flood(api, 20, networks=2)
        assert (statuses.count(202), statuses.count(429)) == (admitted[limit], 20 - admitted[limit])
        assert len(api.rows(PENDING_WORK)) == admitted[limit]
        assert api.register(email="eve@example.org").status_code == 202


def test_readiness_and_check_settings_report_that_no_relay_provisions(database: Database) -> None:
    engine = create_database_engine(database.api_url, application_name="test", pool_size=1)
    try:
        with database.connect() as owner:
            owner.execute(A_RELAY, [["email"]])
            assert held_foundings(engine) == ["organizations: no relay provisions"]
            assert "no relay with PROVISION_DATABASE_URL" in str(provisioning_problem(owner))
            owner.execute(A_RELAY, [["email", "provision"]])
            assert (held_foundings(engine), provisioning_problem(owner)) == ([], None)
            owner.execute("update relays set seen_at = now() - interval '31 seconds'")
            assert held_foundings(engine) != []
    finally:
        engine.dispose()
