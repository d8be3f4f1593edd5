import asyncio

import pytest

from outbox_relay.model import FailureClass, RenderedMessage, Sent
from shared.reports.return_paths import BounceAddress, BouncedMessage, bounced_message, recipient_tag
from shared.secrets import SecretKeys
from tests.support.rendered_messages import ListSource, a_message
from tests.support.smtp_server import Moment, Script, SmtpServer
from tests.support.smtp_sessions import SENDER, session_to

pytestmark = pytest.mark.anyio

UNKNOWN = b"550 5.1.1 no such user"


@pytest.fixture(params=[("PIPELINING", "8BITMIME"), ("8BITMIME",)], ids=["pipelining", "lock-step"])
def offers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param


async def test_a_message_is_sent_once_the_server_has_accepted_it(offers: tuple[str, ...]) -> None:
    rendered = a_message()
    source = ListSource([rendered])
    async with SmtpServer(Script(offers)) as server, session_to(server) as session:
        await session.deliver(source)
    assert source.result(rendered) == Sent(f"smtp:127.0.0.1:{server.port}", "1")
    assert server.messages == [("ada@example.org", rendered.content)]
    assert f"MAIL FROM:<{SENDER}>" in server.commands
    assert not server.faults


async def test_each_message_has_an_envelope_sender_that_names_it(offers: tuple[str, ...]) -> None:
    key = b"k" * 32
    messages = [a_message(), a_message("Grace@Example.org")]
    source = ListSource(messages)
    async with (
        SmtpServer(Script(offers)) as server,
        session_to(server, bounces=BounceAddress("bounces@signpost.example", key)) as session,
    ):
        await session.deliver(source)
    senders = [command for command in server.commands if command.startswith("MAIL FROM:<bounces+")]
    assert [bounced_message(sender, SecretKeys({"a": key})) for sender in senders] == [
        BouncedMessage(messages[0].message.id, recipient_tag("ada@example.org", key)),
        BouncedMessage(messages[1].message.id, recipient_tag("grace@example.org", key)),
    ]
    assert not server.faults


async def test_a_thousand_messages_over_a_few_connections_arrive_once_and_unchanged(
    offers: tuple[str, ...],
) -> None:
    messages = [a_message(f"user{n}@example.org", b"Subject: %d\r\n\r\n%b\r\n" % (n, b"x" * n)) for n in range(1000)]
    source = ListSource(messages)
    async with (
        SmtpServer(Script(offers)) as server,
        session_to(server) as one,
        session_to(server) as two,
        session_to(server) as three,
    ):
        await asyncio.gather(one.deliver(source), two.deliver(source), three.deliver(source))
    assert sorted(server.messages) == sorted((rendered.message.recipient, rendered.content) for rendered in messages)
    assert all(isinstance(source.result(rendered), Sent) for rendered in messages)
    assert server.connections == 3
    assert not server.faults


async def test_with_pipelining_the_next_message_starts_before_the_final_reply() -> None:
    script = Script()
    async with SmtpServer(script) as server, session_to(server) as session:
        source = ListSource([a_message(), a_message("grace@example.org")])
        reading = asyncio.create_task(session.deliver(source))
        await server.reached[Moment.CONTENT].wait()
        assert not source.waiting
        await reading
    assert len(server.messages) == 2


@pytest.mark.parametrize("asks_for_content", [False, True], ids=["DATA refused", "DATA accepted"])
async def test_one_rejected_recipient_does_not_affect_others(offers: tuple[str, ...], asks_for_content: bool) -> None:  # noqa: FBT001 - a test's parameter
    messages = [a_message(f"{name}@example.org") for name in ("ada", "nobody", "grace", "nobody", "edith")]
    source = ListSource(messages)
    script = Script(offers, refused={"nobody@example.org": UNKNOWN}, asks_for_content_of_refused=asks_for_content)
    async with SmtpServer(script) as server, session_to(server) as session:
        await session.deliver(source)
    assert [recipient for recipient, _ in server.messages] == [
        "ada@example.org",
        "grace@example.org",
        "edith@example.org",
    ]
    assert [isinstance(source.result(rendered), Sent) for rendered in messages] == [True, False, True, False, True]
    assert source.failure(messages[1]).kind is FailureClass.RECIPIENT
    assert source.failure(messages[1]).error == "RCPT: 550 5.1.1 no such user"
    assert not server.faults
    assert server.connections == 1


@pytest.mark.parametrize(
    ("moment", "reply", "kind"),
    [
        (Moment.MAIL, b"451 4.3.0 try later", FailureClass.PROVIDER),
        (Moment.MAIL, b"550 5.7.1 sender not allowed", FailureClass.PROVIDER),
        (Moment.RCPT, b"450 4.2.0 greylisted, try again in 5 minutes", FailureClass.TRANSIENT),
        (Moment.RCPT, UNKNOWN, FailureClass.RECIPIENT),
        (Moment.RCPT, b"554 5.7.1 <ada@example.org>: Relay access denied", FailureClass.PROVIDER),
        (Moment.DATA, b"451 4.3.0 try later", FailureClass.PROVIDER),
        (Moment.FINAL_DOT, b"452 4.3.1 no space", FailureClass.PROVIDER),
        (Moment.FINAL_DOT, b"554 5.6.0 looks like spam", FailureClass.CONTENT),
    ],
)
async def test_a_rejection_has_its_failure_class_and_the_connection_stays_usable(
    offers: tuple[str, ...], moment: Moment, reply: bytes, kind: FailureClass
) -> None:
    refused, welcome = [a_message(), a_message()], a_message()
    source = ListSource(refused)
    script = Script(offers, instead={moment: reply})
    async with SmtpServer(script) as server, session_to(server) as session:
        await session.deliver(source)
        script.instead.clear()
        source.waiting.append(welcome)
        await session.deliver(source)
    assert [source.failure(rendered).kind for rendered in refused] == [kind, kind]
    assert not any(source.failure(rendered).maybe_accepted for rendered in refused)
    assert isinstance(source.result(welcome), Sent)
    assert len(server.messages) == 1
    assert not server.faults
    assert server.connections == 1


