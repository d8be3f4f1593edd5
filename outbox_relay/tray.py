"""Between the claim and the settle: the messages of one channel that this relay holds."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

from outbox_relay.ladder import Ladder, Rung
from outbox_relay.messages import ClaimedMessage, Letter
from outbox_relay.metrics import ACCEPT_LATENCY, DELIVERY_DURATION, count_segments
from outbox_relay.outcomes import Dead, Deferred, Failure, FailureClass, Outcome, Sent
from outbox_relay.rendering import RenderingError
from outbox_relay.schedule import SCHEDULES, Tries, after_failure
from shared.log import get_logger
from shared.secrets import UnknownKeyError
from shared.vocabulary import Channel, DeadReason

KEY_PAUSE = timedelta(minutes=1)
"""How long a message waits for a key that SECRET_KEYS does not hold."""

log = get_logger("relay.tray")

Render = Callable[[ClaimedMessage], bytes]
Put = Callable[[ClaimedMessage, Outcome], None]


class Waiting:
    """The messages claimed and not yet taken, and the couriers who wait for some.

    The courier who went idle last is woken first: its connection is the warmest, and the others'
    may close.
    """

    def __init__(self) -> None:
        self._messages: deque[ClaimedMessage] = deque()
        self._idle: list[asyncio.Future[None]] = []

    def add(self, messages: Iterable[ClaimedMessage]) -> None:
        """Put messages behind those that wait already, and wake as many couriers as there is work for."""
        self._messages.extend(messages)
        for _ in range(min(len(self._messages), len(self._idle))):
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)

    def __bool__(self) -> bool:
        return bool(self._messages)

    def next(self) -> ClaimedMessage | None:
        """Take the one that waits longest, if any does."""
        return self._messages.popleft() if self._messages else None

    def put_back(self, message: ClaimedMessage) -> None:
        """Put a message before those that wait, to be tried elsewhere."""
        self._messages.appendleft(message)

    async def some(self) -> None:
        """Return once there is something to take."""
        while not self._messages:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle


class Preparation:
    """Decides what can still be delivered, and makes letters of it."""

    def __init__(self, render: Render, longest_in_hand: timedelta) -> None:
        self._render = render
        self._longest_in_hand = longest_in_hand.total_seconds()

    def prepare(self, message: ClaimedMessage, now: float) -> Letter | Outcome:
        """Return the message as a letter, or its outcome if it must not be delivered now.

        What would outlive its lease is handed back rather than sent by two relays at once.
        """
        if now >= message.expires_monotonic:
            return Dead(DeadReason.EXPIRED)
        if now + self._longest_in_hand > message.lease_ends_monotonic:
            return Deferred(timedelta(0))
        return self._rendered(message, now)

    def _rendered(self, message: ClaimedMessage, now: float) -> Letter | Outcome:
        try:
            return Letter(message, self._render(message), taken_monotonic=now)
        except UnknownKeyError as error:
            # Not the message's fault: another relay may have the key, or this one have it tomorrow.
            log.error("key missing", message_id=str(message.id))  # noqa: TRY400 - no trace wanted
            return Deferred(KEY_PAUSE, Failure(FailureClass.PROVIDER, None, str(error)))
        except RenderingError as error:
            return Dead(DeadReason.REJECTED, Failure(FailureClass.CONTENT, None, str(error)))
        except Exception as error:
            # A fault of ours in one message must not stop its neighbours.
            log.exception("rendering failed", message_id=str(message.id))
            failure = Failure(FailureClass.CONTENT, None, f"rendering broke: {type(error).__name__}")
            return Dead(DeadReason.REJECTED, failure)


class RungTray:
    """The tray that a session of one provider sees: it is empty while that provider is left alone."""

    def __init__(self, rung: Rung, ladder: Ladder, waiting: Waiting, preparation: Preparation, put: Put) -> None:
        self.rung = rung
        self._ladder = ladder
        self._waiting = waiting
        self._preparation = preparation
        self._put = put
        self._delivery_duration = DELIVERY_DURATION.labels(rung.provider.name)
        self._accept_latency = {channel: ACCEPT_LATENCY.labels(channel.value) for channel in Channel}

    def take(self) -> Letter | None:
        """Return the next letter that can be delivered; what can't is settled on the way."""
        while self.rung.is_usable() and (message := self._waiting.next()):
            prepared = self._preparation.prepare(message, self.rung.clock())
            if isinstance(prepared, Letter):
                return prepared
            self._put(message, prepared)
        return None

    def report(self, letter: Letter, fate: Sent | Failure) -> None:
        """Turn a letter's fate into its message's outcome, and learn from it about the provider."""
        now = self.rung.clock()
        self._delivery_duration.observe(now - letter.taken_monotonic)
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
            case Failure():
                if not fate.is_handed_over:
                    self.rung.succeeded()
                self._settle_failed(letter.message, fate, now)

    def _give_up_provider(self, message: ClaimedMessage, failure: Failure, now: float) -> None:
        self.rung.failed(failure)
        if self._ladder.is_usable() and not failure.is_handed_over:
            self._waiting.put_back(message)
        else:
            pause = max(self.rung.remaining(), failure.retry_after or timedelta(0))
            self._settle_failed(message, replace(failure, retry_after=pause), now)

    def _settle_failed(self, message: ClaimedMessage, failure: Failure, now: float) -> None:
        tries = Tries(message.attempt, message.max_attempts, message.expires_monotonic - now)
        schedule, dice = SCHEDULES[message.template], random.random()  # noqa: S311 - jitter, not a secret
        self._put(message, after_failure(schedule, tries, failure, dice=dice))
