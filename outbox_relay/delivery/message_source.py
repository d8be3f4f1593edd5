"""Between the claim and the settle: the messages of one lane that this relay holds."""

import asyncio
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from time import monotonic
from typing import Self
from uuid import UUID

from outbox_relay.channels.base import ProviderDownError, Session
from outbox_relay.delivery.retry_policy import PROVIDER_PAUSE, Tries, after_failure, policy_for
from outbox_relay.metrics import ACCEPT_LATENCY, DELIVERY_DURATION, count_segments
from outbox_relay.model import (
    RELEASED,
    ClaimedMessage,
    Dead,
    Deferred,
    Failure,
    FailureClass,
    Outcome,
    RenderedMessage,
    Sent,
)
from outbox_relay.providers.circuit_breaker import NOTHING
from outbox_relay.providers.pool import ProviderPool
from outbox_relay.rendering import RenderingError
from outbox_relay.tracing import record_attempt
from shared.log import get_logger
from shared.secrets import UnknownKeyError
from shared.tracing import current_tracer
from shared.vocabulary import CHANNELS, DeadReason

Render = Callable[[ClaimedMessage], bytes]
Upcoming = Callable[[int], Iterable[ClaimedMessage]]
"""Returns so many of the messages whose turn comes next, the first one first."""

MOST_AHEAD = 100
"""Messages; some 8 KB are held of each."""

LONGEST_AHEAD_SECONDS = 0.002
"""For so long all else waits. Of mails that are signed only a few are rendered together, then."""


class Prerenderer:
    """Renders a message at its turn and, while it is at it, those that come next."""

    def __init__(self, render: Render, upcoming: Upcoming) -> None:
        self._render = render
        self._upcoming = upcoming
        self._contents: dict[UUID, tuple[ClaimedMessage, bytes]] = {}

    def content_of(self, message: ClaimedMessage) -> bytes:
        """Return what the message says; raises what rendering it raises, whoever else is rendered."""
        kept = self._contents.pop(message.id, None)
        if kept and kept[0] is message:  # and not the same claimed anew, which an operator may have mended
            return kept[1]
        content = self._render(message)
        self._look_ahead()
        return content

    def _look_ahead(self) -> None:
        self._contents.clear()
        until = monotonic() + LONGEST_AHEAD_SECONDS
        with suppress(Exception):  # what is wrong with a message is told at its own turn
            for message in self._upcoming(MOST_AHEAD):
                self._contents[message.id] = message, self._render(message)
                if monotonic() > until:
                    return


KEY_PAUSE = timedelta(minutes=1)
"""How long a message waits for a key that SECRET_KEYS does not hold."""

TURN_SECONDS = 0.1
"""How long a courier stays at a provider where those of another lane wait for a place."""

ANY_RUNG = sys.maxsize

log = get_logger("relay.tray")

Put = Callable[[ClaimedMessage, Outcome], None]


class LocalQueue:
    """The messages claimed and not yet taken, and the couriers who wait for some.

    The courier who went idle last is woken first: its connection is the warmest, and the others'
    may close.
    """

    def __init__(self) -> None:
        self._messages: deque[ClaimedMessage] = deque()
        self._passed_on: deque[tuple[ClaimedMessage, int]] = deque()
        self._idle: list[asyncio.Future[None]] = []

    def add(self, messages: Iterable[ClaimedMessage]) -> None:
        """Put messages behind those that wait already, and wake as many couriers as there is work for."""
        self._messages.extend(messages)
        for _ in range(min(len(self._messages), len(self._idle))):
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)

    def __len__(self) -> int:
        return len(self._messages) + len(self._passed_on)

    def first(self, number: int) -> tuple[ClaimedMessage, int] | None:
        """Return the one that waits longest for that rung, and the first rung that it may go to."""
        if self._passed_on and self._passed_on[0][1] <= number:
            return self._passed_on[0]
        return (self._messages[0], 0) if self._messages else None

    def first_rung(self) -> int:
        """Return the first rung that any of them may go to."""
        return 0 if self._messages or not self._passed_on else min(first for _, first in self._passed_on)

    def next(self, number: int = ANY_RUNG) -> ClaimedMessage | None:
        """Take the one that waits longest for that rung, if any does."""
        if self._passed_on and self._passed_on[0][1] <= number:
            return self._passed_on.popleft()[0]
        return self._messages.popleft() if self._messages else None

    def upcoming(self, count: int) -> Iterable[ClaimedMessage]:
        """Return so many of those whose turn comes next, without taking them."""
        return islice(self._messages, count)

    def pass_on(self, message: ClaimedMessage, first: int) -> None:
        """Let a message be tried elsewhere, before those that wait: from rung ``first`` on."""
        self._passed_on.append((message, first))

    async def some(self) -> None:
        """Return once there is something to take."""
        while not self:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle


