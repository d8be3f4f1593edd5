"""Maintenance: partitions made ahead, old rows removed, by the relay that holds the leader lease.

Each call is one transaction of a database function, and does a bounded part of the work. A call that is interrupted
leaves no partial result, and the next round continues. If a relay loses the lease without noticing, two relays may run
the maintenance at the same time. This does no harm.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg

from outbox_relay.db.connection import RelayConnection, connect, under_settings
from outbox_relay.maintenance.digests import Digests
from outbox_relay.metrics import MAINTENANCE_DONE, PARTITIONS_AHEAD
from outbox_relay.settings import RelaySettings
from shared.db.errors import describe
from shared.log import get_logger

# The leader lease is a row, not an advisory lock: behind PgBouncer, clients share sessions, so a session lock would
# belong to no client.
ACQUIRE = """
update leader_lease set holder = %(holder)s, leased_until = now() + %(lease)s
 where holder = %(holder)s or leased_until <= now()
"""

WEEKS_AHEAD = 2
# How many days after today still have a partition. Messages after these days go to the default partition and are moved
# later.
AHEAD = f"""
select greatest(min(monday) - (now() at time zone 'UTC')::date - 1, 0)
  from generate_series(0, {WEEKS_AHEAD + 1}) as week,
       lateral (select date_trunc('week', now() at time zone 'UTC')::date + 7 * week as monday) as weeks
 where to_regclass('outbox_messages_' || to_char(monday, 'YYYYMMDD')) is null or week = {WEEKS_AHEAD + 1}
