"""Users, their tokens and their sessions."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.models.base import NOW, Base
from shared.vocabulary import Channel, Locale, Purpose, UserStatus


class User(Base):
    """A registered user. The id is also the registration's, so it is random instead of ordered by time.

    An address belongs to the active user who verified it. Pending users may share it, so that a registration with a
    taken address looks like any other.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("email is not null or phone is not null", name="has_address"),
        CheckConstraint("(email is null) = (email_canonical is null)", name="email_has_both_forms"),
        CheckConstraint("status in ('pending', 'active', 'retired')", name="status"),
        Index(
            "uq_users_active_email",
            "email_canonical",
            unique=True,
            postgresql_where=text("email_verified_at is not null"),
        ),
        Index("uq_users_active_phone", "phone", unique=True, postgresql_where=text("phone_verified_at is not null")),
        Index("ix_users_email", "email_canonical", "created_at", postgresql_where=text("email_canonical is not null")),
        Index("ix_users_phone", "phone", "created_at", postgresql_where=text("phone is not null")),
        Index("ix_users_inactive", "created_at", postgresql_where=text("status in ('pending', 'retired')")),
        Index("ix_users_organization_id", "organization_id", postgresql_where=text("organization_id is not null")),
    )

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


class Token(Base):
    """A right to do one thing once. Code and link are derived from its id and never stored.

    Tokens for password resets and address changes have a keyed hash of the address in ``address_id``. So they can be
    found and counted even if the address has no account, in which case ``user_id`` is null.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        CheckConstraint("purpose in ('activation', 'decoy', 'password_reset', 'address_change')", name="purpose"),
        CheckConstraint("user_id is not null or (purpose = 'decoy' and address_id is not null)", name="has_owner"),
        CheckConstraint("address_id is not null or purpose in ('activation', 'decoy')", name="is_about_an_address"),
        CheckConstraint("(new_address is not null) = (purpose = 'address_change')", name="new_address"),
        CheckConstraint("channel in ('email', 'sms')", name="channel"),
        CheckConstraint("attempts_left >= 0", name="attempts_left"),
        Index("ix_tokens_user_id", "user_id", "created_at"),
        Index("ix_tokens_address_id", "address_id", "created_at", postgresql_where=text("address_id is not null")),
        Index("ix_tokens_expires_at", "expires_at", postgresql_where=text("address_id is not null")),
    )

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
    __table_args__ = (
        UniqueConstraint("family_hash"),
        CheckConstraint("octet_length(family_hash) = 32", name="family_hash"),
        CheckConstraint("octet_length(refresh_hash) = 32", name="refresh_hash"),
        Index("ix_sessions_user_id", "user_id", "last_used_at"),
        Index("ix_sessions_expires_at", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    family_hash: Mapped[bytes]
    refresh_hash: Mapped[bytes]
    user_agent: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_used_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]
