"""Each kind of mail to the bounce address, read as the receiver does, and applied as the leading relay does.

Another person has an account throughout. No mail may change her state, suppress her address or end her access.

tests/interop/test_reported_registrations.py has the same with real servers (*), where they make a difference.

| case | test |
|---|---|
| hard bounce: unknown user, full mailbox, policy; LMTP and IMAP; Postfix and Exim | test_a_hard_bounce…, * |
| soft bounce, then success | test_a_soft_bounce…, * |
| delayed | test_a_delay…, * |
| automatic reply | test_an_automatic_reply…, * |
| complaint | test_a_complaint…, * |
| forged: no MAC, wrong MAC, MAC of another message | test_a_forged_mail…, * |
| forged: the bounce names another person | test_a_bounce_that_names_another_person… |
| forged: repeated as it is, or with other codes | test_a_repeated_bounce…, test_a_recipient_cannot_fill… |
| after the message was deleted | test_a_bounce_of_a_deleted_message… |
| before `sent` was written | test_a_bounce_before_sent… |
| after an operator corrected the recipient | test_a_bounce_of_a_corrected_message… |
| after the code was entered | test_a_bounce_after_the_code… |
"""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from outbox_relay.model import ClaimedMessage, Dead, Failure, FailureClass, Sent
from receiver.bounces.intake import Intake
from receiver.metrics import MailOutcome
from receiver.store import ReportStore
from shared.reports.report import ReportSource
from shared.reports.return_paths import BounceAddress
from shared.secrets import suppression_hashes
from shared.vocabulary import DeadReason
from tests.support.accounts import signed_in
from tests.support.api import ApiUnderTest, api_on
from tests.support.bounces import AUTO_REPLY, BASE, complaint, delivery_status
from tests.support.databases import Database
from tests.support.delivery_reports import FEEDBACK_KEYS, apply_reports
from tests.support.fallbacks import fall_back
from tests.support.operators import outboxctl
from tests.support.outbox import Outbox

ADA, EVE, TYPO = "ada@example.org", "eve@example.org", "ada@exmaple.org"
PHONE = "+33612345678"
HARD = delivery_status("failed", "5.1.1")
SOFT = delivery_status("failed", "4.4.1", "smtp; connect to mx.example.org: Connection refused")
DELAYED = delivery_status("delayed", "4.4.1", "smtp; connect to mx.example.org: Connection refused")
BY_MAIL = Sent("smtp:mx:25", "queued-1")
LOST = Dead(DeadReason.EXHAUSTED, Failure(FailureClass.TRANSIENT, "smtp:mx:25", "connection lost"))

Take = Callable[[bytes, str], MailOutcome]


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with api_on(database, ACTIVATION_FALLBACK="both") as api:
        yield api


@pytest.fixture
def take(database: Database) -> Iterator[Take]:
    """Read a mail to an address, and store its report with the receiver's database role."""
    store = ReportStore(database.receiver_url)
    intake = Intake(store, FEEDBACK_KEYS, ReportSource.LMTP)
    yield lambda mail, address: intake.take(mail, [address])
    store.close()


@pytest.fixture(autouse=True)
def eve(api: ApiUnderTest, outbox: Outbox) -> Iterator[ClaimedMessage]:
    """Another person's sent message. At the end, check that she is unharmed."""
    registration_id = api.registered(email=EVE)
    message = sent(outbox)
    assert api.activate(registration_id).status_code == 200
    outbox.execute("update outbox_messages set status = 'sent', settled_at = now() where status = 'pending'")
    yield message
    assert api.user(registration_id).status == "active"
    assert signed_in(api, EVE)
    assert api.look_up(registration_id).json["delivery"]["state"] is None
    assert not suppressed(outbox, EVE)


def sent(outbox: Outbox) -> ClaimedMessage:
    [message] = outbox.claim()
    outbox.settle([(message, BY_MAIL)])
    return message


def address_of(message: ClaimedMessage, *, key: bytes = FEEDBACK_KEYS["new"]) -> str:
    return BounceAddress(BASE, key).sender_of(message.id, message.recipient)


def state_of(api: ApiUnderTest, registration_id: UUID) -> str | None:
    state: str | None = api.look_up(registration_id).json["delivery"]["state"]
    return state