@dataclass(frozen=True)
class MessagePreparer:
    """Decides what can still be delivered, and makes letters of it; lanes share one set of ``missing_keys_told``."""

    render: Render
    longest_in_hand: timedelta
    missing_keys_told: set[str] = field(default_factory=set)

    def looking_ahead(self, upcoming: Upcoming) -> Self:
        """Return the same, which renders ahead what comes next in one lane."""
        return replace(self, render=Prerenderer(self.render, upcoming).content_of)

    def prepare(self, message: ClaimedMessage, now: float) -> RenderedMessage | Outcome:
        """Return the message as a letter, or its outcome if it must not be delivered now.

        What would outlive its lease is handed back rather than sent by two relays at once.
        """
        if now >= message.expires_monotonic:
            return Dead(DeadReason.EXPIRED)
        if now + self.longest_in_hand.total_seconds() > message.lease_ends_monotonic:
            return RELEASED
        return self._rendered(message, now)

    def _rendered(self, message: ClaimedMessage, now: float) -> RenderedMessage | Outcome:
        try:
            return RenderedMessage(message, self.render(message), now)
        except UnknownKeyError as error:
            # Not the message's fault: another relay may have the key, or this one have it tomorrow.
            self._tell_once(str(error), message)
            return Deferred(KEY_PAUSE, Failure(FailureClass.PROVIDER, None, str(error)))
        except RenderingError as error:
            return Dead(DeadReason.REJECTED, Failure(FailureClass.CONTENT, None, str(error)))
        except Exception as error:
            # A fault of ours in one message must not stop its neighbours.
            log.exception("rendering failed", message_id=str(message.id))
            failure = Failure(FailureClass.CONTENT, None, f"rendering broke: {type(error).__name__}")
            return Dead(DeadReason.REJECTED, failure)

    def _tell_once(self, missing: str, message: ClaimedMessage) -> None:
        """Say that a key is missing with the first message that needs it: a backlog of them comes back each minute."""
        if missing not in self.missing_keys_told:
            log.error("key missing", message_id=str(message.id))
        self.missing_keys_told.add(missing)


class ProviderMessageSource:
    """The tray that a session of one provider sees: it is empty while that provider can be given nothing."""

    def __init__(
        self, number: int, ladder: ProviderPool, waiting: LocalQueue, preparation: MessagePreparer, put: Put
    ) -> None:
        self.rung = ladder.rungs[number]
        self._number = number
        self._ladder = ladder
        self._waiting = waiting
        self._preparation = preparation
        self._put = put
        self._turn_ends = 0.0
        self._is_failure_told = False
        self._delivery_duration = DELIVERY_DURATION.of(self.rung.provider.name)
        self._accept_latency = {channel: ACCEPT_LATENCY.of(channel.value) for channel in CHANNELS}

    def is_wanted(self) -> bool:
        """Tell whether there is a letter for this provider, and a way to it for another courier."""
        return self._has_one() and self.rung.admits()

    async def visit(self, session: Session) -> None:
        """Go to the provider, hand over what may be handed over, and make room for others."""
        self._turn_ends = self.rung.clock() + TURN_SECONDS
        self._is_failure_told = False
        try:
            with self.rung.visited():
                await session.deliver(self)
        except ProviderDownError as error:
            if not self._is_failure_told:
                self.rung.failed(error.failure)
        self._ladder.ask_if_needed()
        self._ladder.wake_couriers()
        # Whoever waits for the place has it before this courier comes back for it.
        await asyncio.sleep(0)

    def take(self) -> RenderedMessage | None:
        """Return the next letter that can be delivered; what can't is settled on the way."""
        while (
            self._has_one()
            and self.rung.may_take()
            and not self._is_turn_over()
            and (message := self._waiting.next(self._number))
        ):
            prepared = self._preparation.prepare(message, self.rung.clock())
            if isinstance(prepared, RenderedMessage):
                self.rung.took(message.id)
                self._is_failure_told = False
                return prepared
            self._put(message, prepared)
        return None

    def _has_one(self) -> bool:
        first = self._waiting.first(self._number)
        return first is not None and self._ladder.is_for(self._number, *first)

    def _is_turn_over(self) -> bool:
        return self._ladder.is_awaited(besides=self._waiting) and self.rung.clock() > self._turn_ends

    def report(self, letter: RenderedMessage, fate: Sent | Failure) -> None:
        """Turn a letter's fate into its message's outcome, and learn from it about the provider."""
        now = self.rung.clock()
        self._delivery_duration.observe(now - letter.taken_monotonic)
        if taker := current_tracer():
            record_attempt(taker, letter, self.rung.provider.name, fate, now - letter.taken_monotonic)
        self.rung.finished(letter.message.id)
        match fate:
            case Sent():
                self.rung.succeeded()
                latency = max(now - letter.message.enqueued_monotonic, 0.0)
                self._accept_latency[letter.message.channel].observe(latency)
                count_segments(letter, fate.provider)
                self._put(letter.message, fate)
            case Failure(kind=FailureClass.PROVIDER, is_reply=True) if self.rung.is_healthy():
                # It takes the others: leaving it alone would let a few such letters stop them all.
                self._settle_failed(letter.message, replace(fate, kind=FailureClass.TRANSIENT), now)
            case Failure(kind=FailureClass.PROVIDER):
                self._give_up_provider(letter.message, fate, now)
            case Failure(maybe_accepted=True):
                self._count_failure(fate)
                self._settle_failed(letter.message, fate, now)
            case Failure():
                # What failed is this letter's own affair: the provider is well.
                self.rung.succeeded()
                self._settle_failed(letter.message, fate, now)

    def _give_up_provider(self, message: ClaimedMessage, failure: Failure, now: float) -> None:
        self._count_failure(failure)
        if not failure.maybe_accepted and self._ladder.has_usable_beyond(self._number):
            self._waiting.pass_on(message, self._number + 1)
        else:
            pause = max(self.rung.remaining(), failure.retry_after or NOTHING) or PROVIDER_PAUSE
            self._settle_failed(message, replace(failure, retry_after=pause), now)

    def _count_failure(self, failure: Failure) -> None:
        """Count it once, for the letter: that the session then breaks off is no second one."""
        self._is_failure_told = True
        self.rung.failed(failure)

    def _settle_failed(self, message: ClaimedMessage, failure: Failure, now: float) -> None:
        tries = Tries(message.attempt, message.max_attempts, message.expires_monotonic - now)
        policy, jitter = policy_for(message.template, message.channel), random.random()  # noqa: S311 - jitter, not a secret
        self._put(message, after_failure(policy, tries, failure, jitter=jitter))
