"""Registrations whose mails real servers accept and return: from the API to the SMS that follows.

API, relay, receiver and SMS gateway are processes. Our Postfix sends all mails. Three servers of others take them:

- Postfix, for example.org. It returns mails through our Postfix, which delivers them to the receiver over LMTP.
- Postfix, for example.net. It returns mails to a mailbox, from which the receiver fetches them over IMAP (Dovecot).
- Exim, for example.com, where it is installed. It returns mails as the first one.

tests/integration/receiver/test_mails_with_effects.py lists all cases.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from smtplib import SMTP
from typing import Any

import httpx
import pytest

from devstack.cluster import Cluster
from devstack.inbox.client import ReceivedMessage
from shared.ids import uuid7
from tests.support.bounces import (
    AUTO_REPLY,
    BASE,
    RunningReceiver,
    bounce_address,
    complaint,
    delivery_status,
    reports,
    running_receiver,
)
from tests.support.databases import Database, fresh_database
from tests.support.dovecot import Dovecot, dovecot
from tests.support.eventually import eventually
from tests.support.exim import exim
from tests.support.forwarding import forwarding, unused_port
from tests.support.inbox import Inbox, running_inbox
from tests.support.keys import SECRET_KEYS
from tests.support.postfix import Postfix, postfix
from tests.support.processes import HASTY_API, running_api
from tests.support.relays import running_relay

PASSWORD = "four quiet words here"
OUR_DOMAIN = BASE.partition("@")[2]
API = {"ACTIVATION_FALLBACK": "sms", "RESEND_COOLDOWN_SECONDS": "0"}
SLOW_SECONDS = 120
MAILBOX_BYTES = 100_000
RETURNED = [("strange", "recipient"), ("full", "mailbox_full"), ("strict", "policy")]
"""Users of the other servers, and whose failure they report."""

STATES = """
select recipient, state, cause, source
  from delivery_states
  join outbox_messages on outbox_messages.id = message_id
 where recipient like %s
