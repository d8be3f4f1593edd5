"""What chaos must not change: nothing that was committed is lost, and nothing goes out twice without its reason.

A ledger notes what was committed, what was rolled back, and what was in flight whenever something was
killed or cut; ``conserved`` holds the outbox and the mail server's own count against it.
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

# A lease's token stays until somebody claims the row anew or settles it, so an expired one counts as well.
IN_FLIGHT = "select id from outbox_messages where status = 'pending' and lease_token is not null"


@dataclass
class Ledger:
    """What the outside world was told, and what it saw go wrong."""

    database: Database
    committed: set[UUID] = field(default_factory=set)
    rolled_back: set[UUID] = field(default_factory=set)
    uncertain: set[UUID] = field(default_factory=set)
    may_be_copied: Counter[UUID] = field(default_factory=Counter)
    disturbances: int = 0

    def enqueue(self, count: int, *, rolled_back: int = 0) -> None:
        """Enqueue as the API does, in transactions of its role; then as many as said that are rolled back."""
        with self._session() as session:
            for begin in range(0, count, TRANSACTION_SIZE):
                size = min(TRANSACTION_SIZE, count - begin)
                eventually(lambda size=size: self._is_committed(session, size), seconds=60)
            if rolled_back:
                eventually(lambda: self._is_rolled_back(session, rolled_back), seconds=60)

    def registered(self, registration_ids: list[UUID]) -> None:
        """Note the messages of registrations that the API has confirmed."""
        with self.database.connect() as connection:
            found = connection.execute("select id from outbox_messages where user_id = any(%s)", [registration_ids])
            messages = {message_id for (message_id,) in found}
        assert len(messages) == len(registration_ids)
        self.committed |= messages

    def note_disturbance(self) -> int:
        """Note that what is in flight at this moment may go out once more; return how much it is."""
        in_flight = [message_id for (message_id,) in Outbox(self.database).execute(IN_FLIGHT)]
        self.may_be_copied.update(in_flight)
        self.disturbances += 1
        return len(in_flight)

    def _is_committed(self, session: Session, count: int) -> bool:
        """Commit some more; where the database goes away in the middle of that, nobody can say whether it did."""
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
    """How the messages fare. ``poisoned`` have taken a process along time and again, and are no part of ``dead``."""

    sent: int
    dead: int
    pending: int
    poisoned: int
    copies: int


def added(session: Session, count: int) -> set[UUID]:
    """Add messages to the session's transaction, each to somebody else."""
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
    """Fail unless everything is where it has to be; return how it fares."""
    rows = {row[0]: row[1:] for row in Outbox(ledger.database).execute(STANDING)}
    delivered = {UUID(message_id.removesuffix(DOMAIN)): count for message_id, count in sink.arrived.items()}
    nothing_is_lost_or_made_up(ledger, set(rows), set(delivered))
    statuses = Counter(status for status, *_ in rows.values())
    assert statuses.total() == sum(statuses[status.value] for status in Status)
    unsent = {message_id for message_id, (status, *_) in rows.items() if status == Status.SENT} - delivered.keys()
    assert not unsent, f"{len(unsent)} are marked sent and never arrived"
    nothing_goes_twice_without_reason(ledger, sink, delivered)
    poisoned = sum(is_poisoned(*standing) for standing in rows.values())
    return Tally(
        sent=statuses[Status.SENT],
        dead=statuses[Status.DEAD] - poisoned,
        pending=statuses[Status.PENDING],
        poisoned=poisoned,
        copies=sum(delivered.values()) - len(delivered),
    )


STANDING = "select id, status, dead_reason, lost_leases from outbox_messages"


def nothing_is_lost_or_made_up(ledger: Ledger, kept: set[UUID], delivered: set[UUID]) -> None:
    assert not ledger.committed - kept, "a committed message is gone"
    assert not kept - ledger.committed - ledger.uncertain, "there is a message that nobody committed"
    assert not ledger.rolled_back & (kept | delivered), "a message of a rolled-back transaction is there"
    assert not delivered - kept, "something was delivered that was never committed"


def nothing_goes_twice_without_reason(ledger: Ledger, sink: MailSink, delivered: dict[UUID, int]) -> None:
    undue = {message_id for message_id, count in delivered.items() if count - 1 > ledger.may_be_copied[message_id]}
    assert not undue, f"{len(undue)} went out more often than they were in flight when something broke"
    strangers = [recipient for recipient, message_ids in sink.message_ids.items() if len(message_ids) > 1]
    assert not strangers, "a copy went out under another Message-ID"


def is_poisoned(_status: str, dead_reason: str | None, lost_leases: int) -> bool:
    """Tell whether it died of killing processes, which chaos can make of any message by bad luck."""
    return dead_reason == DeadReason.POISON and lost_leases >= LEASES_BEFORE_POISON