"""  # noqa: S608 - contains only constants
ROWS = 5000
TOKENS_DAYS = 1
"""How long to store the codes of resets and changes after they expire."""
NOTICES = 500
USERS = 500
"""Smaller than ROWS, because each user is searched for in all partitions."""
MOST_CALLS = 50
"""Calls of each step in a round, so that many old rows do not keep the other steps from running."""
REST_IN_ROUNDS = 5
"""A step that has no work left rests until the fifth round after it. Its partitions and rows can wait for days."""
LEASE_IN_ROUNDS = 3
SHORTEST_LEASE_SECONDS = 60
"""The lease is renewed between calls. A call takes at most 15 seconds (the statement timeout), so the lease does not
end during a call."""

CAUSES = {
    "55P03": "somebody has the table locked",
    "54000": "too many messages of that week are in the default partition",
    "23514": "a message of that week came meanwhile",
}
"""Why a partition is not made or dropped in this round, by SQLSTATE."""

log = get_logger("relay.maintenance")


@dataclass(frozen=True)
class Step:
    """A statement that does a part of the work and returns how much; ``full`` is when more may be left.

    A step that may not rest runs in each round, because people wait for its work.
    """

    what: str
    statement: str
    parameters: tuple[int, ...]
    full: int
    may_rest: bool = True


@dataclass(frozen=True)
class Done:
    """The result of a step in one round: how many rows or partitions it processed, and whether it failed."""

    what: str
    count: int
    has_failed: bool


def steps_for(settings: RelaySettings) -> list[Step]:
    """Return the steps of a round; rows that are kept forever need no step."""
    ahead, retention = (WEEKS_AHEAD,), settings.retention_days
    steps = [Step("partitions_made", "select signpost_make_partitions(%s)", ahead, full=WEEKS_AHEAD + 2)]
    if retention:
        steps += [
            Step("partitions_dropped", "select signpost_drop_partition(%s)", (retention,), full=1),
            _pruning("undropped_messages", retention, ROWS),
            _pruning("attempts", retention, ROWS),
            _pruning("reports", retention, ROWS),
        ]
    steps.append(_pruning("actions", settings.actions_retention_days, ROWS))
    steps.append(_pruning("tokens", TOKENS_DAYS, ROWS))
    steps += [
        Step(f"{what}_pruned", f"select signpost_prune_{what}(%s)", (ROWS,), ROWS)
        for what in (
            *("sessions", "idempotency_keys", "limits", "relays"),
            *("seen_clients", "security_events", "wrong_passwords"),
            *("unmatched_reports", "suppressions"),
        )
    ]
    notices = "select signpost_enqueue_notices(%s)"
    steps.append(Step("notices_enqueued", notices, (NOTICES,), NOTICES, may_rest=False))
    if settings.pending_users_days:
        # The order matters: an organization can be removed only after its founder.
        steps += [_pruning(what, settings.pending_users_days, USERS) for what in ("users", "organizations")]
    return steps


def _pruning(what: str, kept_days: int, batch: int) -> Step:
    return Step(f"{what}_pruned", f"select signpost_prune_{what}(%s, %s)", (kept_days, batch), full=batch)


class WarnOnce:
    """Logs each warning once, and again only after a round without it."""

    def __init__(self) -> None:
        self._before: set[Any] = set()
        self._now: set[Any] = set()

    def warn(self, event: str, **fields: Any) -> None:
        """Log it, unless the last round had the same warning."""
        warning = (event, *sorted(fields.items()))
        if warning not in self._before | self._now:
            log.warning(event, **fields)
        self._now.add(warning)

    def end_round(self) -> None:
        """Forget warnings that did not occur again."""
        self._before, self._now = self._now, set()


class Maintenance:
    """Runs the maintenance while this relay is the leader.

    ``holder`` stays the same for the life of the process. With a new value after a reload, the relay would have to wait
    until its own lease ends.
    """

    def __init__(self, settings: RelaySettings, holder: UUID) -> None:
        self._url = settings.database_url
        self._steps = steps_for(settings)
        self._digests = Digests(settings)
        seconds = max(LEASE_IN_ROUNDS * settings.maintenance_seconds, SHORTEST_LEASE_SECONDS)
        self._claim = {"holder": holder, "lease": timedelta(seconds=seconds)}
        self._is_holder = False
        self._resting: Counter[str] = Counter()
        self._times_postponed = 0
        self._warnings = WarnOnce()

    @property
    def is_leader(self) -> bool:
        """Whether this relay held the leader lease when it last looked."""
        return self._is_holder

    async def run_round(self) -> None:
        """Run all steps if this relay is or becomes the leader. The next round repeats a step that fails.

        It uses a separate connection, so that it delays neither claims nor settlements.
        """
        try:
            async with await connect(self._url, "maintenance") as connection:
                connection.add_notice_handler(self._record_postponed)
                if await self._acquire(connection):
                    await self._do_all(connection)
        except psycopg.Error as error:
            self._warnings.warn("maintenance failed", work="connecting", **describe(error))
        await self._digests.post()
        self._warnings.end_round()

    async def _acquire(self, connection: RelayConnection) -> bool:
        was_holder = self._is_holder
        async with under_settings(connection):
            self._is_holder = (await connection.execute(ACQUIRE, self._claim)).rowcount == 1
        if self._is_holder and not was_holder:
            self._resting.clear()
            log.info("maintenance leadership acquired")
        elif was_holder and not self._is_holder:
            log.info("maintenance leadership lost")
        if not self._is_holder:
            MAINTENANCE_DONE.set(0)
            PARTITIONS_AHEAD.set(0)
        return self._is_holder

    async def _do_all(self, connection: RelayConnection) -> None:
        done = [await self._do(step, connection) for step in self._steps if not self._is_resting(step)]
        if counts := {one.what: one.count for one in done if one.count}:
            log.info("maintenance done", **counts)
        if not self._is_holder:
            return
        has_looked = await self._refresh(connection)
        if has_looked and not any(one.has_failed for one in done):
            MAINTENANCE_DONE.set_to_current_time()

    def _is_resting(self, step: Step) -> bool:
        """Return whether the step is skipped in this round, and count that."""
        if not self._resting[step.what]:
            return False
        self._resting[step.what] -= 1
        return True

    async def _refresh(self, connection: RelayConnection) -> bool:
        """Set the gauge of partitions and enqueue digests for operators; return False if that failed."""
        try:
            PARTITIONS_AHEAD.set(await _number(connection, AHEAD))
            await self._digests.gather(connection)
        except psycopg.Error as error:
            if connection.broken:
                raise
            self._warnings.warn("maintenance failed", work="operator digest", **describe(error))
            return False
        return True

    async def _do(self, step: Step, connection: RelayConnection) -> Done:
        """Repeat the step until no work is left. If it fails, the other steps still run."""
        total, put_off_before = 0, self._times_postponed
        try:
            for _ in range(MOST_CALLS):
                if not await self._acquire(connection):
                    break
                count = await _number(connection, step.statement, step.parameters)
                total += count
                if count < step.full:
                    is_put_off = self._times_postponed > put_off_before
                    self._resting[step.what] = 0 if is_put_off or not step.may_rest else REST_IN_ROUNDS - 1
                    break
        except psycopg.Error as error:
            if connection.broken:
                raise
            self._warnings.warn("maintenance failed", work=step.what, **describe(error))
            return Done(step.what, total, has_failed=True)
        return Done(step.what, total, has_failed=False)

    def _record_postponed(self, notice: psycopg.errors.Diagnostic) -> None:
        self._times_postponed += 1
        cause = CAUSES.get(notice.sqlstate or "")
        self._warnings.warn("maintenance postponed", partition=notice.table_name, sqlstate=notice.sqlstate, cause=cause)


async def _number(connection: RelayConnection, statement: str, parameters: tuple[int, ...] = ()) -> int:
    async with under_settings(connection):
        row = await (await connection.execute(statement, parameters)).fetchone()
    return int(row[0]) if row else 0
