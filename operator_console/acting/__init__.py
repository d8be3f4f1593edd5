"""What operators may change. Each change is an audit row in the same transaction, which is the caller's."""

from operator_console.acting.audit import Act, Action, note_reveal
from operator_console.acting.bulk import (
    begin_bulk,
    find_bulk,
    list_bulks,
    next_running_bulk,
    put_off,
    resume_bulk,
    step_bulk,
    stop_bulk,
)
from operator_console.acting.corrections import Correction
from operator_console.acting.discarding import discard, undo_discard
from operator_console.acting.errors import (
    ActingError,
    AddressNotTheirsError,
    ErasedError,
    NeverReadyError,
    NotDeadError,
    NotDiscardedError,
    NothingChosenError,
    SupersededError,
    UnknownBulkError,
    UnknownMessageError,
    UnknownOrganizationError,
    WrongAddressError,
)
from operator_console.acting.organizations import Repair, repair, request_checks
from operator_console.acting.plans import (
    HIGHEST_PER_MINUTE,
    Bulk,
    BulkPlan,
    BulkStatus,
    closed_to,
    count_chosen,
    refuse_unless_meant,
)
from operator_console.acting.requeueing import requeue

__all__ = [
    "HIGHEST_PER_MINUTE",
    "Act",
    "ActingError",
    "Action",
    "AddressNotTheirsError",
    "Bulk",
    "BulkPlan",
    "BulkStatus",
    "Correction",
    "ErasedError",
    "NeverReadyError",
    "NotDeadError",
    "NotDiscardedError",
    "NothingChosenError",
    "Repair",
    "SupersededError",
    "UnknownBulkError",
    "UnknownMessageError",
    "UnknownOrganizationError",
    "WrongAddressError",
    "begin_bulk",
    "closed_to",
    "count_chosen",
    "discard",
    "find_bulk",
    "list_bulks",
    "next_running_bulk",
    "note_reveal",
    "put_off",
    "refuse_unless_meant",
    "repair",
    "request_checks",
    "requeue",
    "resume_bulk",
    "step_bulk",
    "stop_bulk",
    "undo_discard",
]
