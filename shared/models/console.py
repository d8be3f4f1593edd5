"""Where operators are signed in to the console's page."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from shared.models.base import NOW, Base


class ConsoleSession(Base):
    """One browser in which an operator's token was given; ``id`` is the SHA-256 of the cookie's value."""

    __tablename__ = "console_sessions"
    __table_args__ = (CheckConstraint("octet_length(id) = 32", name="id"),)

    id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    token_id: Mapped[UUID] = mapped_column(ForeignKey("operator_tokens.id", ondelete="CASCADE"))
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    used_at: Mapped[datetime] = mapped_column(server_default=NOW)
