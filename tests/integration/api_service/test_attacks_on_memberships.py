"""Attacks on invitations and members: at once, by outsiders, and by people who are erased meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from operator_console.actions.requeue import requeue
from outbox_relay.model import Dead, Failure, FailureClass
from shared.vocabulary import DeadReason
from tests.support.accounts import Account, problem, signed_in
from tests.support.api import PASSWORD, WRONG_CODE, ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.invitations import (
    BEA,
    OLD_SESSIONS,
    Team,
    accept,
    accept_by_link,
    link_of,
    register_invited,
    team_of,
    user_of,
)
from tests.support.operators import AUDIT, console_of
from tests.support.organizations import AFTER_ACTIVATION, CLINIC, DONE, claim_work, settle_work
from tests.support.outbox import Outbox

API_SETTINGS = AFTER_ACTIVATION
ADA, CYD, DAN, EVE = (f"{name}@example.org" for name in ("ada", "cyd", "dan", "eve"))
NO_CODE = (400, "invalid_or_expired")


@pytest.fixture
def team(api: ApiUnderTest) -> Team:
    return team_of(api)


@contextmanager
def held_erasure(
    api: ApiUnderTest, who: Account, email: str, pool: ThreadPoolExecutor
) -> Iterator[Future[TestResponse]]:
    """Start an erasure, which waits after its check: another session locks a registration of the address."""
    abandoned = api.registered(email=email)
    with api.database.connect() as elsewhere, elsewhere.transaction():
        elsewhere.execute("select from users where id = %s for update", [abandoned])
        erasure = pool.submit(who.erase, password=PASSWORD)
        eventually(lambda: api.count_waiting() == 1)
        yield erasure


def has_owner_if_any_member(team: Team) -> bool:
    roles = team.roles()
    return not roles or "owner" in roles.values()


def test_who_joins_while_the_only_member_is_erased_is_not_left_without_an_owner(api: ApiUnderTest, team: Team) -> None:
    ada, bea = team.join(ADA, "owner"), user_of(api, BEA)
    invitation_id = team.invited(ada)
    with ThreadPoolExecutor(2) as pool:
        with held_erasure(api, ada, ADA, pool) as erasure:
            joining = pool.submit(accept_by_link, bea, invitation_id)
            eventually(lambda: joining.done() or api.count_waiting() == 2)
        responses = erasure.result(60), joining.result(60)
    assert has_owner_if_any_member(team), (responses[0].status_code, responses[1].status_code, team.roles())


@pytest.mark.parametrize("then", ["leaves", "steps down"])
def test_who_becomes_owner_during_the_own_erasure_does_not_leave_the_others_without_one(
    api: ApiUnderTest, team: Team, then: str
) -> None:
    ada, bea, _ = (team.join(email, role) for email, role in ((ADA, "owner"), (BEA, "member"), (CYD, "member")))

    def hand_over() -> list[int]:
        first = team.set_role(ada, bea, "owner", password=PASSWORD)
        second = (
            team.remove(ada, ada, password=PASSWORD)
            if then == "leaves"
            else team.set_role(ada, ada, "member", password=PASSWORD)
        )
        return [first.status_code, second.status_code]

    with ThreadPoolExecutor(2) as pool:
        with held_erasure(api, bea, BEA, pool) as erasure:
            handing_over = pool.submit(hand_over)
            eventually(lambda: handing_over.done() or api.count_waiting() == 2)
        statuses = erasure.result(60).status_code, handing_over.result(60)
    assert has_owner_if_any_member(team), (statuses, team.roles())


@pytest.mark.parametrize("limit", ["organization", "address"])
def test_what_the_limit_of_a_user_refuses_counts_against_nobody_else(database: Database, limit: str) -> None:
    limits = {
        "RATE_LIMITS": "on",
        "LIMIT_INVITATIONS_PER_USER": "1/day",
        f"LIMIT_INVITATIONS_PER_{limit.upper()}": "2/day",
        "LIMIT_REGISTRATIONS_PER_NETWORK": "none",
    }
    with shared_api(database, **limits, **AFTER_ACTIVATION) as api:
        team, others = team_of(api), team_of(api, "Others")
        ada, cyd = team.join(ADA, "owner"), team.join(CYD, "admin")
        eve = others.join(EVE, "owner")
        where, who = (team, cyd) if limit == "organization" else (others, eve)
        assert where.invite(who, "somebody@example.org").status_code == 202
        for _ in range(3):  # beyond the limit of the user, to the organization or to the address
            assert "invitations_per_user" in where.invite(who, BEA).json["limits"]
        response = team.invite(ada, BEA if limit == "address" else DAN)
        assert response.status_code == 202, response.json["limits"]


def test_a_stranger_does_not_learn_who_owns_an_organization(api: ApiUnderTest, team: Team) -> None:
    ada, bea, eve = team.join(ADA, "owner"), team.join(BEA, "member"), user_of(api, EVE)
    api.rows(OLD_SESSIONS)
    seen = [
        problem(Team(api, where).remove(eve, whom)) for where, whom in ((team.id, ada), (team.id, bea), (uuid4(), ada))
    ]
    assert seen == [(403, "not_a_member")] * 3


def expired(api: ApiUnderTest, team: Team, ada: Account) -> UUID:
    invitation_id = team.invited(ada)
    api.rows("update tokens set expires_at = now() where id = %s", invitation_id)
    return invitation_id


def test_an_expired_link_asks_for_no_password(api: ApiUnderTest, team: Team) -> None:
    invitation_id = expired(api, team, team.join(ADA, "owner"))
    assert api.client.post("/invitation", data={"token": link_of(invitation_id)}).status_code == 400


def test_an_expired_link_is_invalid_whoever_uses_it(api: ApiUnderTest, team: Team) -> None:
    ada = team.join(ADA, "owner")
    eve = user_of(api, EVE)
    user_of(api, BEA)
    invitation_id = expired(api, team, ada)
    body = {"token": link_of(invitation_id), "password": PASSWORD}
    assert problem(api.client.post("/v1/invitations/register", json=body)) == NO_CODE
    assert problem(accept_by_link(eve, invitation_id)) == NO_CODE


def test_the_form_sent_twice_shows_a_page(api: ApiUnderTest, team: Team) -> None:
    invitation_id = team.invited(team.join(ADA, "owner"))
    form = {"token": link_of(invitation_id), "password": PASSWORD}

    def post() -> TestResponse:
        return api.app.test_client().post("/invitation", data=form)

    with ThreadPoolExecutor(2) as pool:
        with api.database.connect() as elsewhere, elsewhere.transaction():
            elsewhere.execute("select from organization_invitations where id = %s for update", [invitation_id])
            posts = [pool.submit(post)]
            eventually(lambda: api.count_waiting() == 1)
            posts.append(pool.submit(post))
            eventually(lambda: api.count_waiting() == 2)
        responses = [each.result(60) for each in posts]
    assert {response.mimetype for response in responses} == {"text/html"}, [r.text for r in responses]


WORK = "select * from outbox_messages where channel = 'provision' and status = 'pending'"


def founded(api: ApiUnderTest) -> tuple[Team, Account]:
    ada = api.registered(email=ADA, organization=CLINIC)
    assert api.activate(ada).json["organization"]["status"] == "provisioning"
    [organization] = api.rows("select id from organizations")
    return Team(api, organization.id), Account(api, ada, signed_in(api, ADA))


def hand_over_to_bea(api: ApiUnderTest, team: Team, ada: Account) -> Account:
    bea = user_of(api, BEA)
    assert accept(bea, team.invited(ada)).status_code == 200
    assert team.set_role(ada, bea, "owner", password=PASSWORD).status_code == 204
    return bea


def test_an_organization_is_provisioned_after_its_founder_handed_it_over_and_was_erased(api: ApiUnderTest) -> None:
    team, ada = founded(api)
    hand_over_to_bea(api, team, ada)
    assert ada.erase(password=PASSWORD).status_code == 202
    signed_in(api, BEA)
    assert [work.payload["organization_id"] for work in api.rows(WORK)] == [str(team.id)]


def test_a_provisioning_that_ends_after_the_erasure_of_the_founder_counts(api: ApiUnderTest, outbox: Outbox) -> None:
    team, ada = founded(api)
    bea = hand_over_to_bea(api, team, ada)
    work = claim_work(outbox)
    assert ada.erase(password=PASSWORD).status_code == 202
    settle_work(outbox, work, DONE)
    assert bea.get("/v1/me").json["organizations"][0]["status"] == "ready"


def test_a_removed_member_does_not_return_by_an_older_invitation(team: Team) -> None:
    ada, bea = team.join(ADA, "owner"), team.join(BEA, "member")
    invitation_id = team.invited(ada, BEA, "admin")
    assert team.remove(ada, bea).status_code == 204
    assert problem(accept(bea, invitation_id)) == NO_CODE


def test_a_revoked_invitation_is_not_sent_after_a_requeue(api: ApiUnderTest, team: Team, outbox: Outbox) -> None:
    ada = team.join(ADA, "owner")
    invitation_id = team.invited(ada)
    [message] = [one for one in outbox.claim(10) if one.template == "invitation"]
    outbox.settle([(message, Dead(DeadReason.REJECTED, Failure(FailureClass.RECIPIENT, "smtp:mx:25", "550 no")))])
    assert team.revoke(ada, invitation_id).status_code == 204
    with console_of(api.database) as sessions, sessions.begin() as session:
        requeue(session, message.id, AUDIT)
    row = outbox.row(message.id)
    [now] = api.rows("select now()")
    assert row.status != "pending" or row.expires_at <= now.now


def test_an_invitation_that_is_refused_counts_against_no_address(database: Database) -> None:
    limits = {
        "RATE_LIMITS": "on",
        "LIMIT_INVITATIONS_PER_ADDRESS": "2/day",
        "LIMIT_REGISTRATIONS_PER_NETWORK": "none",
    }
    with shared_api(database, **limits, **AFTER_ACTIVATION) as api:
        team, failed = team_of(api), team_of(api, "Failed")
        ada, eve = team.join(ADA, "owner"), failed.join(EVE, "owner")
        failed.fail()
        assert {problem(failed.invite(eve)) for _ in range(2)} == {(409, "organization_failed")}
        assert team.invite(ada).status_code == 202


Step = Callable[[Team, Account, Account], TestResponse]
STEPS: dict[str, Step] = {
    "erased": lambda _team, me, _other: me.erase(password=PASSWORD),
    "leaves": lambda team, me, _other: team.remove(me, me, password=PASSWORD),
    "steps down": lambda team, me, _other: team.set_role(me, me, "member", password=PASSWORD),
    "removes": lambda team, me, other: team.remove(me, other, password=PASSWORD),
    "demotes": lambda team, me, other: team.set_role(me, other, "admin", password=PASSWORD),
}


@pytest.mark.parametrize(("one", "two"), list(product(STEPS, repeat=2)))
def test_two_owners_at_once(team: Team, one: str, two: str) -> None:
    ada, bea = team.join(ADA, "owner"), team.join(BEA, "owner")
    team.join(CYD, "member")
    with ThreadPoolExecutor(2) as pool:
        steps = [pool.submit(STEPS[one], team, ada, bea), pool.submit(STEPS[two], team, bea, ada)]
        statuses = [step.result(60).status_code for step in steps]
    assert max(statuses) < 500, statuses
    assert has_owner_if_any_member(team), (statuses, team.roles())


@pytest.mark.parametrize("round_", range(6))
def test_many_at_once(api: ApiUnderTest, team: Team, round_: int) -> None:
    ada, bea, cyd = team.join(ADA, "owner"), team.join(BEA, "owner"), team.join(CYD, "admin")
    dan, eve = user_of(api, DAN), user_of(api, EVE)
    by_ada, by_cyd = team.invited(ada, DAN), team.invited(cyd, EVE, "admin")
    asks: list[Callable[[], TestResponse]] = [
        lambda: accept_by_link(dan, by_ada),
        lambda: accept(eve, by_cyd),
        lambda: team.revoke(bea, by_cyd),
        lambda: ada.erase(password=PASSWORD),
        lambda: bea.erase(password=PASSWORD),
        lambda: team.set_role(bea, cyd, "member"),
        lambda: dan.erase(password=PASSWORD),
        lambda: team.invite(ada, EVE),
        lambda: api.app.test_client().post("/invitation/decline", data={"token": link_of(by_ada)}),
    ]
    asks = asks[round_:] + asks[:round_]
    with ThreadPoolExecutor(len(asks)) as pool:
        statuses = [each.result(60).status_code for each in [pool.submit(ask) for ask in asks]]
    assert max(statuses) < 500, statuses
    assert has_owner_if_any_member(team), (statuses, team.roles())
    inviters = api.rows("select invited_by from organization_invitations")
    may = {row.user_id for row in api.rows("select user_id from organization_members where role <> 'member'")}
    assert {row.invited_by for row in inviters} <= may, statuses


def test_the_registration_of_a_founder_who_left_shows_no_ownership(api: ApiUnderTest) -> None:
    team, ada = founded(api)
    hand_over_to_bea(api, team, ada)
    assert team.remove(ada, ada, password=PASSWORD).status_code == 204
    assert ada.get("/v1/me").json["organizations"] == []
    shown = api.look_up(ada.id).json.get("organization")
    assert shown is None or shown["role"] != "owner"


def test_a_failed_organization_with_members_is_not_pruned_because_its_founder_is_gone(api: ApiUnderTest) -> None:
    team, ada = founded(api)
    hand_over_to_bea(api, team, ada)
    api.rows(
        "update outbox_messages set status = 'dead', dead_reason = 'exhausted', settled_at = now()"
        " where channel = 'provision'"
    )
    api.rows("update organizations set status = 'failed', failed_at = now() - interval '40 days'")
    assert ada.erase(password=PASSWORD).status_code == 202
    api.rows("select signpost_prune_organizations(30, 100)")
    assert team.roles() == {BEA: "owner"}


def test_a_try_survives_the_erasure(api: ApiUnderTest) -> None:
    bea = user_of(api, BEA)
    for number in range(2):
        team = team_of(api, f"Clinic {number}")
        team.invited(team.join(f"ada{number}@example.org", "owner"))
    rows = api.rows("select id from tokens where purpose = 'invitation' order by created_at")
    last, first = UUID(int=2**128 - 1), UUID(int=1)
    with api.database.connect() as owner, owner.transaction():
        owner.execute("set local session_replication_role = replica")
        for row, new in zip(rows, (last, first), strict=True):
            owner.execute("update tokens set id = %s where id = %s", [new, row.id])
            owner.execute("update organization_invitations set id = %s where id = %s", [new, row.id])
    with ThreadPoolExecutor(2) as pool, api.database.connect() as elsewhere:
        with elsewhere.transaction():
            elsewhere.execute("select from tokens where id = %s for update", [last])
            erasure = pool.submit(bea.erase, password=PASSWORD)
            eventually(lambda: api.count_waiting() == 1)
            trying = pool.submit(register_invited, api, last, BEA, code=WRONG_CODE)
            eventually(lambda: api.count_waiting() == 2)
        statuses = erasure.result(60).status_code, trying.result(60).status_code
    assert statuses == (202, 400)
