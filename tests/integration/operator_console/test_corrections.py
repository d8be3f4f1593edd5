"""Corrected recipients. A code proves the address that receives it, so not every address is allowed."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from devstack.cluster import Cluster
from operator_console.actions.requeue import Correction, requeue
from operator_console.errors import AddressNotTheirsError, WrongAddressError
from shared.secrets import link_token_for
from shared.vocabulary import Locale
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import fresh_database, is_refused
from tests.support.keys import KEY
from tests.support.operators import AUDIT, a_token_of, a_user, console_of, outboxctl, put_dead
from tests.support.outbox import Outbox

TYPO, MEANT = "ada@exmaple.org", "ada@example.org"
DIE = "update outbox_messages set status = 'dead', dead_reason = 'rejected', settled_at = now() where id = %s"


@pytest.fixture
def api(cluster: Cluster) -> Iterator[ApiUnderTest]:
    with fresh_database(cluster) as database, api_on(database) as api:
        yield api


def corrected(api: ApiUnderTest, message_id: UUID, recipient: str) -> None:
    with console_of(api.database) as console, console.begin() as session:
        requeue(session, message_id, AUDIT, Correction(recipient=recipient))


def test_correcting_a_message_before_activation_corrects_the_registration(api: ApiUnderTest) -> None:
    registration = api.registered(email=TYPO)
    [message] = api.messages(registration)
    api.rows(DIE, message.id)
    old_link = api.link_token(registration)
    corrected(api, message.id, MEANT)
    [message] = api.messages(registration)
    assert (message.status, message.recipient, message.template) == ("pending", MEANT, "activation")
    assert api.activate_by_link(old_link).status_code == 400
    assert api.activate_by_link(link_token_for(message.token_id, KEY)).status_code == 200
    assert (api.user(registration).email, api.user(registration).status) == (MEANT, "active")


def test_a_correction_to_a_taken_address_sends_a_notice_without_a_code(api: ApiUnderTest) -> None:
    api.activated(email=MEANT)
    registration = api.registered(email=TYPO)
    [message] = api.messages(registration)
    api.rows(DIE, message.id)
    corrected(api, message.id, MEANT)
    [message] = api.messages(registration)
    assert message.template == "account_exists"
    assert api.activate_by_link(link_token_for(message.token_id, KEY)).status_code == 400
    assert api.activate(registration).status_code == 400


def test_a_correction_closes_pending_messages_to_the_old_address(api: ApiUnderTest) -> None:
    registration = api.registered(email=TYPO)
    api.rows(DIE, api.messages(registration)[0].id)
    api.resend(registration)
    dead = next(message for message in api.messages(registration) if message.status == "dead")
    corrected(api, dead.id, MEANT)
    waiting = [message for message in api.messages(registration) if message.status == "pending"]
    assert [(message.id, message.recipient) for message in waiting] == [(dead.id, MEANT)]


def test_an_active_user_gets_no_other_address(api: ApiUnderTest) -> None:
    registration = api.activated(email=MEANT)
    welcome = next(message for message in api.messages(registration) if message.template == "welcome")
    api.rows(DIE, welcome.id)
    with pytest.raises(AddressNotTheirsError):
        corrected(api, welcome.id, "eve@example.org")
    assert api.rows("select recipient, status from outbox_messages where id = %s", welcome.id) == [(MEANT, "dead")]
    assert api.rows("select * from operator_actions") == []


def test_a_notice_of_a_changed_address_goes_only_to_the_previous_one(
    outbox: Outbox, console: sessionmaker[Session]
) -> None:
    user = a_user(outbox, MEANT, status="active")
    [message_id] = put_dead(outbox, user_id=user, template="'address_changed'", recipient="'before@example.org'")
    with pytest.raises(AddressNotTheirsError), console.begin() as session:
        requeue(session, message_id, AUDIT, Correction(recipient=MEANT))
    with console.begin() as session:
        requeue(session, message_id, AUDIT, Correction(recipient="before@example.org", locale=Locale.FR))
    found = outbox.row(message_id)
    assert (found.recipient, found.locale, found.status) == ("before@example.org", "fr", "pending")


def test_a_password_reset_goes_only_to_its_user(outbox: Outbox, console: sessionmaker[Session]) -> None:
    user = a_user(outbox, "ada@example.org", status="active")
    outbox.execute(f"insert into tokens (id, user_id, purpose, channel, key_id, attempts_left, expires_at, address_id)"
                   f" values (gen_random_uuid(), {user}, 'password_reset', 'email', 'test', 5, now() + interval '1 h',"
                   " gen_random_uuid())")  # fmt: skip
    [message_id] = put_dead(outbox, user_id=user, token_id="(select id from tokens)", template="'password_reset'")
    for recipient in ("eve@example.org", "ada@example.com"):
        with pytest.raises(AddressNotTheirsError), console.begin() as session:
            requeue(session, message_id, AUDIT, Correction(recipient=recipient))
    assert outbox.row(message_id).recipient == "ada@example.org"


def test_another_spelling_of_the_users_address_is_accepted(outbox: Outbox) -> None:
    user = a_user(outbox, "ada@example.org", status="active")
    [message_id] = put_dead(outbox, user_id=user, template="'welcome'")
    change = ("--to", "Ada@Example.org", "--reason", "a picky server")
    result = outboxctl(outbox.database, "requeue", str(message_id), *change)
    assert result.exit_code == 0, result.output
    assert outbox.row(message_id).recipient == "Ada@example.org"


def test_a_message_about_no_user_may_go_to_any_address(outbox: Outbox, console: sessionmaker[Session]) -> None:
    [message_id] = put_dead(outbox, template="'operator_digest'")
    with console.begin() as session:
        requeue(session, message_id, AUDIT, Correction(recipient="ops@example.org"))
    assert outbox.row(message_id).recipient == "ops@example.org"


@pytest.mark.parametrize(
    ("channel", "recipient"),
    [
        ("email", "+33612345678"), ("email", "ada"), ("email", "ada@example.org, eve@example.org"),
        ("email", "ada@example"), ("sms", "ada@example.org"), ("sms", "7"), ("sms", "tel:+33612345678"),
        ("provision", "ada@example.org"),
    ],
)  # fmt: skip
def test_an_address_has_to_fit_the_channel(
    outbox: Outbox, console: sessionmaker[Session], channel: str, recipient: str
) -> None:
    [message_id] = put_dead(outbox, channel=channel)
    with pytest.raises(WrongAddressError), console.begin() as session:
        requeue(session, message_id, AUDIT, Correction(recipient=recipient))


def test_an_invalid_address_is_rejected_with_a_plain_message(outbox: Outbox) -> None:
    [message_id] = put_dead(outbox)
    result = outboxctl(outbox.database, "requeue", str(message_id), "--to", "ada@@example.org", "--reason", "a slip")
    expected = (
        f"outboxctl: message {message_id} cannot be sent there: the new recipient is not a valid address for email\n"
    )
    assert (result.exit_code, result.stderr) == (1, expected)
    assert outbox.row(message_id).status == "dead"


@pytest.mark.parametrize(
    ("address", "is_one"),
    [("Ada@xn--bcher-kva.example", True), ("ada", False), ("a b@example.org", False), ("ada@example.org\n", False)],
)
def test_the_database_rejects_invalid_addresses_for_registrations(
    outbox: Outbox, console: sessionmaker[Session], address: str, *, is_one: bool
) -> None:
    user = a_user(outbox)
    [message_id] = put_dead(outbox, user_id=user, token_id=a_token_of(outbox, user))
    with console.begin() as session:
        moved = session.scalar(select(func.signpost_correct_address(message_id, address, address.lower())))
    assert moved is is_one
    assert outbox.row(message_id).recipient == (address if is_one else "ada@example.org")


def test_a_phone_number_can_be_corrected(outbox: Outbox, console: sessionmaker[Session]) -> None:
    user = a_user(outbox, phone="+33612345670")
    token = a_token_of(outbox, user, channel="sms")
    [message_id] = put_dead(outbox, channel="sms", recipient="'+33612345670'", user_id=user, token_id=token)
    with console.begin() as session:
        requeue(session, message_id, AUDIT, Correction(recipient="+33 6 12 34 56 78"))
    assert outbox.execute("select phone from users") == [("+33612345678",)]
    row = outbox.row(message_id)
    assert (row.recipient, row.payload["key_id"]) == ("+33612345678", "test")
    assert f"'{row.token_id}'" != token


def test_the_audit_row_of_a_correction_masks_addresses(outbox: Outbox, console: sessionmaker[Session]) -> None:
    [message_id] = put_dead(outbox, template="'operator_digest'")
    with console.begin() as session:
        requeue(session, message_id, AUDIT, Correction(recipient="ops@example.org", locale=Locale.FR))
    assert outbox.row(message_id).locale == "fr"
    assert outbox.execute("select before->>'recipient', before->>'locale', after from operator_actions") == [
        ("a…@example.org", "en", {"status": "pending", "recipient": "o…@example.org", "locale": "fr"})
    ]


def test_only_one_message_is_corrected_at_a_time(outbox: Outbox) -> None:
    ids = [str(one) for one in put_dead(outbox, count=2)]
    result = outboxctl(outbox.database, "requeue", *ids, "--locale", "fr", "--reason", "French")
    assert result.exit_code == 2


def test_a_correction_cannot_send_a_code_to_the_old_address(api: ApiUnderTest) -> None:
    registration = api.registered(email=TYPO)
    api.rows(DIE, api.messages(registration)[0].id)
    api.resend(registration)
    for message in api.messages(registration):
        api.rows(DIE, message.id)
    [first, other] = api.messages(registration)
    corrected(api, first.id, MEANT)
    with pytest.raises(AddressNotTheirsError):
        corrected(api, other.id, TYPO)
    assert {message.recipient: message.status for message in api.messages(registration)} == {
        MEANT: "pending",
        TYPO: "dead",
    }


def test_the_database_rejects_sending_a_code_to_the_old_address(api: ApiUnderTest) -> None:
    registration = api.registered(email=TYPO)
    api.rows(DIE, api.messages(registration)[0].id)
    api.resend(registration)
    for message in api.messages(registration):
        api.rows(DIE, message.id)
    [first, other] = api.messages(registration)
    corrected(api, first.id, MEANT)
    [fresh] = [message.token_id for message in api.messages(registration) if message.recipient == MEANT]
    revive = (
        f"update outbox_messages set token_id = '{fresh}', status = 'pending', dead_reason = null, settled_at = null"
        f" where id = '{other.id}'"
    )
    assert is_refused(api.database.console_url, revive)