def suppressed(outbox: Outbox, address: str) -> list[str]:
    """Return why the address is suppressed."""
    hashes = list(suppression_hashes(address, FEEDBACK_KEYS).values())
    return [reason for (reason,) in outbox.execute("select reason from suppressions where hash = any(%s)", hashes)]


def test_a_hard_bounce_suppresses_the_address_and_the_code_follows_by_sms(
    api: ApiUnderTest, outbox: Outbox, take: Take
) -> None:
    registration_id = api.registered(email=ADA, phone=PHONE)
    assert take(HARD, address_of(sent(outbox))) is MailOutcome.STORED
    assert apply_reports(outbox.database) == 1
    assert state_of(api, registration_id) == "bounced"
    assert suppressed(outbox, ADA) == ["bounced"]
    assert fall_back(outbox.database) == 1
    assert [message.channel for message in api.messages(registration_id)] == ["sms", "email"]


def test_a_soft_bounce_neither_suppresses_nor_falls_back_and_a_second_code_works(
    api: ApiUnderTest, outbox: Outbox, take: Take
) -> None:
    registration_id = api.registered(email=ADA, phone=PHONE)
    take(SOFT, address_of(sent(outbox)))
    apply_reports(outbox.database)
    assert (state_of(api, registration_id), suppressed(outbox, ADA)) == ("bounced", [])
    assert fall_back(outbox.database) == 0
    assert api.resend(registration_id, channel="email").status_code == 202
    sent(outbox)
    assert state_of(api, registration_id) is None
    assert api.activate(registration_id).status_code == 200


def test_a_delay_is_shown_until_the_mail_arrives(api: ApiUnderTest, outbox: Outbox, take: Take) -> None:
    registration_id = api.registered(email=ADA, phone=PHONE)
    address = address_of(sent(outbox))
    for mail, state in ((DELAYED, "delayed"), (delivery_status("delivered", "2.0.0", "smtp; 250 ok"), "delivered")):
        take(mail, address)
        apply_reports(outbox.database)
        assert state_of(api, registration_id) == state
    assert fall_back(outbox.database) == 0
    assert suppressed(outbox, ADA) == []


def test_an_automatic_reply_changes_nothing(api: ApiUnderTest, outbox: Outbox, take: Take) -> None:
    registration_id = api.registered(email=ADA, phone=PHONE)
    assert take(AUTO_REPLY, address_of(sent(outbox))) is MailOutcome.AUTO_REPLY
    assert apply_reports(outbox.database) == 0
    assert state_of(api, registration_id) is None


def test_a_complaint_suppresses_the_address_but_does_not_fall_back(
    api: ApiUnderTest, outbox: Outbox, take: Take
) -> None:
    registration_id = api.registered(email=ADA, phone=PHONE)
    assert take(complaint(address_of(sent(outbox))), BASE) is MailOutcome.STORED
    apply_reports(outbox.database)
    assert (state_of(api, registration_id), suppressed(outbox, ADA)) == ("complained", ["complained"])
    assert fall_back(outbox.database) == 0


@pytest.mark.parametrize("mail", [HARD, complaint(BASE)], ids=["bounce", "complaint"])
def test_a_forged_mail_about_another_persons_message_changes_nothing(
    api: ApiUnderTest, outbox: Outbox, take: Take, eve: ClaimedMessage, mail: bytes
) -> None:
    api.registered(email=ADA, phone=PHONE)
    hers, own = address_of(eve), address_of(sent(outbox))
    spelled_id, _, rest = hers.partition(".")
    forged = (
        BASE,
        spelled_id + "@signpost.example",
        address_of(eve, key=bytes(32)),
        f"{spelled_id}.{own.partition('.')[2]}",
        own.replace(own[own.index("+") : own.index(".")], spelled_id[spelled_id.index("+") :]),
        f"{own.partition('.')[0]}.{rest}",
    )
    for address in forged:
        assert take(mail, address) is MailOutcome.UNVERIFIED
    assert apply_reports(outbox.database) == 0


