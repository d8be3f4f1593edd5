"""End all sessions of an account by the link in a security notice."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from api_service.errors import InvalidOrExpiredError
from api_service.use_cases.security_events import EventKind, forget_clients
from api_service.use_cases.sessions import end_sessions_of
from api_service.use_cases.tokens import id_in_link
from api_service.use_cases.users import is_active, lock_user
from shared.log import get_logger
from shared.models import OutboxMessage
from shared.secrets import LinkUse, SecretKeys
from shared.templates import Template

LINK_LIFETIME = timedelta(days=7)
"""Since its notice was added to the outbox."""

log = get_logger("api.sessions")


def end_sessions_by_link(session: Session, keys: SecretKeys, link_token: str) -> None:
    """End all sessions of the notice's user and forget their clients, in the caller's transaction.

    The link may be used again until it expires: a repetition ends what has started since, so that the page is always
    right. The link allows only this. Raises InvalidOrExpiredError.
    """
    notice_id = id_in_link(link_token, keys, LinkUse.END_SESSIONS)
    user_id = session.scalar(living_notice(notice_id))
    if user_id is None:
        raise InvalidOrExpiredError
    user = lock_user(session, is_active(user_id), otherwise=InvalidOrExpiredError())
    end_sessions_of(session, user.id)
    forget_clients(session, user.id)
    log.warning("sessions ended by link", user_id=str(user.id), message_id=str(notice_id))


def living_notice(notice_id: UUID) -> Select[UUID | None]:
    """Select the user of a security notice whose link is still valid."""
    return select(OutboxMessage.user_id).where(
        OutboxMessage.id == notice_id,
        OutboxMessage.template.in_([Template(kind) for kind in EventKind]),
        OutboxMessage.created_at > func.now() - LINK_LIFETIME,
    )
