"""Why an act was refused. ``code`` is stable, for programs.

The text is for people, and names no address. Of a message or an organization it says what that is: it goes on after
its name. What there is not, and what was not chosen, is said in a whole sentence.
"""

from typing import ClassVar


class ActingError(Exception):
    """An act was refused, and nothing was changed."""

    code: ClassVar[str]


class UnknownMessageError(ActingError):
    """There is no such message."""

    code = "unknown_message"

    def __init__(self) -> None:
        super().__init__("there is no such message")


class NotDeadError(ActingError):
    """Only a dead message can be requeued or discarded; this one is ``status``."""

    code = "not_dead"

    def __init__(self, status: str, done: str) -> None:
        super().__init__(f"is {status}: only a dead one can be {done}")


class SupersededError(ActingError):
    """A newer message replaced this one, and is the one to requeue; or its registration was activated or declined."""

    code = "superseded"

    def __init__(self) -> None:
        super().__init__("is superseded: a newer message replaced it, or nobody waits for it any longer")


class ErasedError(ActingError):
    """Its user was erased: there is nobody to tell."""

    code = "erased"

    def __init__(self) -> None:
        super().__init__("tells of a user who was erased")


class NotDiscardedError(ActingError):
    """What an operator did not discard last cannot be taken back."""

    code = "not_discarded"

    def __init__(self) -> None:
        super().__init__("was not discarded by an operator just before")


class WrongAddressError(ActingError):
    """The corrected recipient is no address of the message's channel."""

    code = "wrong_address"

    def __init__(self, channel: str) -> None:
        super().__init__(f"goes by {channel}, and that is no address for it")


class AddressNotTheirsError(ActingError):
    """A message about a user goes to that user; only who has not activated yet can be given another address.

    A notice that an address was changed goes to the one before.
    """

    code = "address_not_theirs"

    def __init__(self) -> None:
        super().__init__("tells of a user, and may not be sent to that address")


class NothingChosenError(ActingError):
    """A bulk act without a filter, and nobody said that all was meant."""

    code = "nothing_chosen"

    def __init__(self) -> None:
        super().__init__("no filter says which messages are meant")


class UnknownBulkError(ActingError):
    """There is no such bulk act."""

    code = "unknown_bulk"

    def __init__(self) -> None:
        super().__init__("there is no such bulk act")


class UnknownOrganizationError(ActingError):
    """There is no such organization."""

    code = "unknown_organization"

    def __init__(self) -> None:
        super().__init__("there is no such organization")


class NeverReadyError(ActingError):
    """Only what has once been ready can be repaired; this organization is ``status``."""

    code = "organization_not_ready"

    def __init__(self, status: str) -> None:
        super().__init__(f"is {status}: its database was never handed over, and its message is what to requeue")
