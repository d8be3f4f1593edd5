"""Hearing from the relays which messages have settled, so that whoever waits need not keep asking the database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
from psycopg import sql

from api_service.background import Background
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
