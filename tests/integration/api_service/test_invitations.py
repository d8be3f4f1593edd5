"""Owners and admins invite addresses, and people accept with the code or the link of the mail."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from werkzeug.test import TestResponse

from operator_console.actions.requeue import requeue
from outbox_relay.model import Dead, Failure, FailureClass
from outbox_relay.rendering.branding import Brand, Branding
from shared.vocabulary import DeadReason
from tests.support.accounts import Account, problem, signed_in
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.invitations import (
    BEA,
    Team,
    accept,
    accept_by_link,
    code_of,
    link_of,
    register_invited,
    team_of,
    user_of,
)
from tests.support.keys import KEYS, PUBLIC_URL
from tests.support.maintenance import maintenance_on, turn
from tests.support.observed import observed, shape
from tests.support.operators import AUDIT, console_of
from tests.support.organizations import AFTER_ACTIVATION, BEFORE_ACTIVATION, CLINIC
from tests.support.outbox import Outbox
from tests.support.rendering import SENDER, shared_renderer

API_SETTINGS = AFTER_ACTIVATION
ADA = "ada@example.org"
NO_CODE = (400, "invalid_or_expired")

Accept = Callable[[Account, UUID], TestResponse]


@pytest.fixture
def team(api: ApiUnderTest) -> Team:
    return team_of(api)


@pytest.fixture
def ada(team: Team) -> Account:
    """The owner."""
    return team.join(ADA, "owner")


def messages(api: ApiUnderTest) -> list[Any]:
    return api.rows("select * from outbox_messages where template = 'invitation' order by id")


def no_longer_open(api: ApiUnderTest, who: Account, invitation_id: UUID) -> bool:
    """Return whether neither code nor link nor page accepts the invitation, and its message is not sent."""
    return (
        problem(accept(who, invitation_id)) == problem(accept_by_link(who, invitation_id)) == NO_CODE
        and api.client.post("/invitation", data={"token": link_of(invitation_id)}).status_code == 400
        and {(one.status, one.dead_reason) for one in messages(api)} <= {("dead", "superseded"), ("dead", "discarded")}
    )


def test_the_mail_is_enqueued_with_the_invitation_and_contains_its_code_and_link(
    api: ApiUnderTest, team: Team, ada: Account, outbox: Outbox
) -> None:
    response = team.invite(ada, role="admin", locale="fr")
    assert response.status_code == 202
    invitation_id = UUID(response.json["id"])
    [message] = [one for one in outbox.claim(10) if one.template == "invitation"]
    assert (message.recipient, message.locale) == (BEA, "fr")
    renderer = shared_renderer(KEYS, PUBLIC_URL, SENDER, branding=Branding(Brand("Signpost")))
    content = renderer.render(message).replace(b"=\r\n", b"").decode()
    assert all(text in content for text in ("Clinic", code_of(invitation_id), link_of(invitation_id)))
    assert code_of(invitation_id) not in str(api.rows("select * from tokens")) + response.text
    assert team.open_invitations(ada) == [(BEA, "admin")]


@pytest.mark.parametrize("how", [accept, accept_by_link])
def test_a_user_who_has_proven_the_invited_address_joins(
    api: ApiUnderTest, team: Team, ada: Account, how: Accept
) -> None:
    bea = user_of(api, "Bea@example.org")
    invitation_id = team.invited(ada, BEA, "admin")
    response = how(bea, invitation_id)
    expected = {"id": str(team.id), "name": "Clinic", "role": "admin", "status": "ready"}
    assert (response.status_code, response.json) == (200, expected)
    assert bea.get("/v1/me").json["organizations"] == [expected]
    assert team.open_invitations(ada) == []
    assert problem(how(bea, invitation_id)) == NO_CODE


@pytest.mark.parametrize("form", ["code", "token"])
def test_a_new_user_registers_with_the_invitation_alone(api: ApiUnderTest, team: Team, ada: Account, form: str) -> None:
    abandoned = api.registered(email=BEA)
    invitation_id = team.invited(ada)
    code = {"email": BEA, "code": code_of(invitation_id)}
    proof = code if form == "code" else {"token": link_of(invitation_id)}
    body = {**proof, "password": PASSWORD, "full_name": "Bea", "locale": "fr"}
    response = api.client.post("/v1/invitations/register", json=body)
    assert response.status_code == 200, response.text
    claims = jwt.decode(response.json["access_token"], options={"verify_signature": False})
    assert claims["organization"] == {"id": str(team.id), "role": "member", "status": "ready"}
    assert claims["email_verified"]
    assert team.roles() == {ADA: "owner", BEA: "member"}
    assert signed_in(api, BEA)
    assert api.user(abandoned).status == "retired"
    assert [message.template for message in api.messages(UUID(claims["sub"]))] == ["welcome"]


def test_an_address_with_an_account_signs_in_instead_of_registering(
    api: ApiUnderTest, team: Team, ada: Account
) -> None:
    bea = user_of(api, BEA)
    invitation_id = team.invited(ada)
    assert problem(register_invited(api, invitation_id)) == (409, "address_taken")
    assert accept(bea, invitation_id).status_code == 200


def test_the_password_must_not_be_the_invited_address(api: ApiUnderTest, team: Team, ada: Account) -> None:
    invitation_id = team.invited(ada)
    body = {"token": link_of(invitation_id), "password": BEA}
    response = api.client.post("/v1/invitations/register", json=body)
    assert response.json["errors"][0] | {"message": ""} == {
        "pointer": "#/password",
        "code": "is_the_address",
        "message": "",
    }
    assert register_invited(api, invitation_id).status_code == 200


def test_others_cannot_accept(api: ApiUnderTest, team: Team, ada: Account) -> None:
    eve = user_of(api, "eve@example.org")
    api.rows("update users set phone = '+447400123456' where id = %s", eve.id)
    invitation_id = team.invited(ada)
    assert problem(accept(eve, invitation_id)) == NO_CODE
    assert problem(accept_by_link(eve, invitation_id)) == (403, "not_invited")
    assert problem(register_invited(api, invitation_id, "eve@example.org")) == NO_CODE
    assert team.roles() == {ADA: "owner"}


def test_a_code_is_tried_five_times_and_its_link_works_on(api: ApiUnderTest, team: Team, ada: Account) -> None:
    bea = user_of(api, BEA)
    invitation_id = team.invited(ada)
    for _ in range(5):
        assert problem(bea.post("/v1/invitations/accept", code=WRONG_CODE)) == NO_CODE
    assert problem(accept(bea, invitation_id)) == NO_CODE
    assert accept_by_link(bea, invitation_id).status_code == 200


def test_a_user_with_several_invitations_accepts_the_one_of_the_code(
    api: ApiUnderTest, team: Team, ada: Account
) -> None:
    bea, other = user_of(api, BEA), team_of(api, "Hospital")
    team.invited(ada)
    invitation_id = other.invited(other.join("cyd@example.org", "admin"))
    assert accept(bea, invitation_id).json["name"] == "Hospital"
    assert team.roles() == {ADA: "owner"}


def test_an_invitation_does_not_change_the_role_of_a_member(team: Team, ada: Account) -> None:
    bea = team.join(BEA, "admin")
    assert accept(bea, team.invited(ada, BEA, "member")).json["role"] == "admin"
    assert team.roles()[BEA] == "admin"


def test_a_repeated_invitation_replaces_the_earlier_one(api: ApiUnderTest, team: Team, ada: Account) -> None:
    bea = user_of(api, BEA)
    first = team.invited(ada)
    second = team.invited(ada, "BEA@example.org", "admin")
    assert problem(accept_by_link(bea, first)) == NO_CODE
    assert [message.status for message in messages(api)] == ["dead", "pending"]
    assert team.open_invitations(ada) == [("BEA@example.org", "admin")]
    assert accept(bea, second).json["role"] == "admin"


def ended_by_expiry(team: Team, _ada: Account, invitation_id: UUID) -> None:
    team.api.rows("update tokens set expires_at = now() where id = %s", invitation_id)
    team.api.rows("select signpost_supersede(user_id, token_id) from outbox_messages where template = 'invitation'")


def ended_by_revoking(team: Team, ada: Account, invitation_id: UUID) -> None:
    assert team.revoke(ada, invitation_id).status_code == 204
    assert problem(team.revoke(ada, invitation_id)) == (404, "not_found")


def ended_by_declining(team: Team, _ada: Account, invitation_id: UUID) -> None:
    page = team.api.client.post("/invitation/decline", data={"token": link_of(invitation_id)})
    assert page.status_code == 200


def ended_by_removing_the_organization(team: Team, _ada: Account, _invitation_id: UUID) -> None:
    team.api.rows("select signpost_remove_organization(%s, false)", team.id)


def ended_by_pruning_the_organization(team: Team, _ada: Account, _invitation_id: UUID) -> None:
    ended_by_removing_the_organization(team, _ada, _invitation_id)
    team.api.rows("delete from organizations where id = %s", team.id)


def ended_by_leaving(team: Team, ada: Account, _invitation_id: UUID) -> None:
    assert team.set_role(ada, team.join("cyd@example.org", "member"), "owner", password=PASSWORD).status_code == 204
    assert team.remove(ada, ada, password=PASSWORD).status_code == 204


def ended_by_demotion(team: Team, ada: Account, _invitation_id: UUID) -> None:
    cyd = team.join("cyd@example.org", "owner")
    assert team.set_role(cyd, ada, "member", password=PASSWORD).status_code == 204


def ended_by_erasing_the_inviter(_team: Team, ada: Account, _invitation_id: UUID) -> None:
    assert ada.erase(password=PASSWORD).status_code == 202


@pytest.mark.parametrize(
    "end",
    [
        ended_by_expiry,
        ended_by_revoking,
        ended_by_declining,
        ended_by_removing_the_organization,
        ended_by_pruning_the_organization,
        ended_by_leaving,
        ended_by_demotion,
        ended_by_erasing_the_inviter,
    ],
)
def test_an_ended_invitation_does_not_work(
    api: ApiUnderTest, team: Team, ada: Account, end: Callable[[Team, Account, UUID], None]
) -> None:
    bea = user_of(api, BEA)
    invitation_id = team.invited(ada)
    end(team, ada, invitation_id)
    assert no_longer_open(api, bea, invitation_id)
    assert BEA not in team.roles()


def test_an_owner_who_becomes_admin_keeps_the_invitations(api: ApiUnderTest, team: Team, ada: Account) -> None:
    bea, cyd = user_of(api, BEA), team.join("cyd@example.org", "owner")
    invitation_id = team.invited(ada)
    assert team.set_role(cyd, ada, "admin", password=PASSWORD).status_code == 204
    assert accept(bea, invitation_id).status_code == 200


def test_only_owners_and_admins_of_the_organization_invite_list_and_revoke(api: ApiUnderTest, team: Team) -> None:
    ada, cyd = team.join(ADA, "admin"), team.join("cyd@example.org", "member")
    eve = team_of(api, "Others").join("eve@example.org", "owner")
    invitation_id = team.invited(ada)
    for who, expected in ((cyd, (403, "role_required")), (eve, (403, "not_a_member"))):
        listed = who.get(f"/v1/organizations/{team.id}/invitations")
        for response in (team.invite(who), team.revoke(who, invitation_id), listed):
            assert problem(response) == expected
    unknown = Team(api, uuid4())
    assert problem(unknown.invite(ada)) == (403, "not_a_member")
    others = Team(api, UUID(eve.get("/v1/me").json["organizations"][0]["id"]))
    assert problem(others.revoke(eve, invitation_id)) == (404, "not_found")
    assert len(messages(api)) == 1


def test_nobody_is_invited_to_an_organization_that_failed(api: ApiUnderTest, team: Team, ada: Account) -> None:
    team.fail()
    assert problem(team.invite(ada)) == (409, "organization_failed")
    assert messages(api) == []


def test_an_invitation_cannot_give_the_ownership(team: Team, ada: Account) -> None:
    response = team.invite(ada, role="owner")
    assert (response.status_code, response.json["errors"][0]["code"]) == (422, "invalid_choice")


def test_of_two_acceptances_at_once_one_wins(api: ApiUnderTest, team: Team, ada: Account) -> None:
    user_of(api, BEA)
    invitation_id = team.invited(ada)
    sessions = [Account(api, ada.id, signed_in(api, BEA)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        responses = list(pool.map(lambda who: accept_by_link(who, invitation_id), sessions))
    assert sorted(response.status_code for response in responses) == [200, 400]
    assert team.roles()[BEA] == "member"


def test_of_two_registrations_at_once_one_wins(api: ApiUnderTest, team: Team, ada: Account) -> None:
    invitation_id = team.invited(ada)
    body = {"token": link_of(invitation_id), "password": PASSWORD}
    with ThreadPoolExecutor(2) as pool:
        clients = [api.app.test_client() for _ in range(2)]
        posts = pool.map(lambda client: client.post("/v1/invitations/register", json=body), clients)
        statuses = sorted(response.status_code for response in posts)
    assert statuses[0] == 200
    assert statuses[1] in (400, 409)
    assert len(api.rows("select * from users where email = %s", BEA)) == 1


def test_two_invitations_of_an_address_at_once_leave_one(team: Team, ada: Account) -> None:
    cyd = team.join("cyd@example.org", "admin")
    with ThreadPoolExecutor(2) as pool:
        assert {response.status_code for response in pool.map(team.invite, [ada, cyd])} == {202}
    assert team.open_invitations(ada) == [(BEA, "member")]


def test_the_page_adds_the_account_that_has_the_address(api: ApiUnderTest, team: Team, ada: Account) -> None:
    user_of(api, BEA)
    link = {"token": link_of(team.invited(ada))}
    assert api.client.get("/invitation", query_string=link).status_code == 200
    assert BEA not in team.roles()
    assert api.client.post("/invitation", data=link).status_code == 200
    assert team.roles()[BEA] == "member"


def test_the_page_asks_a_new_user_for_a_good_password(api: ApiUnderTest, team: Team, ada: Account) -> None:
    link = {"token": link_of(team.invited(ada))}
    for refused in ({}, {"password": "short"}, {"password": BEA}):
        assert api.client.post("/invitation", data=link | refused).status_code == 403
    assert api.client.post("/invitation", data=link | {"password": PASSWORD}).status_code == 200
    assert team.roles()[BEA] == "member"
    assert signed_in(api, BEA)


def test_a_link_for_one_page_does_not_work_on_another(api: ApiUnderTest, team: Team, ada: Account) -> None:
    invitation_id = team.invited(ada)
    assert problem(api.activate_by_link(link_of(invitation_id))) == NO_CODE
    assert problem(register_invited(api, uuid4())) == NO_CODE


def test_the_export_has_sent_and_received_invitations_and_erasing_removes_them(
    api: ApiUnderTest, team: Team, ada: Account
) -> None:
    bea = user_of(api, BEA)
    team.invited(ada, BEA)
    team.invited(ada, "cyd@example.org")
    exported = [who.get("/v1/me/export").json["invitations"] for who in (ada, bea)]
    assert [[one["email"] for one in found] for found in exported] == [[BEA, "cyd@example.org"], [BEA]]
    assert bea.erase(password=PASSWORD).status_code == 202
    assert team.open_invitations(ada) == [("cyd@example.org", "member")]
    everything = "\n".join(str(api.rows(f"select * from {name}")) for name in ("tokens", "outbox_messages"))
    assert BEA not in everything
    assert ada.erase(password=PASSWORD).status_code == 202
    assert api.rows("select * from organization_invitations") == []


def test_invitations_are_pruned_a_day_after_their_end(
    api: ApiUnderTest, team: Team, ada: Account, outbox: Outbox
) -> None:
    team.invited(ada)
    maintenance = maintenance_on(outbox)
    for age, left in (("23 hours", 1), ("25 hours", 0)):
        api.rows(f"update tokens set expires_at = now() - interval '{age}' where purpose = 'invitation'")
        turn(maintenance)
        assert len(team.open_invitations(ada)) == left


@pytest.fixture(params=["invitations_per_user", "invitations_per_organization", "invitations_per_address"])
def limited(database: Database, request: pytest.FixtureRequest) -> Iterator[tuple[ApiUnderTest, str]]:
    settings = {
        "RATE_LIMITS": "on",
        f"LIMIT_{request.param.upper()}": "2/day",
        "LIMIT_REGISTRATIONS_PER_NETWORK": "none",
    }
    with shared_api(database, **settings, **AFTER_ACTIVATION) as api:
        yield api, request.param


def test_invitations_are_limited_per_inviter_organization_and_address(limited: tuple[ApiUnderTest, str]) -> None:
    api, limit = limited
    team, other = team_of(api), team_of(api, "Others")
    ada, cyd = team.join(ADA, "owner"), team.join("cyd@example.org", "admin")
    dan = other.join("dan@example.org", "owner")
    stranger = Account(api, dan.id, signed_in(api, "dan@example.org"))
    for _ in range(3):  # a stranger uses up no limit of the organization
        assert problem(team.invite(stranger)) == (403, "not_a_member")
    inviters = {"invitations_per_user": [ada] * 3, "invitations_per_organization": [ada, cyd, cyd]}
    addresses = ["a@example.org", "b@example.org", "c@example.org"]
    if limit == "invitations_per_address":
        responses = [team.invite(ada), other.invite(dan), other.invite(dan)]
    else:
        responses = [team.invite(who, email) for who, email in zip(inviters[limit], addresses, strict=True)]
    assert [response.status_code for response in responses] == [202, 202, 429]
    assert responses[-1].json["limits"] == [limit]


def test_without_organizations_each_route_refuses_with_one_code(database: Database) -> None:
    with shared_api(database) as off:
        ada = user_of(off, ADA)
        team = team_of(off)
        refused = [
            team.invite(ada),
            team.revoke(ada, uuid4()),
            team.remove(ada, ada),
            team.set_role(ada, ada, "member"),
            ada.get(f"/v1/organizations/{team.id}/members"),
            ada.post("/v1/invitations/accept", code="123456"),
            register_invited(off, uuid4()),
        ]
        assert {problem(response) for response in refused} == {(404, "no_organizations")}
        assert "invitations" not in ada.get("/v1/me/export").json


def test_the_owner_of_a_decoy_can_invite_nobody(database: Database) -> None:
    with shared_api(database, **BEFORE_ACTIVATION) as api:
        bea = user_of(api, BEA)
        api.registered(email=BEA, organization=CLINIC)
        [organization] = api.rows("select id from organizations")
        assert problem(Team(api, organization.id).invite(bea)) == (403, "not_a_member")


@pytest.mark.parametrize("ask", ["invite", "list", "wrong code", "revoke"])
def test_responses_and_their_statements_are_the_same_with_and_without_an_account(
    api: ApiUnderTest, team: Team, ada: Account, ask: str
) -> None:
    user_of(api, "known@example.org")
    team.invite(ada, "other@example.org")  # prepares statements
    seen = []
    for email in ("known@example.org", "never@example.org"):
        asks: dict[str, Callable[[], TestResponse]] = {"invite": partial(team.invite, ada, email)}
        if ask != "invite":
            invitation_id = team.invited(ada, email)
            asks["list"] = partial(ada.get, f"/v1/organizations/{team.id}/invitations")
            asks["revoke"] = partial(team.revoke, ada, invitation_id)
            asks["wrong code"] = partial(register_invited, api, invitation_id, email, code=WRONG_CODE)
        response, work = observed(api, asks[ask])
        document = response.json if ask == "invite" else None
        seen.append((response.status_code, [*response.headers.keys()], shape(document), work))
        team.api.rows(
            "delete from organization_invitations where id in (select id from tokens where new_address = %s)", email
        )
    assert seen[0] == seen[1]
    assert seen[0][3].statements


REMOVE = "select signpost_remove_organization(%s, false)"


def test_an_acceptance_during_the_removal_of_the_organization_fails(
    api: ApiUnderTest, team: Team, ada: Account
) -> None:
    bea = user_of(api, BEA)
    invitation_id = team.invited(ada)
    with ThreadPoolExecutor(1) as pool, api.database.connect() as remover:
        with remover.transaction():
            remover.execute(REMOVE, [team.id])
            acceptance = pool.submit(accept_by_link, bea, invitation_id)
            eventually(lambda: api.count_waiting() == 1)
        assert problem(acceptance.result()) == NO_CODE
    assert team.roles() == {}


def test_a_member_who_joins_during_the_removal_is_removed_too(api: ApiUnderTest, team: Team, ada: Account) -> None:
    bea = user_of(api, BEA)
    invitation_id = team.invited(ada)
    with ThreadPoolExecutor(1) as pool, api.database.connect() as joiner:
        with joiner.transaction():
            joiner.execute("select signpost_accept_invitation(%s, %s)", [invitation_id, bea.id])
            removal = pool.submit(api.rows, REMOVE, team.id)
            eventually(lambda: api.count_waiting() == 1)
        removal.result()
    assert team.roles() == {}


def test_a_requeued_invitation_is_sent_with_the_code_that_it_had(
    api: ApiUnderTest, team: Team, ada: Account, outbox: Outbox
) -> None:
    invitation_id = team.invited(ada)
    [message] = [one for one in outbox.claim(10) if one.template == "invitation"]
    outbox.settle([(message, Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 no")))])
    with console_of(api.database) as sessions, sessions.begin() as session:
        requeue(session, message.id, AUDIT)
    [again] = outbox.claim(10)
    assert (again.id, again.token_id) == (message.id, invitation_id)
    assert accept(user_of(api, BEA), invitation_id).status_code == 200
