"""/v1/organizations/…/members: list members, change their roles, and remove them."""

from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from api_service.errors import Code
from api_service.http.annotations import RATE_LIMIT_HEADERS, OperationDoc, RequestDoc, ResponseDoc, Tag
from api_service.http.authentication import authenticated
from api_service.routes.account import OF_PASSWORDS, reauthenticate
from api_service.schemas.invitations import ChangeMemberSchema
from api_service.schemas.requests import EraseSchema
from api_service.schemas.responses import MembersSchema
from api_service.security.access_tokens import CurrentUser
from api_service.services import services
from api_service.transactions import in_transaction
from api_service.use_cases.invitations import end_invitations_to
from api_service.use_cases.members import MemberChange, change_member, concerns_ownership, list_members, role_of
from shared.web.problems import CommonCode
from shared.web.requests import read_body

OF_CHANGES = (
    *OF_PASSWORDS,
    Code.NOT_A_MEMBER,
    Code.ROLE_REQUIRED,
    Code.FRESH_SIGN_IN_REQUIRED,
    CommonCode.NOT_FOUND,
    Code.LAST_OWNER,
)

blueprint = Blueprint("members", __name__, url_prefix="/v1/organizations/<uuid:organization_id>/members")


@blueprint.get("")
@OperationDoc(
    Tag.ORGANIZATIONS,
    {HTTPStatus.OK: ResponseDoc("The members, in the order of joining.", MembersSchema)},
    problems=(Code.NOT_A_MEMBER, CommonCode.NOT_FOUND),
)
@authenticated
def get_members(current_user: CurrentUser, organization_id: UUID) -> Response:
    """List the members. Only owners and admins see addresses."""
    with services().sessions.begin() as session:
        return MembersSchema.response({"members": list_members(session, organization_id, current_user.user_id)})


@blueprint.patch("/<uuid:user_id>")
@OperationDoc(
    Tag.ORGANIZATIONS,
    {HTTPStatus.NO_CONTENT: ResponseDoc("The member has the role.", headers=RATE_LIMIT_HEADERS)},
    body=RequestDoc(ChangeMemberSchema),
    problems=OF_CHANGES,
)
@authenticated
def patch_member(current_user: CurrentUser, organization_id: UUID, user_id: UUID) -> Response:
    """Change a member's role.

    To give or take the role `owner`, an owner sends the password, or signs in again first.
    """
    body = read_body(ChangeMemberSchema())
    return _changed(current_user, MemberChange(organization_id, user_id, body["role"]), body.get("password"))


@blueprint.delete("/<uuid:user_id>")
@OperationDoc(
    Tag.ORGANIZATIONS,
    {HTTPStatus.NO_CONTENT: ResponseDoc("The user is no member.", headers=RATE_LIMIT_HEADERS)},
    body=RequestDoc(EraseSchema, is_required=False),
    problems=OF_CHANGES,
)
@authenticated
def delete_member(current_user: CurrentUser, organization_id: UUID, user_id: UUID) -> Response:
    """Remove a member, or leave. To remove an owner, send the password, or sign in again first."""
    body = read_body(EraseSchema(), may_be_empty=True)
    return _changed(current_user, MemberChange(organization_id, user_id, None), body.get("password"))


def _changed(current_user: CurrentUser, change: MemberChange, password: str | None) -> Response:
    parts = services()
    with parts.sessions.begin() as session:
        role_of(session, change.organization_id, current_user.user_id)  # others do not learn who is an owner
        needs_password = concerns_ownership(session, change)
    reauthentication = reauthenticate(current_user, password) if needs_password else None

    def changed(session: Session) -> None:
        change_member(session, current_user, reauthentication, change)
        if change.new_role is None:
            end_invitations_to(session, change.organization_id, change.member_id, parts.keys)

    in_transaction(parts.sessions, changed)
    return Response(status=HTTPStatus.NO_CONTENT)
