"""The guarantees that hold under chaos: no committed message is lost, and each copy has a reason.

A ledger records the committed and rolled-back messages, and those in flight at each kill or cut.
``conserved`` compares the outbox and the mail server's counts with it.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from shared.db.engine import create_database_engine
from shared.enqueue import NewMessage, enqueue
from shared.templates import Template
from shared.vocabulary import Channel, DeadReason, Locale, Status
from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.keys import KEY_ID
from tests.support.mail_sink import MailSink
from tests.support.outbox import Outbox

DOMAIN = "@signpost.example"
LEASES_BEFORE_POISON = 5
TRANSACTION_SIZE = 20

# A row keeps its lease token until the next claim or settlement, so expired leases count as well.
IN_FLIGHT = "select id from outbox_messages where status = 'pending' and lease_token is not null"

UNCLAIMED = "select id from outbox_messages where status = 'pending' and lease_token is null"
CLAIMS_LOST_IN_A_CRASH = 20
"""The most claims that one crash of the database may lose.

A claim of a single message does not wait for the disk. PostgreSQL writes it within three times ``wal_writer_delay``,
which is 0.6 s, and the tests enqueue fewer than 20 single messages in that time.
"""


@dataclass
class Ledger:
    """The messages that clients saw confirmed, and the disturbances that the test caused."""

    database: Database
    committed: set[UUID] = field(default_factory=set)
    rolled_back: set[UUID] = field(default_factory=set)
    uncertain: set[UUID] = field(default_factory=set)
    may_be_copied: Counter[UUID] = field(default_factory=Counter)
    perhaps_unclaimed: set[UUID] = field(default_factory=set)
    disturbances: int = 0
    crashes: int = 0

    def enqueue(self, count: int, *, rolled_back: int = 0) -> None:
        """Enqueue as the API does, under its role. Then enqueue ``rolled_back`` messages and roll them back."""
        with self._session() as session:
            for begin in range(0, count, TRANSACTION_SIZE):
                size = min(TRANSACTION_SIZE, count - begin)
                eventually(lambda size=size: self._is_committed(session, size), seconds=60)
            if rolled_back:
                eventually(lambda: self._is_rolled_back(session, rolled_back), seconds=60)

    def registered(self, registration_ids: list[UUID]) -> None:
        """Record the messages of registrations that the API confirmed."""
        with self.database.connect() as connection:
            found = connection.execute("select id from outbox_messages where user_id = any(%s)", [registration_ids])
            messages = {message_id for (message_id,) in found}
        assert len(messages) == len(registration_ids)
        self.committed |= messages

    def note_disturbance(self) -> int:
        """Record that each message now in flight may arrive once more, and return their number."""
        in_flight = [message_id for (message_id,) in Outbox(self.database).execute(IN_FLIGHT)]
        self.may_be_copied.update(in_flight)
        self.disturbances += 1
        return len(in_flight)

    def note_crash(self) -> None:
        """Record a disturbance, after the database crashed: it may have lost claims of single messages."""
        self.note_disturbance()
        self.perhaps_unclaimed |= {message_id for (message_id,) in Outbox(self.database).execute(UNCLAIMED)}
        self.crashes += 1

    def _is_committed(self, session: Session, count: int) -> bool:
        """Commit some messages. If the database stops during the commit, the result is uncertain."""
        messages: set[UUID] = set()
        try:
            messages = added(session, count)
            session.commit()
        except DBAPIError:
            session.invalidate()
            self.uncertain |= messages
            return False
        self.committed |= messages
        return True

    def _is_rolled_back(self, session: Session, count: int) -> bool:
        try:
            self.rolled_back |= added(session, count)
            session.rollback()
        except DBAPIError:
            session.invalidate()
            return False
        return True

    @contextmanager
    def _session(self) -> Iterator[Session]:
        engine = create_database_engine(self.database.api_url, application_name="signpost-api", pool_size=1)
        try:
            with Session(engine) as session:
                yield session
        finally:
            engine.dispose()


@dataclass(frozen=True)
class Tally:
    """Counts of messages by outcome. ``poisoned`` messages killed several processes and do not count in ``dead``."""

    sent: int
    dead: int
    pending: int
    poisoned: int
    copies: int


def added(session: Session, count: int) -> set[UUID]:
    """Add messages to the session's transaction, each with another recipient."""
    return {enqueue(session, a_new_message()).id for _ in range(count)}


def a_new_message() -> NewMessage:
    return NewMessage(
        template=Template("activation"),
        channel=Channel.EMAIL,
        recipient=f"{uuid4().hex}@example.org",
        locale=Locale.EN,
        payload={"name": "Ada", "key_id": KEY_ID},
        token_id=uuid4(),
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )


def conserved(ledger: Ledger, sink: MailSink) -> Tally:
    """Check all guarantees, and return the counts."""
    rows = {row[0]: row[1:] for row in Outbox(ledger.database).execute(STANDING)}
    delivered = {UUID(message_id.removesuffix(DOMAIN)): count for message_id, count in sink.arrived.items()}
    assert_none_lost_or_invented(ledger, set(rows), set(delivered))
    statuses = Counter(status for status, *_ in rows.values())
    assert statuses.total() == sum(statuses[status.value] for status in Status)
    unsent = {message_id for message_id, (status, *_) in rows.items() if status == Status.SENT} - delivered.keys()
    assert not unsent, f"{len(unsent)} are marked sent and never arrived"
    assert_each_copy_has_a_reason(ledger, sink, delivered)
    poisoned = sum(is_poisoned(*standing) for standing in rows.values())
    return Tally(
        sent=statuses[Status.SENT],
        dead=statuses[Status.DEAD] - poisoned,
        pending=statuses[Status.PENDING],
        poisoned=poisoned,
        copies=sum(delivered.values()) - len(delivered),
    )


STANDING = "select id, status, dead_reason, lost_leases from outbox_messages"


def assert_none_lost_or_invented(ledger: Ledger, stored: set[UUID], delivered: set[UUID]) -> None:
    assert not ledger.committed - stored, "a committed message is missing"
    assert not stored - ledger.committed - ledger.uncertain, "a message exists that no transaction committed"
    assert not ledger.rolled_back & (stored | delivered), "a message of a rolled-back transaction exists"
    assert not delivered - stored, "a message was delivered that was never committed"


def assert_each_copy_has_a_reason(ledger: Ledger, sink: MailSink, delivered: dict[UUID, int]) -> None:
    unexplained = {
        message_id for message_id, count in delivered.items() if count - 1 > ledger.may_be_copied[message_id]
    }
    lost_claims = unexplained & ledger.perhaps_unclaimed
    assert len(lost_claims) <= ledger.crashes * CLAIMS_LOST_IN_A_CRASH
    unexplained -= lost_claims
    assert not unexplained, f"{len(unexplained)} arrived more often than disturbances explain"
    changed = [recipient for recipient, message_ids in sink.message_ids.items() if len(message_ids) > 1]
    assert not changed, "a copy arrived under another Message-ID"


def is_poisoned(_status: str, dead_reason: str | None, lost_leases: int) -> bool:
    """Return whether the message died as poison, which random kills can cause for any message."""
    return dead_reason == DeadReason.POISON and lost_leases >= LEASES_BEFORE_POISON