def test_a_bounce_that_names_another_person_counts_only_for_its_own_message(
    api: ApiUnderTest, outbox: Outbox, take: Take
) -> None:
    registration_id = api.registered(email=ADA)
    names_eve = HARD.replace(b"someone.else@example.net", EVE.encode()).replace(ADA.encode(), EVE.encode())
    take(names_eve, address_of(sent(outbox)))
    apply_reports(outbox.database)
    assert (state_of(api, registration_id), suppressed(outbox, ADA)) == ("bounced", ["bounced"])


def test_a_repeated_bounce_counts_once(api: ApiUnderTest, outbox: Outbox, take: Take) -> None:
    api.registered(email=ADA, phone=PHONE)
    address = address_of(sent(outbox))
    assert [take(HARD, address) for _ in range(3)] == [MailOutcome.STORED, *[MailOutcome.REPEATED] * 2]
    assert apply_reports(outbox.database) == 1
    assert fall_back(outbox.database) == 1
    take(HARD, address)
    assert (apply_reports(outbox.database), fall_back(outbox.database)) == (0, 0)


def test_a_recipient_cannot_fill_the_table_with_bounces_of_one_message(
    api: ApiUnderTest, outbox: Outbox, take: Take
) -> None:
    api.registered(email=ADA)
    address = address_of(sent(outbox))
    for detail in range(1, 20):
        take(delivery_status("failed", f"5.1.{100 + detail}", "smtp; no"), address)
    assert outbox.number("select count(*) from delivery_reports") == 1


def test_a_bounce_of_a_deleted_message_changes_nothing(api: ApiUnderTest, outbox: Outbox, take: Take) -> None:
    api.registered(email=ADA, phone=PHONE)
    message = sent(outbox)
    outbox.execute("delete from outbox_messages where id = %s", message.id)
    assert take(HARD, address_of(message)) is MailOutcome.STORED
    assert apply_reports(outbox.database) == 0
    assert suppressed(outbox, ADA) == []
    outbox.execute("update delivery_reports set received_at = received_at - interval '8 days'")
    outbox.execute("select signpost_prune_unmatched_reports(10)")
    assert outbox.number("select count(*) from delivery_reports") == 0


def test_a_bounce_before_sent_is_written_counts_afterwards(api: ApiUnderTest, outbox: Outbox, take: Take) -> None:
    registration_id = api.registered(email=ADA, phone=PHONE)
    [message] = outbox.claim()
    take(HARD, address_of(message))
    assert apply_reports(outbox.database) == 0
    outbox.settle([(message, BY_MAIL)])
    assert apply_reports(outbox.database) == 1
    assert (state_of(api, registration_id), suppressed(outbox, ADA)) == ("bounced", ["bounced"])
    assert fall_back(outbox.database) == 1


def test_a_bounce_of_a_corrected_message_counts_only_against_the_recipient_that_it_was_sent_to(
    api: ApiUnderTest, outbox: Outbox, take: Take
) -> None:
    registration_id = api.registered(email=TYPO)
    [first] = outbox.claim()
    outbox.settle([(first, LOST)])  # the server took the mail, and its reply was lost
    take(HARD, address_of(first))
    assert apply_reports(outbox.database) == 0
    outboxctl(outbox.database, "requeue", str(first.id), "--to", ADA, "--reason", "a typo")
    second = sent(outbox)
    assert (second.id, second.recipient) == (first.id, ADA)
    assert apply_reports(outbox.database) == 1
    assert (state_of(api, registration_id), suppressed(outbox, ADA), suppressed(outbox, TYPO)) == (None, [], [])
    assert take(HARD, address_of(second)) is MailOutcome.STORED
    apply_reports(outbox.database)
    assert (state_of(api, registration_id), suppressed(outbox, ADA)) == ("bounced", ["bounced"])


def test_a_bounce_after_the_code_was_entered_changes_nothing(api: ApiUnderTest, outbox: Outbox, take: Take) -> None:
    registration_id = api.registered(email=ADA, phone=PHONE)
    message = sent(outbox)
    assert api.activate(registration_id).status_code == 200
    take(HARD, address_of(message))
    assert apply_reports(outbox.database) == 1
    assert (state_of(api, registration_id), suppressed(outbox, ADA)) == (None, [])
    assert fall_back(outbox.database) == 0
