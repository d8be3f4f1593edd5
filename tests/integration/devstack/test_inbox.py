import signal
import smtplib
import socket
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support import plain_http
from tests.support.inbox import END_SECONDS, SMS_TOKEN, Inbox, running_inbox

pytestmark = pytest.mark.slow

AUTHORIZED = {"Authorization": f"Bearer {SMS_TOKEN}"}


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    with running_inbox(tmp_path_factory.mktemp("inbox")) as inbox:
        yield inbox


@pytest.fixture
def address() -> str:
    return f"{uuid4().hex}@example.org"


@pytest.fixture
def number() -> str:
    return f"+44{uuid4().int % 10**10:010d}"


def a_mail(text: str = "Your code is 204816.\n", html: str | None = None) -> EmailMessage:
    mail = EmailMessage(policy.SMTP)
    mail["From"] = "Signpost <no-reply@signpost.example>"
    mail["Subject"] = "Your code, déjà"
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail


def send(inbox: Inbox, mail: EmailMessage | bytes, *recipients: str) -> None:
    content = mail if isinstance(mail, bytes) else mail.as_bytes(policy=policy.SMTP)
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=5) as client:
        client.sendmail("no-reply@signpost.example", recipients, content)


def post_sms(inbox: Inbox, to: object, headers: dict[str, str] = AUTHORIZED, **fields: object) -> httpx.Response:
    body = {"to": to, "text": "Signpost: 204816 is your code.", "id": "m-1"} | fields
    return plain_http.post(inbox.sms_url, json=body, headers=headers, trust_env=False)


def get(inbox: Inbox, path: str) -> httpx.Response:
    return plain_http.get(inbox.http_url + path, trust_env=False)


def test_a_mail_is_stored_unchanged_and_parsed(inbox: Inbox, address: str) -> None:
    link = "https://signpost.example/activate?token=a.123456"
    content = a_mail(f"Your code is 204816.\nOr open {link} now\n", "<p>204816</p>").as_bytes(policy=policy.SMTP)
    send(inbox, content, address)
    [message] = inbox.messages_for(address.upper())
    assert (message.channel, message.recipients, message.subject) == ("email", [address], "Your code, déjà")
    assert (message.text, message.html) == (f"Your code is 204816.\nOr open {link} now\n", "<p>204816</p>\n")
    assert (message.code, message.link) == ("204816", link)
    assert inbox.raw(message).endswith(b"\r\n" + content)
    assert (inbox.folder / f"{message.id}.eml").read_bytes() == inbox.raw(message)


def test_digits_in_a_link_or_a_longer_number_are_not_a_code(inbox: Inbox, address: str) -> None:
    send(inbox, a_mail("Call 33612345678 or see https://signpost.example/a/123456?b=654321&c=a.111111\n"), address)
    [message] = inbox.messages_for(address)
    assert message.code is None


def test_a_mail_without_text_or_subject_can_still_be_read(inbox: Inbox, address: str) -> None:
    send(inbox, b"Content-Type: application/pdf\r\n\r\n%PDF\r\n", address)
    [message] = inbox.messages_for(address)
    assert (message.subject, message.text, message.html, message.code) == ("", "", None, None)
    assert get(inbox, f"/messages/{message.id}").status_code == 200


def test_commands_may_arrive_in_one_write(inbox: Inbox, address: str) -> None:
    commands = f"MAIL FROM:<a@example.org>\r\nRCPT TO:<{address}>\r\nDATA\r\n".encode()
    with socket.create_connection(("127.0.0.1", inbox.smtp_port), timeout=5) as connection:
        replies = connection.makefile("rb")
        assert replies.readline().startswith(b"220")
        connection.sendall(b"EHLO me\r\n")
        offers = [replies.readline()]
        while offers[-1][3:4] == b"-":
            offers.append(replies.readline())
        assert b"250-PIPELINING\r\n" in offers
        connection.sendall(commands)
        assert [replies.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        connection.sendall(b"Subject: one\r\n\r\n1\r\n.\r\n" + commands)
        assert [replies.readline()[:3] for _ in range(4)] == [b"250", b"250", b"250", b"354"]
        connection.sendall(b"Subject: two\r\n\r\n2\r\n.\r\nQUIT\r\n")
        assert [replies.readline()[:3] for _ in range(2)] == [b"250", b"221"]
    assert [message.subject for message in inbox.messages_for(address)] == ["two", "one"]


def test_a_refused_address_gets_550_and_the_other_recipient_the_mail(inbox: Inbox, address: str) -> None:
    inbox.refuse(f"Refused-{address}")
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=5) as client:
        refused = client.sendmail("a@example.org", [f"refused-{address}", address], a_mail().as_bytes())
    assert refused == {f"refused-{address}": (550, b"5.1.1 No such mailbox here")}
    assert inbox.messages_for(f"refused-{address}") == []
    assert len(inbox.messages_for(address)) == 1


def test_an_address_removed_from_the_list_is_accepted_again(inbox: Inbox, address: str) -> None:
    inbox.refuse(address)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(inbox, a_mail(), address)
    inbox.accept(address)
    send(inbox, a_mail(), address)
    assert len(inbox.messages_for(address)) == 1


