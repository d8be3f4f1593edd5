"""Moving windows in PostgreSQL, for the ``limits`` library: exact, atomic over all processes and hosts.

A hit is one upsert. It locks its row, so that of those who come at once each sees the hits before it, and
the moment is taken under the lock, so that moments come in the order of hits. A hit that is refused is not
kept: whoever goes on asking is let in again when the oldest hit leaves the window.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from limits.storage import Storage
from limits.storage.base import MovingWindowSupport
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

# In the order of keys, so that two requests with several limits in common cannot deadlock.
UPSERT = """
insert into rate_limits as kept (key, amount, period, hits, ends_at)
select key, amount, period, array[clock_timestamp()], clock_timestamp() + period
  from unnest(cast(:keys as text[]), cast(:amounts as integer[]), cast(:periods as interval[]),
              cast(:firsts as boolean[])) as asked (key, amount, period, is_first)
 where {which}
 order by key
on conflict (key) do update set (hits, is_admitted, ends_at) = (
    select case when cardinality(held) < excluded.amount then held || at else held end,
           cardinality(held) < excluded.amount,
           at + excluded.period
      from (select at, array(select hit from unnest(kept.hits) as hit where hit > at - excluded.period) as held
              from clock_timestamp() as at) as seen)
returning key, is_admitted, cardinality(hits) as held,
          extract(epoch from hits[1] + period - clock_timestamp())::float8 as seconds
"""

# The others are counted only once all that come first are known: each key stands in one of the two.
GATES = UPSERT.format(which="is_first")
OTHERS = UPSERT.format(which="not is_first and not exists (select from gates where not gates.is_admitted)")
HIT = text(
    f"with gates as ({GATES}), others as ({OTHERS}) select * from gates union all select * from others"  # noqa: S608 - all of it is ours
)

LOOK = text("""
select key, cardinality(held) as held, extract(epoch from held[1] + period - clock_timestamp())::float8 as seconds,
       extract(epoch from held[1])::float8 as began
  from (select key, period, array(select hit from unnest(hits) as hit where hit > clock_timestamp() - period) as held
          from rate_limits where key = any(cast(:keys as text[]))) as counted
""")

GIVE_BACK = text("""
update rate_limits set hits = trim_array(hits, least(1, cardinality(hits))) where key = any(cast(:keys as text[]))
""")

FORGET = text("update rate_limits set hits = '{}' where key = any(cast(:keys as text[]))")
FORGET_ALL = text("update rate_limits set hits = '{}'")


@dataclass(frozen=True)
class Ask:
    """One more hit of ``key``, of which ``amount`` are allowed in ``seconds``.

    One that ``is_first`` is a gate to all that are not: where it is refused, they are not counted at all.
    """

    key: str
    amount: int
    seconds: int
    is_first: bool = False


@dataclass(frozen=True)
class Told:
    """What became of it: how many are held now, and in how many seconds the oldest of them leaves."""

    is_admitted: bool
    held: int
    seconds: float


class PostgresStorage(Storage, MovingWindowSupport):
    """Keeps the moments of hits; the fixed windows of the library would let twice as many through at their seam."""

    STORAGE_SCHEME = None

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        # A statement is a transaction, and so one round trip. It writes nothing but this table, so that
        # its commit does not wait for the disk.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the library may wrap; left as it is, for a database that is away is answered as such."""
        return DBAPIError

    def hit(self, asks: Sequence[Ask], connection: Connection | None = None) -> dict[str, Told]:
        """Count them in one statement, on that connection or one of its own.

        Returns by key what came of it; what comes after a gate that refused is not there.
        """
        parameters = {
            "keys": [ask.key for ask in asks],
            "amounts": [ask.amount for ask in asks],
            "periods": [timedelta(seconds=ask.seconds) for ask in asks],
            "firsts": [ask.is_first for ask in asks],
        }
        rows = self._run(HIT, parameters, connection)
        return {row.key: Told(row.is_admitted, row.held, max(row.seconds, 0)) for row in rows}

    def look(self, keys: Sequence[str], connection: Connection | None = None) -> dict[str, Any]:
        """Return, by key, how many hits are held, and for how long the oldest of them will be."""
        return {row.key: row for row in self._run(LOOK, {"keys": list(keys)}, connection) if row.held}

    def give_back(self, keys: Sequence[str]) -> None:
        """Take one hit of each back."""
        self._change(GIVE_BACK, {"keys": list(keys)})

    def forget(self, keys: Sequence[str]) -> None:
        """Forget all hits of these."""
        self._change(FORGET, {"keys": list(keys)})

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a hit, as the library's own strategy asks for it."""
        if amount != 1:
            raise NotImplementedError
        return self.hit([Ask(key, limit, expiry)])[key].is_admitted

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002 - the library's signature
        """Return when the oldest hit was, in seconds since 1970 by the database's clock, and how many there are."""
        row = self.look([key]).get(key)
        return (row.began, row.held) if row else (0.0, 0)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Refuse: this is for windows that do not move."""
        raise NotImplementedError

    def get(self, key: str) -> int:
        """Return how many hits are held."""
        return self.get_moving_window(key, 0, 0)[1]

    def get_expiry(self, key: str) -> float:
        """Return when the oldest hit was."""
        return self.get_moving_window(key, 0, 0)[0]

    def check(self) -> bool:
        """Tell whether the table can be read."""
        self.look([])
        return True

    def reset(self) -> int | None:
        """Forget all hits of all."""
        self._change(FORGET_ALL, {})
        return None

    def clear(self, key: str) -> None:
        """Forget all hits of one."""
        self.forget([key])

    def _run(self, statement: Any, parameters: dict[str, Any], connection: Connection | None) -> Sequence[Any]:
        with nullcontext(connection) if connection else self._engine.connect() as given:
            return given.execute(statement, parameters).all()

    def _change(self, statement: Any, parameters: dict[str, Any]) -> None:
        with self._engine.connect() as connection:
            connection.execute(statement, parameters)
