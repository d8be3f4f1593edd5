"""Statements that one session runs over and over: sent and read without a cursor, in half as many steps.

A message on its own comes to a process that was asleep, and much of what it waits for is code that has left the
processor's caches. So here libpq is asked directly: a statement is prepared once, and what reads its answers stays.
"""

import asyncio
import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, abc
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult


def uuid_array(ids: Iterable[UUID]) -> str:
    """Write a PostgreSQL array of ids; psycopg, which looks at each for its type, takes six times as long."""
    return f"{{{','.join([one.hex for one in ids])}}}"


def text_array(texts: Iterable[str | None]) -> str:
    """Write a PostgreSQL array of texts, each in quotes (its manual, §8.15.6), likewise."""
    return f"{{{','.join(['null' if text is None else _quoted(text) for text in texts])}}}"


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


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


CANCEL_SECONDS = 5.0
"""How long the server may take to hear that it need not go on."""

_NAME = re.compile(r"%\((\w+)\)s")


class StatementResult(NamedTuple):
    """What came of a statement: its rows, whose fields have the columns' names, and how many it wrote or read."""

    rows: list[Any]
    rowcount: int


@dataclass(slots=True)
class _Known:
    """A statement as the session knows it, for parameters of these types."""

    name: bytes
    loading: abc.Transformer
    make_row: Callable[[Sequence[Any]], Any] | None = None

    def answer(self, result: PGresult) -> StatementResult:
        """Read the result; how its columns are read is found out once."""
        self.loading.set_pgresult(result, set_loaders=self.make_row is None)
        self.make_row = self.make_row or _row_maker(result)
        rows = self.loading.load_rows(0, result.ntuples, self.make_row)
        # Or the rows, with people's data, would be kept until the next answer.
        self.loading.set_pgresult(None, set_loaders=False)
        return StatementResult(rows, result.command_tuples or 0)


class Prepared:
    """The statements that a session has prepared, of which there are few, and nobody to share the session with."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self.wire = Wire(connection.pgconn)
        self._dumping = Transformer(connection)
        self._known: dict[tuple[str, tuple[int, ...]], _Known] = {}
        self._prepared = 0

    async def execute(self, statement: str, parameters: Mapping[str, Any]) -> StatementResult:
        """Run the statement, which has ``%(name)s`` for its parameters; raises psycopg's errors.

        Cancelled, it has the server break off and ends the connection, whose next answer would be this one's.
        """
        text, values, types, formats = self._dumped(statement, parameters)
        known = self._known.get((statement, types)) or await self._prepare(statement, text, types)
        self._connection.pgconn.send_query_prepared(known.name, values, formats, result_format=Format.BINARY)
        return known.answer(await self._result())

    def _dumped(
        self, statement: str, parameters: Mapping[str, Any]
    ) -> tuple[bytes, Sequence[abc.Buffer | None], tuple[int, ...], Sequence[Format]]:
        text, names = numbered(statement)
        dumping = self._dumping
        values = dumping.dump_sequence([parameters[name] for name in names], [PyFormat.AUTO] * len(names))
        return text, values, dumping.types or (), dumping.formats or ()

    async def _prepare(self, statement: str, text: bytes, types: tuple[int, ...]) -> _Known:
        self._prepared += 1
        known = _Known(b"signpost_%d" % self._prepared, Transformer(self._connection))
        self._connection.pgconn.send_prepare(known.name, text, types)
        await self._result()
        self._known[statement, types] = known
        return known

    async def _result(self) -> PGresult:
        try:
            result = await self.wire.result()
        except asyncio.CancelledError:
            await self._break_off()
            raise
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result)
        return result

    async def _break_off(self) -> None:
        """Tell the server, and close the connection; that it does not hear keeps nobody from being cancelled."""
        self.wire.leave()
        try:
            with suppress(psycopg.Error):
                await self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        finally:
            await self._connection.close()


@lru_cache(maxsize=64)
def numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the statement as PostgreSQL takes it, with ``$1`` for the first of its names, and the names in order."""
    names = tuple(dict.fromkeys(_NAME.findall(statement)))
    places = {name: f"${number}" for number, name in enumerate(names, start=1)}
    return _NAME.sub(lambda found: places[found[1]], statement).replace("%%", "%").encode(), names


def _row_maker(result: PGresult) -> Callable[[Sequence[Any]], Any]:
    names = [(result.fname(number) or b"").decode() for number in range(result.nfields)]
    row = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # noqa: PYI024 - the columns decide on the fields
    return row._make
