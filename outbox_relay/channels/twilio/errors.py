"""What a Twilio error code says about whose fault it was; a table, no IO.

Source: https://www.twilio.com/docs/api/errors. Twilio adds codes and splits them as it likes, so the
ones listed are those that are plainly about one number or one text; all others are the provider's.
"""

from outbox_relay.model import FailureClass

_RECIPIENT = frozenset({
    21211,  # To is no valid number
    21217,  # the number does not appear to be valid
    21265,  # To is a short code
    21266,  # To and From are the same
    21610,  # To has unsubscribed (answered STOP)
    21614,  # To is no mobile number
    21635,  # To is a landline
    30004,  # blocked: the number cannot get messages
    30005,  # unknown destination
    30006,  # landline or unreachable carrier
})  # fmt: skip
_CONTENT = frozenset({
    21602,  # no body
    21605,  # body too long for the sender
    21617,  # body over 1,600 characters
    30007,  # filtered as spam
})  # fmt: skip
_TRANSIENT = frozenset({
    30003,  # handset switched off or out of reach
    30008,  # unknown error
})  # fmt: skip
_ABOUT_US = frozenset({
    14107,  # too many messages from this number
    20003,  # wrong credentials, or no credit
    20403,  # forbidden
    20429,  # too many requests
    20500,  # internal error
    20503,  # service unavailable
    21603,  # no From
    21606,  # From cannot send SMS
    21611,  # From's queue is full
    21659,  # From is no number of Twilio's
    21660,  # From belongs to another account
    30001,  # queue overflow
    30002,  # account suspended
    63038,  # account over its daily limit
})  # fmt: skip


def from_twilio_code(code: int | None) -> FailureClass:
    """Classify a refusal; what is not in the tables is the provider's fault."""
    if code in _RECIPIENT:
        return FailureClass.RECIPIENT
    if code in _CONTENT:
        return FailureClass.CONTENT
    return FailureClass.TRANSIENT if code in _TRANSIENT else FailureClass.PROVIDER


def is_about_us(code: int | None) -> bool:
    """Tell whether a code says nothing of the letter: it is about our account, our sender or our pace."""
    return code in _ABOUT_US
