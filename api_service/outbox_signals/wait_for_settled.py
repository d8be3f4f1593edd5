"""Hearing from the relays which messages have settled, so that whoever waits need not keep asking the database."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from uuid import UUID

import psycopg
from psycopg import sql

from api_service.outbox_signals.background import Background
from shared.log import get_logger
from shared.outage import Outage
from shared.sessions import SET_IN_OWN_SESSION, own_session_parameters
from shared.vocabulary import SETTLED_CHANNEL

log = get_logger("api.settled")

LISTEN = sql.SQL("listen {}").format(sql.Identifier(SETTLED_CHANNEL))
LOOK_UP_SECONDS = 0.5
"""How soon the thread notices that it is to end."""


class Bell:
    """One request's: rings when the message settles that it waits for."""

    def __init__(self) -> None:
        self.message_id: UUID | None = None
        self._rung = threading.Event()

    def wait(self, seconds: float) -> None:
        """Return when it has rung since the last wait, or the time is up."""
        self._rung.wait(seconds)
        self._rung.clear()

    def ring(self) -> None:
        """End the present or the next wait."""
        self._rung.set()


class Bells:
    """All bells of the process. While ``is_fed`` is false nobody rings them: those who wait look themselves."""

    def __init__(self) -> None:
        self.is_fed = False
        self._bells: set[Bell] = set()
        self._door = threading.Lock()

    @contextmanager
    def bell(self) -> Iterator[Bell]:
        """Hang a bell up for the length of the block."""
        bell = Bell()
        with self._door:
            self._bells.add(bell)
        try:
            yield bell
        finally:
            with self._door:
                self._bells.discard(bell)

    def ring(self, settled: set[UUID]) -> None:
        """Ring for these messages."""
        for bell in self._hanging():
            if bell.message_id in settled:
                bell.ring()

    def feed(self, *, is_fed: bool) -> None:
        """Note whether the relays are heard from now on, and have everyone look: what came before was missed."""
        self.is_fed = is_fed
        for bell in self._hanging():
            bell.ring()

    def _hanging(self) -> list[Bell]:
        # A handful: there are no more of them than seats in the waiting room.
        with self._door:
            return list(self._bells)


class SettledListener(Background):
    """Rings the bells from a thread and a connection of its own: one, from the first waiting request on.

    Behind a pooler, which passes no notifications on, and while the database is away nobody is rung for.
    """

    name = "settled"

    def __init__(self, database_url: str, bells: Bells) -> None:
        super().__init__(database_url, Outage(log, "listen"))
        self.bells = bells

    def work(self) -> None:
        """Listen, and ring; returns at once, and says so, where listening is of no use."""
        with self.connect() as connection:
            if not _has_own_session(connection):
                log.warning("waiting requests look themselves", reason="a pooler passes no notifications on")
                return
            connection.execute(LISTEN)
            self._outage.end()
            self.bells.feed(is_fed=True)
            while not self._is_closing.is_set():
                for notification in connection.notifies(timeout=LOOK_UP_SECONDS):
                    self.bells.ring(ids_in(notification.payload))

    def lost(self) -> None:
        """Have those who wait look themselves."""
        self.bells.feed(is_fed=False)


def ids_in(payload: str) -> set[UUID]:
    """Read the ids of messages out of a notification; whoever may connect may notify, so anything can be in it."""
    ids = set()
    for word in payload.split(","):
        try:
            ids.add(UUID(word))
        except ValueError:
            continue
    return ids


def _has_own_session(connection: psycopg.Connection) -> bool:
    # Whether something can be set for good tells it, be it what all sessions need.
    parameters = own_session_parameters({}, connection.info.backend_pid)
    return connection.execute(SET_IN_OWN_SESSION, parameters).rowcount > 0


LONGEST_WAIT_SECONDS = 20
FIRST_LOOK_SECONDS = 0.025
LONGEST_LOOK_SECONDS = 0.25
LISTENING_LOOK_SECONDS = 2.0
"""Between looks while the relays are heard: for what they could not tell, or what a crash swallowed."""

# One preference of a list. A comma in a quoted string does not end it, not even if the quote never ends.
_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+')
# Its zeros are not taken apart here: where two parts may take the same character, a long header takes seconds.
_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]+)"?\s*(?:;.*)?', re.IGNORECASE)


def preferred_seconds(header: str | None) -> int:
    """Read how long the client would wait (RFC 7240 §4.3), up to what we allow; 0 if it says nothing."""
    for preference in _PREFERENCE.findall(header or ""):
        if found := _WAIT.fullmatch(preference):
            return _at_most(LONGEST_WAIT_SECONDS, digits=found[1])
    return 0


def _at_most(longest: int, *, digits: str) -> int:
    # Python refuses to read numbers of thousands of digits.
    digits = digits.lstrip("0")
    return longest if len(digits) > len(str(longest)) else min(int(digits or 0), longest)


class WaitingRoom:
    """Seats for requests that wait: at most half of the threads, so that the other half goes on serving."""

    def __init__(self, threads: int, bells: Bells) -> None:
        self.seats = threads // 2
        self.taken = 0
        self._door = Lock()
        self._bells = bells

    def wait_until_settled(self, unsettled: Callable[[], UUID | None], seconds: int) -> bool:
        """Wait until ``unsettled`` names no message any more, for so many seconds at most.

        Returns False, at once, if no seat is free. What ``unsettled`` raises ends the waiting.
        """
        if not self._has_taken_seat():
            return False
        try:
            self._look_until(unsettled, time.monotonic() + seconds)
        finally:
            self._leave()
        return True

    def _look_until(self, unsettled: Callable[[], UUID | None], deadline: float) -> None:
        pause = FIRST_LOOK_SECONDS
        with self._bells.bell() as bell:
            while (message_id := unsettled()) and (left := deadline - time.monotonic()) > 0:
                if bell.message_id != message_id:
                    # Looked at once more before the first wait: it may have settled just before the bell was set.
                    bell.message_id = message_id
                    continue
                bell.wait(min(LISTENING_LOOK_SECONDS if self._bells.is_fed else pause, left))
                pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)

    def _has_taken_seat(self) -> bool:
        with self._door:
            is_free = self.taken < self.seats
            self.taken += is_free
        return is_free

    def _leave(self) -> None:
        with self._door:
            self.taken -= 1
