"""What provisioning is told, what it tells, and how it can end."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from outbox_relay.model import Failure
from shared.organizations import database_name_of
from shared.vocabulary import Verdict


@dataclass(frozen=True, slots=True)
class Organization:
    """Who the database is for. Name and country are stored in it, and never part of a statement."""

    id: UUID
    name: str
    country: str | None
    founder_id: UUID
    founder_full_name: str

    def __repr__(self) -> str:
        return f"Organization({self.id})"  # names are nobody's business but its own

    @property
    def database(self) -> str:
        """What its database is called, and the role that logs in to it."""
        return database_name_of(self.id)


class Step(StrEnum):
    """What provisioning consists of, in this order. Each may be begun again wherever the last try broke off."""

    CREATE_DATABASE = "create_database"
    MIGRATE = "migrate"
    SEED_FOUNDER = "seed_founder"
    VERIFY = "verify"


class Record(Protocol):
    """Where it is written down how far an organization has come; what it raises ends the provisioning."""

    async def begun(self, step: Step) -> None:
        """Write down, before anything is done, that the step begins."""

    async def done(self, step: Step) -> None:
        """Write down that the step has been done."""


class StepFailedError(Exception):
    """A step broke off; the next try begins it again. ``failure`` says whose fault it was."""

    def __init__(self, step: Step, failure: Failure) -> None:
        super().__init__(step.value)
        self.step = step
        self.failure = failure


class DamagedError(Exception):
    """The database is there and is not what it should be; ``what`` is a phrase of ours."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True, slots=True)
class Health:
    """What one look at a database found; numbers are None where it could not be looked into."""

    verdict: Verdict
    error: str | None = None
    revision: str | None = None
    tables: int | None = None
    size_bytes: int | None = None