def test_an_sms_is_accepted_with_an_id_and_stored(inbox: Inbox, number: str) -> None:
    response = post_sms(inbox, number)
    [message] = inbox.messages_for(number)
    assert (response.status_code, response.json()["id"]) == (202, message.id)
    assert (message.channel, message.code) == ("sms", "204816")
    assert (inbox.folder / f"{message.id}.json").read_bytes() == inbox.raw(message)


def test_a_repeated_idempotency_key_gets_the_same_response_and_is_stored_once(inbox: Inbox, number: str) -> None:
    keyed = AUTHORIZED | {"Idempotency-Key": f"key-of-{number}"}
    answers = [post_sms(inbox, number, keyed).json() for _ in range(2)]
    other = post_sms(inbox, number, AUTHORIZED | {"Idempotency-Key": f"other-key-of-{number}"}).json()
    assert answers[0] == answers[1] != other
    assert len(inbox.messages_for(number)) == 2


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": SMS_TOKEN}])
def test_the_gateway_rejects_requests_without_its_token(inbox: Inbox, number: str, headers: dict[str, str]) -> None:
    assert post_sms(inbox, number, headers).status_code == 401
    assert inbox.messages_for(number) == []


def test_the_gateway_rejects_a_number_on_the_list(inbox: Inbox, number: str) -> None:
    inbox.refuse(number)
    response = post_sms(inbox, number)
    assert (response.status_code, response.json()) == (422, {"code": "invalid_recipient"})
    assert inbox.messages_for(number) == []


@pytest.mark.parametrize("fields", [{"to": ""}, {"to": None}, {"text": 5}])
def test_the_gateway_rejects_an_invalid_message(inbox: Inbox, number: str, fields: dict[str, object]) -> None:
    response = post_sms(inbox, **({"to": number} | fields))
    assert (response.status_code, response.json()) == (422, {"code": "invalid_message"})
    assert inbox.messages_for(number) == []


def test_messages_survive_a_restart_on_the_same_ports(tmp_path: Path, address: str, number: str) -> None:
    keyed = AUTHORIZED | {"Idempotency-Key": "m-1"}
    with running_inbox(tmp_path) as before:
        send(before, a_mail(), address, "bob@example.org")
        answered = post_sms(before, number, keyed).json()
        before.refuse("carol@example.org")
        arrived = before.all_messages()
    with running_inbox(tmp_path, smtp_port=before.smtp_port, http_port=before.http_port) as after:
        assert after.all_messages() == arrived
        assert len(after.messages_for("bob@example.org")) == 1
        assert post_sms(after, number, keyed).json() == answered
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(after, a_mail(), "carol@example.org")


@pytest.mark.parametrize("received", [signal.SIGTERM, signal.SIGINT])
def test_the_inbox_stops_at_once_although_clients_stay_connected(tmp_path: Path, received: signal.Signals) -> None:
    with running_inbox(tmp_path) as inbox, socket.create_connection(("127.0.0.1", inbox.smtp_port)) as connection:
        connection.settimeout(END_SECONDS)
        assert connection.recv(3) == b"220"
        inbox.process.send_signal(received)
        assert inbox.process.wait(END_SECONDS) == 0
        assert inbox.log == ""


def test_the_list_shows_the_newest_first_with_its_code(inbox: Inbox, address: str, number: str) -> None:
    send(inbox, a_mail("Your code is 111111.\n"), address)
    post_sms(inbox, number, text="222222 is your code.")
    page = get(inbox, "/").text
    assert page.index(number) < page.index(address)
    assert page.index(">222222</span>") < page.index(">111111</span>")


def test_a_page_shows_text_as_text_and_runs_no_script(inbox: Inbox, address: str) -> None:
    send(inbox, a_mail("<script>alert(1)</script>\n", "<script>alert(1)</script><p>Hello</p>"), address)
    [message] = inbox.messages_for(address)
    page = get(inbox, f"/messages/{message.id}")
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "script-src" not in page.headers["Content-Security-Policy"]


def test_the_html_of_a_message_is_sandboxed_in_its_frame_and_alone(inbox: Inbox, address: str) -> None:
    send(inbox, a_mail(html="<p>Hello</p>"), address)
    [message] = inbox.messages_for(address)
    framed = get(inbox, f"/messages/{message.id}/html")
    sandbox = "allow-popups allow-popups-to-escape-sandbox"
    assert f'<iframe sandbox="{sandbox}" title=' in get(inbox, f"/messages/{message.id}").text
    assert "<p>Hello</p>" in framed.text
    assert framed.headers["Content-Security-Policy"].startswith(f"sandbox {sandbox}; default-src 'none'")


def test_an_unknown_message_is_not_found(inbox: Inbox) -> None:
    assert get(inbox, "/messages/nothing").status_code == 404


def test_host_names_that_resolve_to_loopback_are_rejected(inbox: Inbox) -> None:
    response = plain_http.get(f"{inbox.http_url}/messages.json", headers={"Host": "evil.example"}, trust_env=False)
    assert response.status_code == 400


def test_the_inbox_listens_on_loopback_only(inbox: Inbox) -> None:
    for port in (inbox.smtp_port, inbox.http_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def test_the_inboxs_log_contains_no_address(inbox: Inbox, address: str, number: str) -> None:
    inbox.refuse(address)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(inbox, a_mail(), address)
    post_sms(inbox, number)
    assert len(inbox.messages_for(number)) == 1
    assert "example.org" not in inbox.log
    assert number not in inbox.log
