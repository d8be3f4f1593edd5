"""Moving windows in PostgreSQL: exact, atomic over all processes and hosts.

A hit is one upsert. It locks its row, so that of those who come at once each sees the hits before it, and
the moment is taken under the lock, so that moments come in the order of hits. A hit that is refused is not
kept: whoever goes on asking is let in again when the oldest hit leaves the window.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

# In the order of keys, so that two requests with several limits in common cannot deadlock. The table is named in full:
# in a session that a pooler lends, a statement without a transaction is under no settings of ours.
UPSERT = """
insert into public.rate_limits as kept (key, amount, period, hits, ends_at)
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
select key, cardinality(held) as held, extract(epoch from held[1] + period - clock_timestamp())::float8 as seconds
  from (select key, period, array(select hit from unnest(hits) as hit where hit > clock_timestamp() - period) as held
          from public.rate_limits where key = any(cast(:keys as text[]))) as counted
""")

# Locked in the order in which a hit locks them, gates first: an update alone takes rows as it comes across them.
GIVE_BACK = text("""
with held as (
    select key from public.rate_limits as kept
      join unnest(cast(:keys as text[]), cast(:firsts as boolean[])) as asked (key, is_first) using (key)
     order by not is_first, key for no key update of kept)
update public.rate_limits as kept set hits = trim_array(hits, least(1, cardinality(hits)))
  from held where kept.key = held.key
""")


@dataclass(frozen=True)
class Ask:
    """One more hit of ``key``, of which ``amount`` are allowed in ``seconds``.

    One that ``is_first`` is a gate to all that are not: where it is refused, they are not counted at all.
    """

    key: str
    amount: int
    seconds: int
    is_first: bool


@dataclass(frozen=True)
class Held:
    """How many hits of a key are held, and in how many seconds the oldest of them leaves."""

    count: int
    seconds: float


@dataclass(frozen=True)
class Told(Held):
    """What became of one more hit: whether it was admitted, and what is held now."""

    is_admitted: bool


class Hits:
    """Keeps the moments of hits; the fixed windows of a counter would let twice as many through at their seam."""

    def __init__(self, engine: Engine) -> None:
        # A statement is a transaction, and so one round trip. It writes nothing but this table, so that
        # its commit does not wait for the disk.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    def add(self, asks: Sequence[Ask], connection: Connection | None = None) -> dict[str, Told]:
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
        return {row.key: Told(row.held, max(row.seconds, 0), row.is_admitted) for row in rows}

    def look(self, keys: Sequence[str], connection: Connection | None = None) -> dict[str, Held]:
        """Return by key what is held of it; what is not there has no hits."""
        rows = self._run(LOOK, {"keys": list(keys)}, connection)
        return {row.key: Held(row.held, row.seconds) for row in rows if row.held}

    def give_back(self, asks: Sequence[Ask]) -> None:
        """Take one hit of each back."""
        parameters = {"keys": [ask.key for ask in asks], "firsts": [ask.is_first for ask in asks]}
        with self._engine.connect() as connection:
            connection.execute(GIVE_BACK, parameters)

    def _run(self, statement: Any, parameters: dict[str, Any], connection: Connection | None) -> Sequence[Any]:
        with nullcontext(connection) if connection else self._engine.connect() as given:
            return given.execute(statement, parameters).all()
