"""The messages of one queue between claim and settlement: waiting, rendered, and taken by a provider's session."""

import asyncio
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from time import monotonic
from uuid import UUID

from outbox_relay.channels.base import ProviderDownError
from outbox_relay.delivery.deferral import RELEASED, for_missing_key
from outbox_relay.delivery.retry_policy import Tries, after_failure, attributed, schedule_for
from outbox_relay.metrics import ACCEPT_LATENCY, DELIVERY_DURATION, count_segments
from outbox_relay.model import (
    ClaimedMessage,
    Dead,
    DeliveryResult,
    Failure,
    FailureClass,
    Outcome,
    RenderedMessage,
    Sent,
)
from outbox_relay.pauses import Pauses
from outbox_relay.providers.pool import ProviderPool
from outbox_relay.rendering.values import RenderingError
from outbox_relay.tracing import record_attempt
from shared.log import get_logger
from shared.secrets import UnknownKeyError
from shared.tracing import current_tracer
from shared.vocabulary import CHANNELS, DeadReason, PauseKind

SHARE_SECONDS = 0.1
"""How long a worker stays at a provider while workers of another consumer wait for a session there."""

MOST_AHEAD = 100
"""How many messages to render in advance; each takes some 8 KB."""

LONGEST_AHEAD_SECONDS = 0.002
"""The longest time that rendering in advance may block the event loop. It is enough for only a few mails with a DKIM
signature."""

ANY_PROVIDER = sys.maxsize

log = get_logger("relay.message_source")

Render = Callable[[ClaimedMessage], bytes]
Upcoming = Callable[[int], Iterable[ClaimedMessage]]
"""Takes a count, and returns at most so many of the next messages in the queue, in queue order."""
Put = Callable[[ClaimedMessage, Outcome], None]


class LocalQueue:
    """The messages that are claimed and not yet taken, and the idle delivery workers.

    The worker that went idle last is woken first: its connection was used last, and idle connections may close.
    """

    def __init__(self) -> None:
        self._messages: deque[ClaimedMessage] = deque()
        self._failed_over: deque[tuple[ClaimedMessage, int]] = deque()
        self._idle: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self._messages) + len(self._failed_over)

    def add(self, messages: Iterable[ClaimedMessage]) -> None:
        """Append messages, and wake as many workers as there is work for."""
        self._messages.extend(messages)
        for _ in range(min(len(self._messages), len(self._idle))):
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)

    def first(self, number: int) -> tuple[ClaimedMessage, int] | None:
        """Return the next message for provider ``number``, with the number of the first provider that may take it."""
        if self._failed_over and self._failed_over[0][1] <= number:
            return self._failed_over[0]
        return (self._messages[0], 0) if self._messages else None

    def first_provider(self) -> int:
        """Return the first provider that any of the messages may go to."""
        return 0 if self._messages or not self._failed_over else min(first for _, first in self._failed_over)

    def next(self, number: int = ANY_PROVIDER) -> ClaimedMessage | None:
        """Take the first message for provider ``number``, if there is one."""
        if self._failed_over and self._failed_over[0][1] <= number:
            return self._failed_over.popleft()[0]
        return self._messages.popleft() if self._messages else None

    def upcoming(self, count: int) -> Iterable[ClaimedMessage]:
        """Return so many of the messages that are next, without taking them."""
        return islice(self._messages, count)

    def fail_over(self, message: ClaimedMessage, first: int) -> None:
        """Put a message before the newly claimed ones. Only the provider ``first`` and those after it may take it."""
        self._failed_over.append((message, first))

    async def wait_for_message(self) -> None:
        """Return once there is a message to take."""
        while not self:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle


class MessagePreparer:
    """Decides whether a message can still be delivered, and renders it together with the messages that are next.

    To render several messages in a row costs less per message, because code and data are still in the CPU caches.
    Without it, a relay drained 0.84 times as many messages per second, with 1.2 times the CPU. All preparers of a relay
    share one set ``reported_keys``, so that each missing key is logged once.
    """

    def __init__(
        self, render: Render, upcoming: Upcoming, longest_hold: timedelta, reported_keys: set[str], pauses: Pauses
    ) -> None:
        self._pauses = pauses
        self._render = render
        self._upcoming = upcoming
        self._longest_hold = longest_hold
        self._reported_keys = reported_keys
        self._prerendered: dict[UUID, tuple[ClaimedMessage, bytes]] = {}

    def prepare(self, message: ClaimedMessage, now: float) -> RenderedMessage | Outcome:
        """Return the rendered message, or its outcome if it must not be delivered now."""
        if now >= message.expires_monotonic:
            return Dead(DeadReason.EXPIRED)
        if now + self._longest_hold.total_seconds() > message.lease_ends_monotonic:
            return RELEASED  # it might outlast the lease, and two relays would deliver it
        if self._pauses.includes(PauseKind.TEMPLATE, message.template):
            return RELEASED  # it was claimed before the pause
        return self._rendered(message, now)

    def _rendered(self, message: ClaimedMessage, now: float) -> RenderedMessage | Outcome:
        try:
            return RenderedMessage(message, self.content_of(message), now)
        except UnknownKeyError as error:
            if str(error) not in self._reported_keys:
                log.error("key missing", message_id=str(message.id))  # noqa: TRY400 - no trace wanted
            self._reported_keys.add(str(error))
            return for_missing_key(str(error))
        except RenderingError as error:
            cause = str(error)
        except Exception as error:
            # A bug that one message triggers must not stop other messages.
            log.exception("rendering failed", message_id=str(message.id))
            cause = f"rendering broke: {type(error).__name__}"
        return Dead(DeadReason.REJECTED, Failure(FailureClass.CONTENT, None, cause))

    def content_of(self, message: ClaimedMessage) -> bytes:
        """Return the content of the message. Exceptions while other messages are rendered in advance are not raised."""
        stored = self._prerendered.pop(message.id, None)
        # ``is``, not ``==``: after a second claim, an operator may have corrected the message.
        if stored and stored[0] is message:
            return stored[1]
        content = self._render(message)
        self._prerender()
        return content

    def _prerender(self) -> None:
        self._prerendered.clear()
        until = monotonic() + LONGEST_AHEAD_SECONDS
        with suppress(Exception):  # an error in a message is reported when that message is taken
            for message in self._upcoming(MOST_AHEAD):
                self._prerendered[message.id] = message, self._render(message)
                if monotonic() > until:
                    return