"""


def at(port: int) -> str:
    return f"smtp:[127.0.0.1]:{port}"


def inline(table: dict[str, str]) -> str:
    return f"inline:{{{', '.join(f'{{ {key} = {value} }}' for key, value in table.items())}}}"


class System:
    """All processes. It sends mails to ``example.org`` and its subdomains through the first server of others."""

    def __init__(self, ending: ExitStack, database: Database, inbox: Inbox) -> None:
        self.database, self.inbox = database, inbox
        self.exim_port, self.late_port, lmtp_port, our_port = (unused_port() for _ in range(4))
        self._numbers = iter(range(10, 100))
        mailboxes = ending.enter_context(dovecot())
        fill(mailboxes)
        first = ending.enter_context(
            other_server("example.org", mailboxes, {}, self._routes(inbox), relayhost=f"[127.0.0.1]:{our_port}")
        )
        second = ending.enter_context(other_server("example.net", mailboxes, {BASE: "mail/"}, {}))
        routes = {
            OUR_DOMAIN: f"lmtp:inet:127.0.0.1:{lmtp_port}",
            "example.net": at(second.port),
            "example.com": at(self.exim_port),
        }
        self.ours: Postfix = ending.enter_context(
            postfix(
                port=our_port,
                recipient_delimiter="+",
                relay_domains=OUR_DOMAIN,
                default_transport="smtp",
                relayhost=f"[127.0.0.1]:{first.port}",
                transport_maps=inline(routes),
            )
        )
        fetching = {
            "BOUNCE_IMAP_URL": mailboxes.url(),
            "BOUNCE_IMAP_SECONDS": "1",
            "SSL_CERT_FILE": str(mailboxes.authority.file),
        }
        self.receiver: RunningReceiver = ending.enter_context(running_receiver(database, port=lmtp_port, **fetching))
        api = ending.enter_context(running_api(database, command=HASTY_API, **API))
        self.client = ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30))
        ending.enter_context(
            running_relay(
                database,
                EMAIL_PROVIDERS=self.ours.provider,
                SMS_PROVIDERS=inbox.sms_provider,
                BOUNCE_ADDRESS=BASE,
                FEEDBACK_KEYS=SECRET_KEYS,
                RELAY_MAINTENANCE_SECONDS="1",
                RELAY_POLL_SECONDS="1",
            )
        )

    def _routes(self, inbox: Inbox) -> dict[str, str]:
        return {"arrives.example.org": at(inbox.smtp_port), "late.example.org": at(self.late_port)}

    def register(self, email: str) -> tuple[str, str]:
        """Register with a phone number, and return the registration's id and the number."""
        phone = f"+336123456{next(self._numbers)}"
        return self._registered(email=email, phone=phone), phone

    def is_rejected(self, email: str) -> bool:
        """Register without a phone number, and return whether the address is rejected."""
        registration_id = self._registered(email=email)
        delivery = eventually(
            lambda: (found := self.delivery(registration_id))["status"] != "pending" and found, seconds=SLOW_SECONDS
        )
        return bool(delivery["problem"] == "address_rejected")

    def _registered(self, **addresses: str) -> str:
        response = self.client.post("/v1/registrations", json={"password": PASSWORD, **addresses})
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def delivery(self, registration_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/registrations/{registration_id}").json()["delivery"]
        return found

    def activate(self, registration_id: str, message: ReceivedMessage) -> None:
        body = {"registration_id": registration_id, "code": message.code}
        assert self.client.post("/v1/activations", json=body).status_code == 200

    def states(self, domain: str) -> dict[str, tuple[str, str | None, str]]:
        """Return state, cause and source of each message to that domain."""
        with self.database.connect() as owner:
            return {recipient: tuple(rest) for recipient, *rest in owner.execute(STATES, [f"%@{domain}"])}

    def suppressions(self) -> list[str]:
        with self.database.connect() as owner:
            return [reason for (reason,) in owner.execute("select reason from suppressions order by since")]

    def send(self, mail: bytes, to: str) -> None:
        """Send a mail to the bounce address, as any server may."""
        with SMTP("127.0.0.1", self.ours.port, timeout=30) as client:
            client.sendmail("", to, mail)

    def receive(self, email: str) -> tuple[str, ReceivedMessage, str]:
        """Register, wait for the mail, and return the registration's id, the mail and its envelope sender."""
        registration_id, _ = self.register(email)
        [mail] = self.inbox.wait_for(email, timeout=SLOW_SECONDS)
        return registration_id, mail, dict(mail.headers)["Return-Path"].strip("<>")


def other_server(
    domain: str, mailboxes: Dovecot, boxes: dict[str, str], routes: dict[str, str], **settings: str
) -> Any:
    """Run a Postfix that accepts all mails to its domain, and returns those to RETURNED."""
    owner = {"virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534"}
    return postfix(
        myhostname=f"mx.{domain}",
        recipient_delimiter="+",
        smtpd_reject_unlisted_recipient="no",
        virtual_mailbox_domains=", ".join({domain, *(address.partition("@")[2] for address in boxes)}),
        virtual_mailbox_base=str(mailboxes.folder),
        virtual_mailbox_maps=inline({f"full@{domain}": "boxes/full"} | boxes),
        virtual_mailbox_limit=str(MAILBOX_BYTES),
        message_size_limit=str(MAILBOX_BYTES),
        transport_maps=inline({f"strict@{domain}": "error:5.7.1 the sender's reputation is low"} | routes),
        default_transport="smtp",
        queue_run_delay="1s",
        minimal_backoff_time="1s",
        maximal_backoff_time="1s",
        delay_warning_time="1s",
        maximal_queue_lifetime="6s",
        **owner,
        **settings,
    )


def fill(mailboxes: Dovecot) -> None:
    """Create a mailbox that has no room."""
    folder = mailboxes.folder / "boxes"
    folder.mkdir()
    full = folder / "full"
    full.write_bytes(b"From x\n\n" + b"x" * MAILBOX_BYTES)
    for path in (folder, full):
        shutil.chown(path, "nobody", "nogroup")


@pytest.fixture(scope="module")
def system(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with ExitStack() as ending:
        database = ending.enter_context(fresh_database(cluster))
        inbox = ending.enter_context(running_inbox(tmp_path_factory.mktemp("inbox")))
        yield System(ending, database, inbox)


@pytest.mark.parametrize(
    ("domain", "source"), [("example.org", "lmtp"), ("example.net", "imap"), ("example.com", "lmtp")]
)
def test_a_returned_mail_changes_the_state_and_the_code_follows_by_sms(
    system: System, domain: str, source: str
) -> None:
    users = RETURNED
    with ExitStack() as ending:
        if domain == "example.com":
            users = RETURNED[:2]
            ending.enter_context(exim(relay=system.ours.port, port=system.exim_port))
        before = len(system.suppressions())
        registered = [system.register(f"{user}@{domain}") for user, _ in users]
        for registration_id, phone in registered:
            [text] = system.inbox.wait_for(phone, timeout=SLOW_SECONDS)
            system.activate(registration_id, text)
    assert system.states(domain) == {f"{user}@{domain}": ("bounced", cause, source) for user, cause in users}
    assert system.suppressions()[before:] == ["bounced"] * 2


def test_a_suppressed_address_gets_no_mail_and_the_code_goes_by_sms(system: System) -> None:
    email = "someone@example.org"
    _, phone = system.register(email)
    system.inbox.wait_for(phone, timeout=SLOW_SECONDS)
    assert system.is_rejected(email)
    returned = [row for row in reports(system.database) if row["kind"] == "bounced"]
    _, phone = system.register(email)
    assert system.inbox.wait_for(phone, timeout=SLOW_SECONDS)
    assert [row for row in reports(system.database) if row["kind"] == "bounced"] == returned


def test_a_mail_that_waited_and_was_returned_arrives_at_the_second_attempt(system: System) -> None:
    email, before = "ada@late.example.org", system.suppressions()
    registration_id, phone = system.register(email)
    for state in ("delayed", "bounced"):
        eventually(lambda state=state: system.delivery(registration_id)["state"] == state, seconds=SLOW_SECONDS)
    assert (system.suppressions(), system.inbox.messages_for(phone)) == (before, [])
    with forwarding(system.late_port, to=system.inbox.smtp_port):
        resent = system.client.post(f"/v1/registrations/{registration_id}/resend", json={"channel": "email"})
        assert resent.status_code == 202
        [mail] = system.inbox.wait_for(email, timeout=SLOW_SECONDS)
        system.activate(registration_id, mail)


def test_a_complaint_stops_further_registrations_of_the_address(system: System) -> None:
    email = "ada@arrives.example.org"
    registration_id, mail, envelope_sender = system.receive(email)
    system.send(complaint(envelope_sender), BASE)
    eventually(lambda: system.delivery(registration_id)["state"] == "complained", seconds=SLOW_SECONDS)
    assert system.suppressions()[-1] == "complained"
    # A relay learns at its next poll that the list is no longer empty.
    eventually(lambda: system.is_rejected(email), seconds=SLOW_SECONDS)
    system.activate(registration_id, mail)


def test_mails_of_people_and_forged_bounces_change_nothing(system: System) -> None:
    registration_id, mail, envelope_sender = system.receive("grace@arrives.example.org")
    stored, suppressed, outcomes = reports(system.database), system.suppressions(), len(system.receiver.outcomes())
    bounce = delivery_status("failed", "5.1.1")
    for content, to in (
        (AUTO_REPLY, envelope_sender),
        (b"From: grace@arrives.example.org\r\nSubject: Hello\r\n\r\nIs this real?\r\n", envelope_sender),
        (bounce, BASE),
        (bounce, bounce_address(uuid7(), "grace@arrives.example.org", key=bytes(32))),
        (bounce, f"{envelope_sender.partition('.')[0]}.{bounce_address(uuid7()).partition('.')[2]}"),
    ):
        system.send(content, to)
    found = eventually(lambda: (all_ := system.receiver.outcomes()[outcomes:])[4:] and all_, seconds=SLOW_SECONDS)
    assert sorted(found) == ["auto_reply", "unrecognized", "unverified", "unverified", "unverified"]
    assert (reports(system.database), system.suppressions()) == (stored, suppressed)
    system.activate(registration_id, mail)
