"""Statements that one session runs over and over: sent and read without a cursor, in half as many steps.

A message on its own comes to a process that was asleep, and much of what it waits for is code that has left the
processor's caches. So here libpq is asked directly: a statement is prepared once, and what reads its answers stays.
"""

import asyncio
import re
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection, abc
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

CANCEL_SECONDS = 5.0
_NAME = re.compile(r"%\((\w+)\)s")


class Answer(NamedTuple):
    """What came of a statement: its rows, whose fields have the columns' names, and how many it wrote or read."""

    rows: list[Any]
    rowcount: int


@dataclass(slots=True)
class _Kept:
    """A statement as the session knows it, for parameters of these types."""

    name: bytes
    loading: abc.Transformer
    make_row: Callable[[Sequence[Any]], Any] | None = None

    def answer(self, result: PGresult) -> Answer:
        """Read the result; how its columns are read is found out once."""
        self.loading.set_pgresult(result, set_loaders=self.make_row is None)
        self.make_row = self.make_row or _row_maker(result)
        return Answer(self.loading.load_rows(0, result.ntuples, self.make_row), result.command_tuples or 0)


class Prepared:
    """What one session has prepared. It answers one statement at a time, in autocommit.

    The reader that waits for answers stays where it is until somebody else wants to read; then ``leave`` is called.
    """

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = asyncio.get_running_loop()
        self._dumping = Transformer(connection)
        self._kept: dict[tuple[str, tuple[int, ...]], _Kept] = {}
        self._results: list[PGresult] = []
        self._answered: asyncio.Future[None] | None = None
        self._reading_from: int | None = None

    async def ask(self, statement: str, parameters: Mapping[str, Any]) -> Answer:
        """Run the statement, which has ``%(name)s`` for its parameters; raises psycopg's errors.

        Cancelled, it has the server break off and ends the connection, whose next answer would be this one's.
        """
        text, names = numbered(statement)
        dumping = self._dumping
        values = dumping.dump_sequence([parameters[name] for name in names], [PyFormat.AUTO] * len(names))
        types, formats = dumping.types or (), dumping.formats
        kept = self._kept.get((statement, types)) or await self._keep(statement, text, types)
        self._pgconn.send_query_prepared(kept.name, values, formats, result_format=Format.BINARY)
        return kept.answer(await self._result())

    async def _keep(self, statement: str, text: bytes, types: tuple[int, ...]) -> _Kept:
        kept = _Kept(b"signpost_%d" % len(self._kept), Transformer(self._connection))
        self._pgconn.send_prepare(kept.name, text, types)
        await self._result()
        self._kept[statement, types] = kept
        return kept

    async def _result(self) -> PGresult:
        """Return the one result of what was just sent."""
        self._answered = self._loop.create_future()
        try:
            self._read_from_here_on()
            while self._pgconn.flush():
                await self._writable()
            await self._answered
        except asyncio.CancelledError:
            await self._break_off()
            raise
        result, self._results = self._results[-1], []
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result)
        return result

    def _read_from_here_on(self) -> None:
        if self._reading_from is None:
            self._reading_from = self._pgconn.socket
            self._loop.add_reader(self._reading_from, self._read)

    def leave(self) -> None:
        """Read no more until something is asked: somebody else will, or the socket is about to be closed."""
        if self._reading_from is not None:  # not the connection's socket: it has none any more once it is lost
            self._loop.remove_reader(self._reading_from)
            self._reading_from = None

    def _read(self) -> None:
        """Take what has come in; also runs when the server says something unasked, such as that it goes away."""
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    self._end(None)
                    return
                self._results.append(result)
        except psycopg.Error as error:
            self.leave()
            self._end(error)

    def _end(self, error: psycopg.Error | None) -> None:
        waiting, self._answered = self._answered, None
        if waiting is None or waiting.done():
            return
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)

    async def _writable(self) -> None:
        """Return once the socket takes more. What comes in meanwhile is read, so that the server reads on, too."""
        writable = self._loop.create_future()
        self._loop.add_writer(self._pgconn.socket, writable.set_result, None)
        try:
            await writable
        finally:
            self._loop.remove_writer(self._pgconn.socket)

    async def _break_off(self) -> None:
        self.leave()
        try:
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
    row = namedtuple("Row", names)  # type: ignore[misc]  # noqa: PYI024 - the columns decide on the fields
    return row._make
