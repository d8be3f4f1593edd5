import quopri
import re
from contextlib import suppress
from datetime import UTC, datetime
from email import message_from_string, policy
from email.errors import NonASCIILocalPartDefect
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from outbox_relay.model import ClaimedMessage
from outbox_relay.rendering.branding import Brand, Branding, Sender
from outbox_relay.rendering.catalog import PAGE, TemplateCatalog
from outbox_relay.rendering.compiled_template import (
    SOFT_BREAK,
    OutputContext,
    Value,
    compile_template,
    placeholder,
    quoted,
    quoted_html,
)
from outbox_relay.rendering.renderer import Renderer, activation_link, end_sessions_link, invitation_link
from outbox_relay.rendering.values import (
    RenderingError,
    causes_in_html,
    causes_in_text,
    events_in_html,
    events_in_text,
    greeted_name,
    time_text,
)
from shared.secrets import LinkUse, code_for, link_token_for
from shared.templates import TEMPLATES
from shared.vocabulary import Locale
from tests.support.claimed import A_DIGEST, A_TOKEN, EVENTS, a_claimed_message
from tests.support.rendering import KEY, KEYS, PUBLIC_URL, SENDER, usual_renderer

WORDS = {locale: TemplateCatalog(locale, Branding(Brand(SENDER.name))) for locale in Locale}

nasty_text = st.text(alphabet="=.\r\n\0\t <>&\"'%{}é…😀aZ:@", max_size=90)
usual_name = st.text(alphabet="Adaß é'-.", max_size=90)
names = st.none() | st.text(max_size=200) | nasty_text | usual_name
beyond_ascii = st.text(st.characters(categories=["L", "N", "S"], min_codepoint=0x80), min_size=1, max_size=30)
addresses = st.emails().filter(lambda address: "=?" not in address) | st.builds("{}@example.org".format, beyond_ascii)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
messages = st.builds(
    lambda name, **fields: a_claimed_message(
        payload={"name": name, "key_id": "k1", "events": EVENTS, **A_DIGEST}, **fields
    ),
    name=names,
    id=st.uuids(),
    template=st.sampled_from(TEMPLATES),
    locale=st.sampled_from(Locale),
    recipient=addresses,
    token_id=st.uuids(),
    created_at=moments,
    expires_at=moments,
)


@given(message=messages)
@example(message=a_claimed_message(payload={"name": ".", "key_id": "k1"}))
@example(message=a_claimed_message(payload={"name": "=\r\n.\r\nBcc: eve", "key_id": "k1"}))
@example(message=a_claimed_message(payload={"name": "😀" * 300, "key_id": "k1"}))
@example(message=a_claimed_message(payload={"name": "O'Brien", "key_id": "k1"}))
@example(message=a_claimed_message(payload={"name": "Zoë O'Brien", "key_id": "k1"}))
@example(message=a_claimed_message(recipient="zoë.用户@xn--bcher-kva.example"))
def test_a_parsed_mail_has_exactly_the_intended_content(message: ClaimedMessage) -> None:
    parsed = parse(usual_renderer().render(message))
    text, html = parsed.iter_parts()
    assert headers_of(parsed) == intended_headers(message)
    assert [part.get_content_type() for part in (text, html)] == ["text/plain", "text/html"]
    assert content_of(text) == directly_rendered(message, "body.txt")
    assert content_of(html) == directly_rendered(message, PAGE)


@given(message=messages)
@example(message=a_claimed_message(payload={"name": "é." * 30, "key_id": "k1"}))
def test_a_mail_is_7_bit_with_short_lines_and_no_leading_dots(message: ClaimedMessage) -> None:
    content = usual_renderer().render(message)
    lines = content.split(b"\r\n")
    assert lines.pop() == b""
    assert content.replace(message.recipient.encode(), b"").isascii()
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert not any(line.startswith(b".") for line in lines)
    assert [line for line in lines if len(line) > 76 and line != b"To: " + message.recipient.encode()] == []


def test_dots_in_template_text_neither_start_nor_lengthen_lines() -> None:
    renderer = Renderer(KEYS, PUBLIC_URL, Sender("." * 200, "no-reply@signpost.example"))
    _, _, body = renderer.render(a_claimed_message()).partition(b"\r\n\r\n")
    lines = body.split(b"\r\n")
    assert b"=2E" in body
    assert [line for line in lines if line.startswith(b".") or len(line) > 76] == []


@given(recipient=st.builds("{}@{}".format, nasty_text | st.text(), nasty_text | st.just("example.org")))
def test_no_recipient_can_add_or_change_a_header(recipient: str) -> None:
    message = a_claimed_message(recipient=recipient)
    with suppress(RenderingError):
        assert headers_of(parse(usual_renderer().render(message))) == intended_headers(message)


@pytest.mark.parametrize(
    "recipient",
    [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org\n",
        "=?utf-8?q?ada?=@example.org",
        "ada@example.org, eve@example.org",
        "Ada <ada@example.org>",
        "ä dä@example.org",
        "ä\u2028dä@example.org",
        "ä\ud800@example.org",
        "ada@exämple.org",
        "é" * 122 + "@example.org",
        "+33612345678",
        f"ada@{'a' * 250}.org",
    ],
)
def test_a_recipient_must_be_a_plain_address(recipient: str) -> None:
    with pytest.raises(RenderingError):
        usual_renderer().render(a_claimed_message(recipient=recipient))


