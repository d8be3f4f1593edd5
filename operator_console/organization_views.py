"""What operators are shown of organizations: plain values in the order in which they are shown."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class OrganizationView:
    """An organization in a list. Its ``health`` is a Verdict's word, or None where nobody has looked yet."""

    id: UUID
    name: str = field(repr=False)
    status: str
    health: str | None
    health_error: str | None
    revision: str | None
    tables: int | None
    size_bytes: int | None
    checked_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class OrganizationPage:
    """Some organizations, newest first, and where the next page begins; None where there is none."""

    organizations: tuple[OrganizationView, ...]
    next_cursor: UUID | None


@dataclass(frozen=True)
class StepView:
    """A step on the way to an organization's database; without an end, it may be under way or have broken off."""

    step: str
    begun_at: datetime
    done_at: datetime | None
    error_class: str | None
    error: str | None = field(repr=False)


@dataclass(frozen=True)
class LossView:
    """A database that was gone: what it had been when it was last in order, and when an empty one took its place."""

    found_at: datetime
    healthy_at: datetime | None
    revision: str | None
    tables: int | None
    size_bytes: int | None
    restored_at: datetime | None


@dataclass(frozen=True)
class OrganizationDetail(OrganizationView):
    """One organization with all that is known of its database.

    One that has failed is dropped in a while (``dropped_at``), unless ``kept_because`` says why that is for operators.
    """

    country: str | None
    founder_id: UUID
    database_name: str
    ready_at: datetime | None
    failed_at: datetime | None
    healthy_at: datetime | None
    check_due_at: datetime
    repair_id: UUID | None
    dropped_at: datetime | None
    kept_because: str | None
    steps: tuple[StepView, ...]
    losses: tuple[LossView, ...]
