"""Change the name, the language and the own fields of the signed-in user."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from api_service.security.access_tokens import CurrentUser
from api_service.use_cases.sessions import lock_session
from api_service.use_cases.users import lock_user
from shared.models import User
from shared.profiles import ProfileSchema, merge_patch
from shared.web.problems import InvalidTokenError, ValidationFailedError, Violation


@dataclass(frozen=True)
class ChangeUserCommand:
    """The columns to replace, and a merge patch of the profile (RFC 7396). Both may be empty."""

    columns: dict[str, Any] = field(repr=False)
    profile_patch: dict[str, Any] = field(repr=False)


def change_user(
    session: Session, current_user: CurrentUser, command: ChangeUserCommand, profiles: ProfileSchema | None
) -> User:
    """Change the user in the caller's transaction, and return it. Of concurrent changes of one field the last stays.

    Raises ValidationFailedError if the resulting profile violates the schema, and InvalidTokenError.
    """
    user = lock_user(session, User.id == current_user.user_id, otherwise=InvalidTokenError())
    lock_session(session, current_user.session_id)
    for name, value in command.columns.items():
        setattr(user, name, value)
    if profiles and command.profile_patch:
        profile = merge_patch(user.profile, command.profile_patch)
        if violations := profiles.violations_in(profile):
            raise ValidationFailedError(
                [Violation(f"#/profile{violation.pointer}", violation.code) for violation in violations]
            )
        user.profile = profile
    return user
