"""Prepared statements that one session repeats, sent through libpq without psycopg's cursor.

A single message wakes a process that was idle, and much of its latency is code that has left the processor's caches.
This takes half as many steps: a statement is prepared once, and the loaders of its results are reused.
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
    """Return ids as a PostgreSQL array; psycopg, which inspects the type of each, takes six times as long."""
    return f"{{{','.join([one.hex for one in ids])}}}"


def text_array(texts: Iterable[str | None]) -> str:
    """Return texts as a PostgreSQL array, each in quotes (its manual, §8.15.6)."""
    return f"{{{','.join(['null' if text is None else _quoted(text) for text in texts])}}}"


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


class Wire:
    """Waits for the results of statements sent through libpq, with callbacks that stay (PostgreSQL 18, §32.4)."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._loop = asyncio.get_running_loop()
        self._watched: int | None = None
        self._result: PGresult | None = None
        self._waiter: asyncio.Future[PGresult] | None = None

    async def result(self) -> PGresult:
        """Return the result of the statement just sent, or its error; raises OperationalError on a lost connection."""
        self._waiter = self._loop.create_future()
        socket = self._watch()
        if self._pgconn.flush():
            self._loop.add_writer(socket, self._write)
        return await self._waiter

    def leave(self) -> None:
        """Stop watching the socket until the next statement: psycopg takes over, or the connection is closing."""
        socket, self._watched = self._watched, None
        if socket is None:
            return
        # By its number, since a lost connection has no socket; the number may be unused by now.
        for remove in (self._loop.remove_writer, self._loop.remove_reader):
            with suppress(OSError):
                remove(socket)

    def lose(self, error: psycopg.Error) -> None:
        """Fail the statement that waits, unless a result has come: with it a server that shuts down says why."""
        self._end(error)
        self.leave()

    def _watch(self) -> int:
        if self._watched is None:
            self._watched = self._pgconn.socket
            self._loop.add_reader(self._watched, self._read)
        return self._watched

    def _read(self) -> None:
        """Read what has arrived; also runs for messages without a request, such as that the server shuts down."""
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
        """Send more when the socket is writable. Results are read meanwhile, so that the server reads on, too."""
        try:
            if not self._pgconn.flush() and self._watched is not None:
                self._loop.remove_writer(self._watched)
        except psycopg.Error as error:
            self.lose(error)

    def _end(self, error: psycopg.Error | None = None) -> None:
        waiter, self._waiter = self._waiter, None
        result, self._result = self._result, None
        if waiter is None or waiter.done():
            return
        if result is not None:
            waiter.set_result(result)
        elif error is not None:
            waiter.set_exception(error)


CANCEL_SECONDS = 5.0
"""How long cancelling a statement may take."""

_NAME = re.compile(r"%\((\w+)\)s")


class StatementResult(NamedTuple):
    """The result of a statement: rows with the columns as fields, and how many rows it wrote or read."""

    rows: list[Any]
    rowcount: int


@dataclass(slots=True)
class _Prepared:
    """A statement prepared in the session, for parameters of certain types."""

    name: bytes
    loading: abc.Transformer
    make_row: Callable[[Sequence[Any]], Any] | None = None

    def load(self, result: PGresult) -> StatementResult:
        """Load the result; the loaders of its columns are looked up once."""
        self.loading.set_pgresult(result, set_loaders=self.make_row is None)
        self.make_row = self.make_row or _row_maker(result)
        rows = self.loading.load_rows(0, result.ntuples, self.make_row)
        # Otherwise the rows, with personal data, would stay in memory until the next result.
        self.loading.set_pgresult(None, set_loaders=False)
        return StatementResult(rows, result.command_tuples or 0)


class PreparedStatements:
    """The statements prepared in a session that this process does not share."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self.wire = Wire(connection.pgconn)
        self._dumping = Transformer(connection)
        self._known: dict[tuple[str, tuple[int, ...]], _Prepared] = {}
        self._prepared = 0

    async def execute(self, statement: str, parameters: Mapping[str, Any]) -> StatementResult:
        """Run the statement, with ``%(name)s`` for its parameters; raises psycopg's errors.

        On cancellation it cancels the statement and closes the connection, whose next result would be this one's.
        """
        text, values, types, formats = self._dumped(statement, parameters)
        known = self._known.get((statement, types)) or await self._prepare(statement, text, types)
        self._connection.pgconn.send_query_prepared(known.name, values, formats, result_format=Format.BINARY)
        return known.load(await self._result())

    def _dumped(
        self, statement: str, parameters: Mapping[str, Any]
    ) -> tuple[bytes, Sequence[abc.Buffer | None], tuple[int, ...], Sequence[Format]]:
        text, names = numbered(statement)
        dumping = self._dumping
        values = dumping.dump_sequence([parameters[name] for name in names], [PyFormat.AUTO] * len(names))
        return text, values, dumping.types or (), dumping.formats or ()

    async def _prepare(self, statement: str, text: bytes, types: tuple[int, ...]) -> _Prepared:
        self._prepared += 1
        known = _Prepared(b"signpost_%d" % self._prepared, Transformer(self._connection))
        self._connection.pgconn.send_prepare(known.name, text, types)
        await self._result()
        self._known[statement, types] = known
        return known

    async def _result(self) -> PGresult:
        try:
            result = await self.wire.result()
        except asyncio.CancelledError:
            await self._cancel()
            raise
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result)
        return result

    async def _cancel(self) -> None:
        """Cancel the statement and close the connection, even if the server does not respond."""
        self.wire.leave()
        try:
            with suppress(psycopg.Error):
                await self._connection.cancel_safe(timeout=CANCEL_SECONDS)
        finally:
            await self._connection.close()


@lru_cache(maxsize=64)
def numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the statement with ``$1`` for the first of its names, as PostgreSQL takes it, and the names in order."""
    names = tuple(dict.fromkeys(_NAME.findall(statement)))
    places = {name: f"${number}" for number, name in enumerate(names, start=1)}
    return _NAME.sub(lambda found: places[found[1]], statement).replace("%%", "%").encode(), names


def _row_maker(result: PGresult) -> Callable[[Sequence[Any]], Any]:
    names = [(result.fname(number) or b"").decode() for number in range(result.nfields)]
    row = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # noqa: PYI024 - the columns decide on the fields
    return row._make
