"""What passes between a relay and the provider's row, which all relays share."""

from dataclasses import dataclass

from outbox_relay.breaker import Condition


@dataclass(frozen=True, slots=True)
class Report:
    """What a relay tells and asks: a change of its breaker, tokens to draw and to give back, leave to probe.

    ``open_for`` is in seconds from now on: no two clocks are ever compared.
    """

    news: Condition | None
    openings: int
    open_for: float
    failure_class: str | None
    wanted: int
    returned: int
    wants_leave: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What the row answers: how the breaker stands for all, and what this relay may do. Times are in seconds."""

    openings: int
    open_for: float
    has_leave: bool = False
    granted: int = 0
    token_in: float = 0.0
