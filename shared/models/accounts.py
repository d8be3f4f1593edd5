"""Users, their tokens and their sessions."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from shared.models.base import NOW, Base
from shared.vocabulary import Channel, Locale, Purpose, UserStatus


class User(Base):
    """A registered user. The id is also the registration's, so it is random instead of ordered by time.

    An address belongs to the active user who verified it. Pending users may share it, so that a registration with a
    taken address looks like any other.
    """

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    status: Mapped[UserStatus] = mapped_column(default=UserStatus.PENDING, server_default="pending")
    email: Mapped[str | None]
    email_canonical: Mapped[str | None]
    email_verified_at: Mapped[datetime | None]
    phone: Mapped[str | None]
    phone_verified_at: Mapped[datetime | None]
    password_hash: Mapped[str]
    full_name: Mapped[str | None]
    locale: Mapped[Locale]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    activated_at: Mapped[datetime | None]
    organization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("organizations.id", deferrable=True, initially="DEFERRED")
    )

    @property
    def is_email_verified(self) -> bool:
        """Whether the user has proven the e-mail address."""
        return self.email_verified_at is not None

    @property
    def is_phone_verified(self) -> bool:
        """Whether the user has proven the phone number."""
        return self.phone_verified_at is not None


class Token(Base):
    """A right to do one thing once. Code and link are derived from its id and never stored.

    Tokens for password resets and address changes have a keyed hash of the address in ``address_id``. So they can be
    found and counted even if the address has no account, in which case ``user_id`` is null.
    """

    __tablename__ = "tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[Purpose]
    channel: Mapped[Channel]
    key_id: Mapped[str]
    attempts_left: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    address_id: Mapped[UUID | None]
    new_address: Mapped[str | None]


class SessionRow(Base):
    """A session of a user, which is also the family of its refresh tokens. The row is deleted when it ends.

    The SHA-256 of both halves of the refresh token is stored. The first half is constant for the family, and each
    refresh replaces the second. So a used token is recognized without storing past tokens.
    """

    __tablename__ = "sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    family_hash: Mapped[bytes]
    refresh_hash: Mapped[bytes]
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_used_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
