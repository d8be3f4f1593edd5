"""Organizations with members and invitations, for tests."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from werkzeug.test import TestResponse

from shared.ids import uuid7
from shared.secrets import LinkUse, code_for, link_token_for
from tests.support.accounts import Account, signed_in
from tests.support.api import PASSWORD, ApiUnderTest
from tests.support.keys import KEY

BEA = "bea@example.org"
OLD_SESSIONS = "update sessions set created_at = created_at - interval '11 minutes'"
"""No session is fresh any more."""


@dataclass(frozen=True)
class Team:
    """An organization, and requests about it."""

    api: ApiUnderTest
    id: UUID

    def join(self, email: str, role: str) -> Account:
        """Return a new, signed-in user with that role."""
        user = user_of(self.api, email)
        self.api.rows(
            "insert into organization_members (organization_id, user_id, role) values (%s, %s, %s)",
            *(self.id, user.id, role),
        )
        return user

    def invite(self, who: Account, email: str = BEA, role: str = "member", **more: Any) -> TestResponse:
        return who.post(f"/v1/organizations/{self.id}/invitations", email=email, role=role, **more)

    def invited(self, who: Account, email: str = BEA, role: str = "member") -> UUID:
        """Invite, and return the id of the invitation."""
        response = self.invite(who, email, role)
        assert response.status_code == 202, response.text
        return UUID(response.json["id"])

    def set_role(self, who: Account, member: Account, role: str, **more: Any) -> TestResponse:
        return who.patch(f"/v1/organizations/{self.id}/members/{member.id}", role=role, **more)

    def remove(self, who: Account, member: Account, **body: Any) -> TestResponse:
        path = f"/v1/organizations/{self.id}/members/{member.id}"
        return self.api.client.delete(path, json=body or None, headers=who.headers)

    def revoke(self, who: Account, invitation_id: UUID) -> TestResponse:
        path = f"/v1/organizations/{self.id}/invitations/{invitation_id}"
        return self.api.client.delete(path, headers=who.headers)

    def fail(self) -> None:
        """Let the provisioning have failed."""
        failed = "update organizations set status = 'failed', failed_at = now(), ready_at = null where id = %s"
        self.api.rows(failed, self.id)

    def open_invitations(self, who: Account) -> list[tuple[str, str]]:
        listed = who.get(f"/v1/organizations/{self.id}/invitations").json["invitations"]
        return [(one["email"], one["role"]) for one in listed]

    def roles(self) -> dict[str, str]:
        """Return the role of each member by address."""
        members = "select email, role from organization_members as m join users on id = user_id"
        return {row.email: row.role for row in self.api.rows(f"{members} where m.organization_id = %s", self.id)}


def user_of(api: ApiUnderTest, email: str) -> Account:
    return Account(api, api.activated(email=email), signed_in(api, email))


def team_of(api: ApiUnderTest, name: str = "Clinic") -> Team:
    """Return a ready organization without members."""
    organization_id = uuid7()
    api.rows(
        "insert into organizations (id, name, founder_id, database_name, status, ready_at, health)"
        " values (%s, %s, gen_random_uuid(), %s, 'ready', now(), 'healthy')",
        *(organization_id, name, f"org_{organization_id.hex}"),
    )
    return Team(api, organization_id)


def code_of(invitation_id: UUID) -> str:
    return code_for(invitation_id, KEY)


def link_of(invitation_id: UUID) -> str:
    return link_token_for(invitation_id, KEY, LinkUse.ACCEPT_INVITATION)


def accept(who: Account, invitation_id: UUID) -> TestResponse:
    return who.post("/v1/invitations/accept", code=code_of(invitation_id))


def accept_by_link(who: Account, invitation_id: UUID) -> TestResponse:
    return who.post("/v1/invitations/accept", token=link_of(invitation_id))


def register_invited(api: ApiUnderTest, invitation_id: UUID, email: str = BEA, **more: Any) -> TestResponse:
    body = {"email": email, "code": code_of(invitation_id), "password": PASSWORD, **more}
    return api.client.post("/v1/invitations/register", json=body)
