"""Own fields of users that only operators set, such as a role."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from operator_console.actions.audit import Action, AuditContext
from operator_console.errors import ProfileChangeError
from shared.models import User
from shared.profiles import ProfileSchema


def operators_fields(session: Session, user_id: UUID, profiles: ProfileSchema) -> dict[str, Any]:
    """Return the user's fields that operators set. Raises ProfileChangeError."""
    return _operators_part(_locked(session, user_id), profiles)


def change_profile(
    session: Session, user_id: UUID, changes: Mapping[str, Any], profiles: ProfileSchema, audit: AuditContext
) -> dict[str, Any]:
    """Set these fields of a user, or remove those with the value None, and return all fields that operators set.

    The audit row has the names of the fields and no values, because it outlives the user's erasure. Raises
    ProfileChangeError. The caller commits.
    """
    if denied := sorted(changes.keys() - profiles.operator_fields):
        known = ", ".join(sorted(profiles.operator_fields)) or "none"
        raise ProfileChangeError(f"keeps {denied[0]!r}: PROFILE_SCHEMA marks only these for operators: {known}")
    before = _locked(session, user_id)
    kept = {name: value for name, value in before.items() if name not in changes}
    profile = kept | {name: value for name, value in changes.items() if value is not None}
    # The profile may violate a later schema elsewhere. Only its user can correct that, and it must not block operators.
    added = [one for one in profiles.violations_in(profile) if one not in profiles.violations_in(before)]
    if added:
        places = ", ".join(f"{one.code} at #{one.pointer}" for one in added)
        raise ProfileChangeError(f"keeps the profile, because the change breaks PROFILE_SCHEMA: {places}")
    session.execute(
        update(User).where(User.id == user_id).values(profile=profile).execution_options(synchronize_session=False)
    )
    session.add(audit.row(Action.CHANGE_PROFILE, before={"user_id": str(user_id), "fields": sorted(changes)}))
    return _operators_part(profile, profiles)


def _locked(session: Session, user_id: UUID) -> dict[str, Any]:
    found = select(User.profile).where(User.id == user_id).with_for_update(key_share=True)
    profile: dict[str, Any] | None = session.scalar(found)
    if profile is None:
        raise ProfileChangeError("does not exist")
    return profile


def _operators_part(profile: Mapping[str, Any], profiles: ProfileSchema) -> dict[str, Any]:
    return {name: value for name, value in profile.items() if name in profiles.operator_fields}
