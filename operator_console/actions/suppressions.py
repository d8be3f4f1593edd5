"""The suppression list: look up an address, add it, and remove it. The list holds keyed hashes and no address."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from operator_console.actions.audit import Action, AuditContext
from operator_console.errors import NotSuppressedError
from operator_console.views import SuppressionView
from shared.addresses import canonical_address, canonical_phone, deliverable_email
from shared.models import Suppression
from shared.secrets import SecretKeys, suppression_hashes
from shared.vocabulary import SuppressionReason

LONGEST_DAYS = 3650

Hashes = Mapping[str, bytes]
"""The hash of one address under each key, by the key's id, newest first."""


def hashes_of(address: str, keys: SecretKeys) -> Hashes:
    """Return the hashes of an e-mail address or phone number, however it is spelled. Raises InvalidAddressError."""
    deliverable = deliverable_email(address) if "@" in address else canonical_phone(address)
    return suppression_hashes(canonical_address(deliverable), keys)


def list_suppressions(session: Session, hashes: Hashes | None = None, *, limit: int) -> Sequence[SuppressionView]:
    """Return the present entries, newest first; with ``hashes``, only those of that address."""
    wanted = select(Suppression).where(Suppression.until > func.now()).order_by(Suppression.since.desc()).limit(limit)
    if hashes is not None:
        wanted = wanted.where(Suppression.hash.in_(hashes.values()))
    return [
        SuppressionView(row.hash.hex(), row.reason, row.strikes, row.since, row.until, row.key_id)
        for row in session.scalars(wanted)
    ]


def add_suppression(session: Session, hashes: Hashes, span: timedelta, audit: AuditContext) -> SuppressionView:
    """Suppress an address for that time, in place of an operator's earlier entry. The caller commits."""
    _delete(session, hashes.values(), SuppressionReason.OPERATOR)
    key_id, hashed = next(iter(hashes.items()))
    row = session.execute(
        insert(Suppression)
        .values(hash=hashed, reason=SuppressionReason.OPERATOR.value, key_id=key_id, until=func.now() + span)
        .returning(Suppression)
    ).scalar_one()
    session.add(audit.row(Action.ADD_SUPPRESSION, after={"suppression": hashed.hex(), "until": row.until.isoformat()}))
    return SuppressionView(hashed.hex(), row.reason, row.strikes, row.since, row.until, row.key_id)


def remove_suppression(session: Session, hashes: Iterable[bytes], audit: AuditContext) -> int:
    """Remove an address's entries, and so its record of bounces. Return how many. The caller commits.

    Raises NotSuppressedError.
    """
    removed = _delete(session, hashes, *SuppressionReason)
    if not removed:
        raise NotSuppressedError
    before = [{"suppression": hashed.hex(), "reason": reason} for hashed, reason in removed]
    session.add(audit.row(Action.REMOVE_SUPPRESSION, before={"suppressions": before}))
    return len(removed)


def _delete(session: Session, hashes: Iterable[bytes], *reasons: SuppressionReason) -> list[tuple[bytes, str]]:
    rows = session.execute(
        delete(Suppression)
        .where(Suppression.hash.in_(hashes), Suppression.reason.in_([reason.value for reason in reasons]))
        .returning(Suppression.hash, Suppression.reason)
    )
    return [(row.hash, row.reason) for row in rows]
