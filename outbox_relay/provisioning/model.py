"""Values and errors of provisioning, and the failure class of each PostgreSQL error. No input or output."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from outbox_relay.model import Failure, FailureClass
from shared.vocabulary import HealthStatus, database_name_of

_DATA_ERRORS = ("22", "23")  # values that cannot be stored: too long, not text, or in conflict with existing rows
_SCHEMA_ERRORS = (
    *("42P01", "42703", "3F000"),  # an expected table, column or schema is missing
    *("42P07", "42701", "42710"),  # a migration's object exists already, created by someone else
)
_TRANSIENT_ERRORS = ("40", "55P03")  # deadlock, serialization failure, lock timeout


@dataclass(frozen=True, slots=True)
class Organization:
    """The organization that owns a database. Its password is derived from ``password_number``."""

    id: UUID
    password_number: int = 0

    @property
    def database(self) -> str:
        """Name of its database and of the role that logs in to it."""
        return database_name_of(self.id)


class Step(StrEnum):
    """The steps of provisioning, in order. Each can be repeated after an interrupted attempt."""

    CREATE_DATABASE = "create_database"
    PREPARE = "prepare"
    VERIFY = "verify"


class StepLog(Protocol):
    """Record an organization's progress. An exception of a log ends the provisioning."""

    async def started(self, step: Step) -> None:
        """Record the step before any work is done."""

    async def completed(self, step: Step) -> None:
        """Record that the step is complete."""


class StepFailedError(Exception):
    """A step failed with the class in ``failure``. The next attempt repeats it."""

    def __init__(self, step: Step, failure: Failure) -> None:
        super().__init__(step.value)
        self.step = step
        self.failure = failure


class DamagedError(Exception):
    """The database exists but is not in the expected state. ``reason`` is a fixed phrase, safe to log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Health:
    """Result of one check. The numbers are None if the database could not be read."""

    status: HealthStatus
    error: str | None = None
    revision: str | None = None
    tables: int | None = None
    size_bytes: int | None = None


def failure_class_of(sqlstate: str | None) -> FailureClass:
    """Classify an error of the server (PostgreSQL, appendix A); None means that no connection was made.

    Only errors that clearly belong to one organization cost it an attempt. All others count as failures of the server.
    """
    match sqlstate:
        case None:
            return FailureClass.PROVIDER
        case state if state.startswith(_DATA_ERRORS + _SCHEMA_ERRORS):
            return FailureClass.CONTENT
        case state if state.startswith(_TRANSIENT_ERRORS):
            return FailureClass.TRANSIENT
        case _:
            return FailureClass.PROVIDER
