"""Members list each other; owners and admins change roles and remove members, and one owner always remains."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.accounts import Account, problem
from tests.support.api import PASSWORD, ApiUnderTest
from tests.support.invitations import OLD_SESSIONS, Team, team_of, user_of
from tests.support.organizations import AFTER_ACTIVATION

API_SETTINGS = AFTER_ACTIVATION
PEOPLE = {"owner": "ada@example.org", "admin": "bea@example.org", "member": "cyd@example.org"}


@pytest.fixture
def team(api: ApiUnderTest) -> Team:
    return team_of(api)


@pytest.fixture
def people(team: Team) -> dict[str, Account]:
    """A member of each role."""
    return {role: team.join(email, role) for role, email in PEOPLE.items()}


def test_members_list_each_other_and_only_owners_and_admins_see_addresses(
    api: ApiUnderTest, team: Team, people: dict[str, Account]
) -> None:
    for role, shown in (("owner", [*PEOPLE.values()]), ("admin", [*PEOPLE.values()]), ("member", [None] * 3)):
        members = people[role].get(f"/v1/organizations/{team.id}/members").json["members"]
        assert [(one["role"], one["email"]) for one in members] == list(zip(PEOPLE, shown, strict=True))
    stranger = user_of(api, "eve@example.org")
    assert problem(stranger.get(f"/v1/organizations/{team.id}/members")) == (403, "not_a_member")


ALLOWED, ROLE, LAST = "allowed", "role_required", "last_owner"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("owner", "admin", "member"), ALLOWED),
        (("owner", "member", "owner"), ALLOWED),
        (("owner", "owner", "admin"), LAST),
        (("owner", "owner", None), LAST),
        (("owner", "member", None), ALLOWED),
        (("admin", "member", "admin"), ALLOWED),
        (("admin", "admin", "member"), ALLOWED),
        (("admin", "member", None), ALLOWED),
        (("admin", "owner", "admin"), ROLE),
        (("admin", "owner", None), ROLE),
        (("admin", "admin", "owner"), ROLE),
        (("member", "member", "admin"), ROLE),
        (("member", "admin", None), ROLE),
        (("member", "member", None), ALLOWED),
    ],
)
def test_who_may_change_whom(
    team: Team, people: dict[str, Account], change: tuple[str, str, str | None], expected: str
) -> None:
    actor, member, role = change
    who, whom = people[actor], people[member]
    response = team.set_role(who, whom, role) if role else team.remove(who, whom)
    unchanged = {email: name for name, email in PEOPLE.items()}
    if expected == ALLOWED:
        assert response.status_code == 204
        changed = {PEOPLE[member]: role} if role else {}
        assert team.roles() == {email: name for email, name in unchanged.items() if email != PEOPLE[member]} | changed
    else:
        assert problem(response) == (409 if expected == LAST else 403, expected)
        assert team.roles() == unchanged


def test_ownership_is_handed_over_with_the_password_only(
    api: ApiUnderTest, team: Team, people: dict[str, Account]
) -> None:
    owner, admin = people["owner"], people["admin"]
    api.rows(OLD_SESSIONS)
    assert problem(team.set_role(owner, admin, "owner")) == (403, "fresh_sign_in_required")
    assert problem(team.set_role(owner, admin, "owner", password="not the right four words")) == (403, "wrong_password")
    assert team.set_role(owner, admin, "owner", password=PASSWORD).status_code == 204
    assert problem(team.remove(admin, owner)) == (403, "fresh_sign_in_required")
    assert team.set_role(owner, owner, "member", password=PASSWORD).status_code == 204
    assert team.roles() == {PEOPLE["owner"]: "member", PEOPLE["admin"]: "owner", PEOPLE["member"]: "member"}
    assert team.remove(admin, people["member"]).status_code == 204  # concerns no owner


def test_of_two_owners_who_remove_each_other_at_once_one_remains(team: Team) -> None:
    ada, bea = team.join("ada@example.org", "owner"), team.join("bea@example.org", "owner")
    with ThreadPoolExecutor(2) as pool:
        removals = [pool.submit(team.remove, *pair) for pair in ((ada, bea), (bea, ada))]
        statuses = sorted(removal.result().status_code for removal in removals)
    assert statuses == [204, 403]
    assert [*team.roles().values()] == ["owner"]


def test_the_only_owner_of_an_organization_with_members_is_not_erased(
    api: ApiUnderTest, team: Team, people: dict[str, Account]
) -> None:
    owner, admin, member = people.values()
    assert problem(owner.erase(password=PASSWORD)) == (409, "last_owner")
    assert owner.get("/v1/me").status_code == 200
    assert member.erase(password=PASSWORD).status_code == 202
    assert team.set_role(owner, admin, "owner", password=PASSWORD).status_code == 204
    assert owner.erase(password=PASSWORD).status_code == 202
    assert team.roles() == {PEOPLE["admin"]: "owner"}
    # The only member leaves no other member without an owner.
    assert admin.erase(password=PASSWORD).status_code == 202
    assert team.roles() == {}
    assert user_of(api, "eve@example.org").erase(password=PASSWORD).status_code == 202


def test_of_two_owners_who_are_erased_at_once_one_remains(team: Team) -> None:
    owners = [team.join("ada@example.org", "owner"), team.join("bea@example.org", "owner")]
    team.join("cyd@example.org", "member")
    with ThreadPoolExecutor(2) as pool:
        erasures = [pool.submit(owner.erase, password=PASSWORD) for owner in owners]
        statuses = sorted(erasure.result().status_code for erasure in erasures)
    assert statuses == [202, 409]
    assert sorted(team.roles().values()) == ["member", "owner"]


def test_a_removed_member_has_no_access_and_an_unknown_one_is_not_found(
    api: ApiUnderTest, team: Team, people: dict[str, Account]
) -> None:
    owner, member = people["owner"], people["member"]
    assert team.remove(owner, member).status_code == 204
    assert problem(team.remove(owner, member)) == (404, "not_found")
    assert problem(team.set_role(member, member, "admin")) == (403, "not_a_member")
    assert member.get("/v1/me").json["organizations"] == []
    assert problem(team.set_role(owner, user_of(api, "eve@example.org"), "member")) == (404, "not_found")