@given(value=st.text() | nasty_text)
@example(value="a" * 76)
@example(value="é" * 40)
def test_any_value_survives_soft_line_breaks(value: str) -> None:
    written = quoted(value)
    lines = written.split(SOFT_BREAK)
    assert quopri.decodestring(SOFT_BREAK + written + SOFT_BREAK) == value.encode()
    assert all(len(line) <= 75 and not line.startswith(b".") for line in lines)
    assert not any(b"\r" in line or b"\n" in line for line in lines)


@given(value=st.text() | nasty_text)
@example(value="'" * 20)
def test_any_value_is_escaped_in_html(value: str) -> None:
    written = SOFT_BREAK + quoted_html(value) + SOFT_BREAK
    in_html = quopri.decodestring(written).decode()
    assert unescape(in_html) == value
    assert not set(in_html) & set("<>\"'")
    assert all(len(line) <= 76 for line in written.split(b"\r\n"))


def test_a_value_in_an_unknown_output_context_is_a_template_error() -> None:
    with pytest.raises(KeyError):
        compile_template(f"Subject: {placeholder(OutputContext.HEADER, Value.NAME)}\r\n".encode())


@pytest.mark.parametrize("name", ["Signpost", "Acme, Inc.", "Société Générale", 'The "Best" (one)', "Zoë, Cie"])
def test_the_from_header_has_the_senders_name(name: str) -> None:
    renderer = Renderer(KEYS, PUBLIC_URL, Sender(name, "no-reply@signpost.example"))
    parsed = parse(renderer.render(a_claimed_message(locale=Locale.FR)))
    assert parsed["From"].addresses == (Address(name, "no-reply", "signpost.example"),)
    assert parsed["Subject"] == f"Votre compte {name}\N{NO-BREAK SPACE}: confirmez votre adresse"


@pytest.mark.parametrize("answered", [Address("", "help", "signpost.example"), Address("Zoë, Cie", "a", "b.example")])
def test_reply_to_is_the_configured_address(answered: Address) -> None:
    sender = Sender("Signpost", "no-reply@signpost.example", reply_to=answered)
    parsed = parse(Renderer(KEYS, PUBLIC_URL, sender).render(a_claimed_message()))
    assert parsed["Reply-To"].addresses == (answered,)
    assert parsed.get_all("From") == ["Signpost <no-reply@signpost.example>"]


def test_each_attempt_submits_the_same_bytes() -> None:
    first, second = (a_claimed_message(attempt=attempt, lease_token=UUID(int=attempt)) for attempt in (0, 1))
    assert usual_renderer().render(first) == usual_renderer().render(second)


def test_the_code_is_in_the_body_and_in_no_header() -> None:
    code = code_for(A_TOKEN, KEY)
    head, _, body = usual_renderer().render(a_claimed_message()).partition(b"\r\n\r\n")
    assert len(re.findall(code.encode(), body)) == 2
    assert code.encode() not in head


def parse(content: bytes) -> EmailMessage:
    # Parse as text: for UTF-8 in headers (RFC 6532), the library returns correct words but reports a defect.
    parsed = message_from_string(content.decode(), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not any(part.defects for part in parsed.walk())
    defects = [defect for header in parsed.values() for defect in header.defects]
    assert [each for each in defects if not isinstance(each, NonASCIILocalPartDefect)] == []
    return parsed


def headers_of(parsed: EmailMessage) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in parsed.items()]


def intended_headers(message: ClaimedMessage) -> list[tuple[str, str]]:
    return [
        ("Date", format_datetime(message.created_at.replace(microsecond=0))),
        ("Message-ID", f"<{message.id}@signpost.example>"),
        ("To", message.recipient),
        ("From", "Signpost <no-reply@signpost.example>"),
        ("Subject", WORDS[message.locale].render(message.template, "subject.txt", {})),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("MIME-Version", "1.0"),
        ("Content-Type", 'multipart/alternative; boundary="=_signpost"'),
        ("Content-Language", message.locale.value),
    ]


def directly_rendered(message: ClaimedMessage, file: str) -> str:
    assert message.token_id is not None
    assert message.expires_at is not None
    values: dict[str, Any] = {
        "name": greeted_name(message.payload["name"]),
        "code": code_for(message.token_id, KEY),
        "link": activation_link(PUBLIC_URL, link_token_for(message.token_id, KEY)),
        "expires": time_text(message.expires_at, message.locale, message.channel),
        "time": time_text(message.created_at, message.locale, message.channel),
        "end_link": end_sessions_link(PUBLIC_URL, link_token_for(message.id, KEY, LinkUse.END_SESSIONS)),
        "invitation_link": invitation_link(
            PUBLIC_URL, link_token_for(message.token_id, KEY, LinkUse.ACCEPT_INVITATION)
        ),
        "events": events_for(file, message.locale).replace("\r", ""),
        "dead": str(A_DIGEST["dead"]),
        "causes": causes_for(file).replace("\r", ""),
    }
    return WORDS[message.locale].render(message.template, file, values)


def causes_for(file: str) -> str:
    return Markup(causes_in_html(A_DIGEST)) if file == PAGE else causes_in_text(A_DIGEST)


def events_for(file: str, locale: Locale) -> str:
    events = {"events": EVENTS}
    return Markup(events_in_html(events, locale)) if file == PAGE else events_in_text(events, locale)


def content_of(part: Any) -> str:
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n").removesuffix("\n")
