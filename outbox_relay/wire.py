"""The way to the database and back, for one statement after the other, watched by callbacks that stay."""

import asyncio
from contextlib import suppress

import psycopg
from psycopg.pq.abc import PGconn, PGresult


class Wire:
    """Waits for the result of what libpq was given to send; as libpq's manual has it (PostgreSQL 18, §32.4)."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._loop = asyncio.get_running_loop()
        self._watched: int | None = None
        self._result: PGresult | None = None
        self._answered: asyncio.Future[PGresult] | None = None

    async def result(self) -> PGresult:
        """Return the one result of what was just sent, good or bad; raises OperationalError once the way is lost."""
        self._answered = self._loop.create_future()
        socket = self._watch()
        if self._pgconn.flush():
            self._loop.add_writer(socket, self._write)
        return await self._answered

    def leave(self) -> None:
        """Watch no more until something is sent: somebody else will, or the connection is about to be closed."""
        socket, self._watched = self._watched, None
        if socket is None:
            return
        # By its number, since a lost connection has none; and the number may be nobody's by now.
        for remove in (self._loop.remove_writer, self._loop.remove_reader):
            with suppress(OSError):
                remove(socket)

    def lose(self, error: psycopg.Error) -> None:
        """Tell who waits that no result will come, unless one has: with it a server that goes away says why."""
        self._end(error)
        self.leave()

    def _watch(self) -> int:
        if self._watched is None:
            self._watched = self._pgconn.socket
            self._loop.add_reader(self._watched, self._read)
        return self._watched

    def _read(self) -> None:
        """Take what has come in; also runs when the server says something unasked, such as that it goes away."""
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    self._end()
                    return
                self._result = result
        except psycopg.Error as error:
            self.lose(error)

    def _write(self) -> None:
        """Send more, once the socket takes it. What comes in is read meanwhile, so that the server reads on, too."""
        try:
            if not self._pgconn.flush() and self._watched is not None:
                self._loop.remove_writer(self._watched)
        except psycopg.Error as error:
            self.lose(error)

    def _end(self, error: psycopg.Error | None = None) -> None:
        answered, self._answered = self._answered, None
        result, self._result = self._result, None
        if answered is None or answered.done():
            return
        if result is not None:
            answered.set_result(result)
        elif error is not None:
            answered.set_exception(error)
