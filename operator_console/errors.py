"""Errors of the queries and actions. Each has a stable ``code`` for programs and a text for people.

No text contains an address. A text about a message, bulk action or organization continues a sentence that begins with
its id.
"""

from typing import ClassVar


class ActionError(Exception):
    """The request was refused. Nothing was changed."""

    code: ClassVar[str]
    text: ClassVar[str]

    def __init__(self, **values: str) -> None:
        super().__init__(self.text.format(**values))


class UnknownMessageError(ActionError):
    """No message has this id."""

    code = "unknown_message"
    text = "does not exist"


class NotDeadError(ActionError):
    """Only dead messages can be requeued or discarded."""

    code = "not_dead"
    text = "is {status}: only a dead message can {action}"


class SupersededError(ActionError):
    """A newer message replaced this one, or its registration was activated or declined."""

    code = "superseded"
    text = "is superseded: a newer message replaced it, or its registration has ended"


class NotSuppressedError(ActionError):
    """No entry of the suppression list is about the address."""

    code = "not_suppressed"
    text = "the address is not suppressed"


class NoFeedbackKeysError(ActionError):
    """The suppression list has only keyed hashes, and the console has no keys to find an address in it."""

    code = "no_feedback_keys"
    text = "FEEDBACK_KEYS is not set, so no address can be looked up"


class ErasedError(ActionError):
    """The message's user was erased, and the recipient with it."""

    code = "erased"
    text = "belongs to a user who was erased"


class NotDiscardedError(ActionError):
    """The last operator action on the message is not a discard, so it cannot be undone."""

    code = "not_discarded"
    text = "is not discarded: an operator can only undo the last action, if that is a discard"


class WrongAddressError(ActionError):
    """The corrected recipient is not a valid address of the message's channel."""

    code = "wrong_address"
    text = "cannot be sent there: the new recipient is not a valid address for {channel}"


class AddressNotTheirsError(ActionError):
    """A message about a user may only go to that user's addresses, except before activation.

    A notice that an address was changed may only go to the previous address.
    """

    code = "address_not_theirs"
    text = "is about a user, and that address is not the user's"


class FilterRequiredError(ActionError):
    """A bulk action without a filter needs an explicit ``all``."""

    code = "filter_required"
    text = "no filter selects messages"


class UnknownBulkError(ActionError):
    """No bulk action has this id."""

    code = "unknown_bulk_action"
    text = "does not exist"


class UnknownTargetError(ActionError):
    """No provider, channel or template has this name."""

    code = "unknown_target"
    text = "is not a known {kind}"


class NotPausedError(ActionError):
    """Only something that is paused can be resumed."""

    code = "not_paused"
    text = "is not paused"


class ProviderPausedError(ActionError):
    """A relay does not probe a provider while an operator pauses it or its channel."""

    code = "provider_paused"
    text = "or its channel is paused; resume it first"


class BreakerNotOpenError(ActionError):
    """Only an open circuit breaker can be made half-open."""

    code = "breaker_not_open"
    text = "has no open circuit breaker"


class NoOrganizationKeysError(ActionError):
    """Organizations' passwords are derived from keys that the console does not have."""

    code = "no_organization_keys"
    text = "has a password that is unknown here, because ORGANIZATION_KEYS is not set"


class AdoptionError(Exception):
    """A database cannot become an organization's. Only a command adopts databases, so there is no code for HTTP."""


class NotRenewableError(ActionError):
    """Only the password of a healthy database can be renewed, and one renewal at a time."""

    code = "not_renewable"
    text = "is not ready and healthy, or is being repaired or renewed"


class UnknownOrganizationError(ActionError):
    """No organization has this id."""

    code = "unknown_organization"
    text = "does not exist"


class OrganizationNotReadyError(ActionError):
    """An organization in this status has no database to use, repair or drop."""

    code = "organization_not_ready"
    text = "is {status}, so it has no such database"


class ProfileChangeError(Exception):
    """Own fields of a user cannot be shown or changed as asked.

    Its text continues a sentence that begins with the user. It has no code, because only `outboxctl` raises it.
    """