async def test_a_greylisting_servers_hint_is_passed_on() -> None:
    rendered = a_message()
    source = ListSource([rendered])
    greylisted = {Moment.RCPT: b"450 4.2.0 Greylisted, please try again in 300 seconds"}
    async with SmtpServer(Script(instead=dict(greylisted))) as server, session_to(server) as session:
        await session.deliver(source)
    wait = source.failure(rendered).retry_after
    assert wait is not None
    assert wait.total_seconds() == 300


async def test_an_address_with_line_breaks_never_reaches_the_server() -> None:
    poisoned, plain = a_message("ada@example.org>\r\nRCPT TO:<eve@example.org"), a_message()
    source = ListSource([poisoned, plain])
    async with SmtpServer() as server, session_to(server) as session:
        await session.deliver(source)
    assert source.failure(poisoned).kind is FailureClass.RECIPIENT
    assert not any("eve" in command for command in server.commands)
    assert isinstance(source.result(plain), Sent)


async def test_a_unicode_address_is_sent_to_a_server_with_smtputf8(offers: tuple[str, ...]) -> None:
    plain, utf8, again = (
        a_message(),
        a_message("zoë.用户@example.org", b"To: zo\xc3\xab\r\n\r\n\r\n"),
        a_message(),
    )
    source = ListSource([plain, utf8, again])
    async with SmtpServer(Script((*offers, "SMTPUTF8"))) as server, session_to(server) as session:
        await session.deliver(source)
    assert all(isinstance(source.result(rendered), Sent) for rendered in (plain, utf8, again))
    assert ("zoë.用户@example.org", utf8.content) in server.messages
    assert [command for command in server.commands if command.startswith("MAIL")] == [
        f"MAIL FROM:<{SENDER}>",
        f"MAIL FROM:<{SENDER}> BODY=8BITMIME SMTPUTF8",
        f"MAIL FROM:<{SENDER}>",
    ]
    assert not server.faults


async def test_a_unicode_address_is_dead_with_its_reason_without_smtputf8(
    offers: tuple[str, ...],
) -> None:
    utf8, plain = a_message("zoë@example.org"), a_message()
    source = ListSource([utf8, plain])
    async with SmtpServer(Script(offers)) as server, session_to(server) as session:
        await session.deliver(source)
    assert source.failure(utf8).kind is FailureClass.RECIPIENT
    assert source.failure(utf8).error == "the address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)"
    assert isinstance(source.result(plain), Sent)
    assert not server.faults


async def test_a_rejected_smtputf8_address_affects_only_its_message(offers: tuple[str, ...]) -> None:
    script = Script((*offers, "SMTPUTF8"), instead={Moment.MAIL: iter([b"550 5.6.7 not for this sender", None])})
    utf8, plain = a_message("zoë@example.org"), a_message()
    source = ListSource([utf8, plain])
    async with SmtpServer(script) as server, session_to(server) as session:
        await session.deliver(source)
    assert source.failure(utf8).kind is FailureClass.RECIPIENT
    assert isinstance(source.result(plain), Sent)


@pytest.mark.parametrize("recipient", ["é\u2028@example.org", "é @example.org", "é>@example.org", "é\x85@example.org"])
async def test_a_unicode_address_with_line_breaks_never_reaches_the_server(recipient: str) -> None:
    poisoned = a_message(recipient)
    source = ListSource([poisoned])
    async with SmtpServer(Script(("PIPELINING", "SMTPUTF8"))) as server, session_to(server) as session:
        await session.deliver(source)
    assert source.failure(poisoned).error == "the address cannot stand in an SMTP command"
    assert not any(command.startswith("MAIL") for command in server.commands)


async def test_a_message_of_a_megabyte_arrives_completely(offers: tuple[str, ...]) -> None:
    messages = [a_message(content=b"x" * 70 + b"\r\n" * 500_000), a_message()]
    source = ListSource(messages)
    async with SmtpServer(Script(offers)) as server, session_to(server) as session:
        await session.deliver(source)
    assert [content for _, content in server.messages] == [rendered.content for rendered in messages]


async def test_a_bug_in_the_relay_is_raised_unchanged() -> None:
    class BrokenSource(ListSource):
        def take(self) -> RenderedMessage | None:
            raise LookupError

    async with SmtpServer() as server, session_to(server) as session:
        with pytest.raises(LookupError):
            await session.deliver(BrokenSource([a_message()]))


async def test_after_a_bug_during_delivery_the_current_message_is_released() -> None:
    rendered = a_message()

    class OnceSource(ListSource):
        def take(self) -> RenderedMessage | None:
            if not self.waiting:
                raise LookupError
            return super().take()

    source = OnceSource([rendered])
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # otherwise asyncio logs the error
    async with SmtpServer() as server, session_to(server) as session:
        with pytest.raises(LookupError):
            await session.deliver(source)
    assert source.failure(rendered).kind is FailureClass.PROVIDER
    assert not source.failure(rendered).maybe_accepted