class ProviderMessageSource:
    """The messages that a session of one provider may take. Empty while the provider cannot take a message."""

    def __init__(
        self, number: int, *, pool: ProviderPool, queue: LocalQueue, preparer: MessagePreparer, put: Put
    ) -> None:
        self.provider = pool.providers[number]
        self._number = number
        self._pool = pool
        self._queue = queue
        self._preparer = preparer
        self._put = put
        self._share_ends = 0.0
        self._is_failure_counted = False
        self._delivery_duration = DELIVERY_DURATION.labels(self.provider.name)
        self._accept_latency = {channel: ACCEPT_LATENCY.labels(channel.value) for channel in CHANNELS}

    def has_work(self) -> bool:
        """Return whether there is a message for this provider that another worker may deliver."""
        return self._has_message() and self.provider.admits()

    async def deliver(self) -> None:
        """Deliver through one of the provider's sessions, then let other workers run.

        It ends when the provider may take no more messages, or when this worker's share of time is over.
        """
        self._share_ends = self.provider.clock() + SHARE_SECONDS
        self._is_failure_counted = False
        try:
            await self.provider.deliver(self)
        except ProviderDownError as error:
            if not self._is_failure_counted:
                self.provider.failed(error.failure)
        self._pool.sync_if_needed()
        self._pool.wake_workers()
        # Let the workers that wait for a session run first, so that one of them gets it.
        await asyncio.sleep(0)

    def take(self) -> RenderedMessage | None:
        """Return the next message that can be delivered.

        Messages that cannot be delivered now are settled and skipped.
        """
        while (
            self._has_message()
            and self.provider.may_take()
            and not self._is_share_over()
            and (message := self._queue.next(self._number))
        ):
            prepared = self._preparer.prepare(message, self.provider.clock())
            if isinstance(prepared, RenderedMessage):
                self.provider.submitting(message.id)
                self._is_failure_counted = False
                return prepared
            self._put(message, prepared)
        return None

    def report(self, rendered: RenderedMessage, result: DeliveryResult) -> None:
        """Turn the result of a delivery into the outcome of its message, and count it for the provider."""
        now = self.provider.clock()
        seconds = now - rendered.taken_monotonic
        self._delivery_duration.observe(seconds)
        if tracer := current_tracer():
            record_attempt(tracer, rendered, self.provider.name, result, seconds)
        self.provider.finished(rendered.message.id)
        if isinstance(result, Sent):
            self.provider.succeeded()
            latency = max(now - rendered.message.enqueued_monotonic, 0.0)
            self._accept_latency[rendered.message.channel].observe(latency)
            count_segments(rendered, result.provider)
            self._put(rendered.message, result)
        else:
            self._report_failure(rendered.message, result, now)

    def _report_failure(self, message: ClaimedMessage, reported: Failure, now: float) -> None:
        failure = attributed(reported, is_provider_healthy=self.provider.is_healthy())
        is_provider_failure = failure.kind is FailureClass.PROVIDER
        if failure is reported:
            if is_provider_failure or failure.maybe_accepted:
                # The failure is counted here. If the session then ends because of it, ProviderDownError must not count
                # it again.
                self._is_failure_counted = True
                self.provider.failed(failure)
            else:
                self.provider.succeeded()  # the failure concerns this message alone
        if is_provider_failure and not failure.maybe_accepted and self._pool.has_usable_after(self._number):
            self._queue.fail_over(message, self._number + 1)
            return
        seconds_left = message.expires_monotonic - now
        tries = Tries(message.attempt, message.max_attempts, seconds_left)
        schedule, jitter = schedule_for(message.template, message.channel), random.random()  # noqa: S311 - not a secret
        outcome = after_failure(schedule, tries, failure, jitter=jitter, breaker_remaining=self.provider.remaining())
        self._put(message, outcome)

    def _has_message(self) -> bool:
        first = self._queue.first(self._number)
        return first is not None and self._pool.is_for(self._number, *first)

    def _is_share_over(self) -> bool:
        return self._pool.is_awaited(besides=self._queue) and self.provider.clock() > self._share_ends
