"""Whose fault it was that a step broke off: SQLSTATEs of PostgreSQL's appendix A, no IO.

What is the server's or our own set-up's costs no organization an attempt; whatever is not plainly the
organization's own is taken for that.
"""

from outbox_relay.model import FailureClass

_OF_ITS_VALUES = ("22", "23")  # cannot be stored: they are too long, not text, or contradict what is there
_OF_ITS_TABLES = (
    *("42P01", "42703", "3F000"),  # a table, column or schema that was there is gone
    *("42P07", "42701", "42710"),  # what a migration makes is there already, made by somebody else
)
_PASSING = ("40", "55P03")  # deadlock, serialization; somebody held a table for too long


def fault_of(sqlstate: str | None) -> FailureClass:
    """Tell whose fault an error of the server's is; without a SQLSTATE, no connection came about."""
    match sqlstate:
        case None:
            return FailureClass.PROVIDER
        case own if own.startswith(_OF_ITS_VALUES + _OF_ITS_TABLES):
            return FailureClass.CONTENT
        case passing if passing.startswith(_PASSING):
            return FailureClass.TRANSIENT
        case _:
            return FailureClass.PROVIDER
