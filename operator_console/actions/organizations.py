"""Health checks and repairs of organizations' databases, and their credentials for applications.

The relays change the databases, so the console needs no right to create databases.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, func, select, true, type_coerce, update
from sqlalchemy.orm import Session

from operator_console.actions.audit import Action, AuditContext
from operator_console.errors import (
    AdoptionError,
    NoOrganizationKeysError,
    NotRenewableError,
    OrganizationNotReadyError,
    UnknownOrganizationError,
)
from shared.ids import uuid7
from shared.models import Organization, OrganizationMember, OutboxMessage, User
from shared.secrets import SecretKeys, tenant_passwords
from shared.vocabulary import (
    WAKE_CHANNEL,
    HealthStatus,
    MemberRole,
    OrganizationStatus,
    Status,
    UserStatus,
    database_name_of,
)


class Repair(StrEnum):
    """The result of a request for a repair."""

    NOT_NEEDED = "not_needed"
    ENQUEUED = "enqueued"
    UNDER_WAY = "under_way"


def repair(session: Session, organization_id: UUID, audit: AuditContext) -> Repair:
    """Request a health check of an organization's database, and enqueue a repair unless it is healthy or repairing.

    Raises UnknownOrganizationError and OrganizationNotReadyError. The caller commits.
    """
    organization = _locked(session, organization_id)
    if organization.status != OrganizationStatus.READY:
        raise OrganizationNotReadyError(status=organization.status)
    request_checks(session, [organization_id])
    if organization.health == HealthStatus.HEALTHY:
        return Repair.NOT_NEEDED
    message_id = uuid7()
    if not session.scalar(select(func.signpost_enqueue_repair(organization_id, message_id, true()))):
        return Repair.UNDER_WAY
    before = {
        "organization_id": str(organization_id),
        "health": organization.health,
        "health_error": organization.health_error,
    }
    session.add(audit.row(Action.REPAIR, message_id, before))
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))
    return Repair.ENQUEUED


@dataclass(frozen=True)
class Credentials:
    """The login of an organization's database. While a relay renews the password, an older one is valid."""

    database: str
    role: str
    password: str
    older_passwords: tuple[str, ...]
    is_being_renewed: bool


def give_credentials(
    session: Session, keys: SecretKeys | None, organization_id: UUID, audit: AuditContext
) -> Credentials:
    """Return the credentials of a ready organization's database, and add the audit row. The caller commits first.

    Raises UnknownOrganizationError, OrganizationNotReadyError and NoOrganizationKeysError.
    """
    if keys is None:
        raise NoOrganizationKeysError
    organization = _locked(session, organization_id)
    if organization.status != OrganizationStatus.READY:
        raise OrganizationNotReadyError(status=organization.status)
    session.add(audit.row(Action.GET_CREDENTIALS, before={"organization_id": str(organization_id)}))
    pending = select(OutboxMessage.id).where(
        OutboxMessage.id == organization.repair_id, OutboxMessage.status == Status.PENDING
    )
    newest, *older = tenant_passwords(organization_id, keys, organization.password_number)
    name = organization.database_name
    is_being_renewed = session.scalar(pending) is not None
    return Credentials(name, name, newest, tuple(older), is_being_renewed)


def renew_password(session: Session, organization_id: UUID, audit: AuditContext) -> UUID:
    """Have a relay set another password, derived from the newest key, and return its message's id. The caller commits.

    Raises UnknownOrganizationError and NotRenewableError.
    """
    _locked(session, organization_id)
    message_id = uuid7()
    if not session.scalar(select(func.signpost_renew_password(organization_id, message_id))):
        raise NotRenewableError
    session.add(audit.row(Action.RENEW_PASSWORD, message_id, {"organization_id": str(organization_id)}))
    return message_id


def remove(session: Session, organization_id: UUID, audit: AuditContext, *, is_forced: bool = False) -> None:
    """Take the organization from its members, and have a relay drop its database. The caller commits.

    Raises UnknownOrganizationError and OrganizationNotReadyError.
    """
    organization = _locked(session, organization_id)
    if not session.scalar(select(func.signpost_remove_organization(organization_id, is_forced))):
        raise OrganizationNotReadyError(status=organization.status)
    before = {"organization_id": str(organization_id), "status": organization.status, "is_forced": is_forced}
    session.add(audit.row(Action.REMOVE_ORGANIZATION, before=before))


@dataclass(frozen=True)
class Adoption:
    """A database of an earlier system, and the organization that it is for."""

    database: str
    organization_id: UUID
    name: str
    owner_id: UUID


def check_adoption(session: Session, adoption: Adoption) -> None:
    """Raise AdoptionError if the organization cannot be added."""
    if session.get(Organization, adoption.organization_id):
        raise AdoptionError("exists already")
    owner = session.get(User, adoption.owner_id)
    if owner is None or owner.status != UserStatus.ACTIVE:
        raise AdoptionError(f"cannot belong to {adoption.owner_id}, which is no active user")


def record_adoption(session: Session, adoption: Adoption, audit: AuditContext) -> None:
    """Add the organization of an adopted database, and enqueue the repair that creates its role. The caller commits.

    Only the schema's owner may. Raises AdoptionError.
    """
    check_adoption(session, adoption)
    organization = Organization(
        id=adoption.organization_id,
        name=adoption.name,
        status=OrganizationStatus.READY,
        founder_id=adoption.owner_id,
        database_name=database_name_of(adoption.organization_id),
        ready_at=func.now(),
    )
    session.add(organization)
    session.flush()
    session.add(OrganizationMember(organization_id=organization.id, user_id=adoption.owner_id, role=MemberRole.OWNER))
    message_id = uuid7()
    session.execute(select(func.signpost_enqueue_repair(organization.id, message_id, true())))
    before = {"organization_id": str(organization.id), "database": adoption.database}
    session.add(audit.row(Action.ADOPT, message_id, before))
    session.execute(select(func.pg_notify(WAKE_CHANNEL, "")))


def request_checks(session: Session, organization_ids: Collection[UUID] | None = None) -> int:
    """Have the relays check these organizations' databases next, or all of them; return their number."""
    is_checked = [Organization.status == OrganizationStatus.READY, Organization.is_decoy.is_(False)]
    if organization_ids is not None:
        is_checked.append(Organization.id.in_(organization_ids))
    due = session.execute(
        update(Organization)
        .where(*is_checked)
        .values(check_due_at=func.now())
        .returning(Organization.id)
        .execution_options(synchronize_session=False)
    )
    return len(due.all())


def _locked(session: Session, organization_id: UUID) -> Row[*tuple[Any, ...]]:
    organization = session.execute(
        select(
            type_coerce(Organization.status, Text).label("status"),
            Organization.health,
            Organization.health_error,
            Organization.repair_id,
            Organization.database_name,
            Organization.password_number,
        )
        .where(Organization.id == organization_id, Organization.is_decoy.is_(False))
        .with_for_update()
    ).one_or_none()
    if organization is None:
        raise UnknownOrganizationError
    return organization
