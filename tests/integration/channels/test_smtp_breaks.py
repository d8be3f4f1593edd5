import asyncio
import time
from dataclasses import dataclass

import pytest

from outbox_relay.channels.base import ProviderDownError
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from tests.support.rendered_messages import ListSource, a_message
from tests.support.smtp_server import End, Moment, Script, SmtpServer
from tests.support.smtp_sessions import LONG_TIMEOUT, SHORT_TIMEOUT, session_to

pytestmark = pytest.mark.anyio

PIPELINING = ("PIPELINING",)
LOCK_STEP = ("8BITMIME",)
BEFORE_ANY_LETTER = (Moment.CONNECT, Moment.EHLO)
BEFORE_HAND_OVER = (Moment.MAIL, Moment.RCPT, Moment.DATA)
AFTER_HAND_OVER = (Moment.CONTENT, Moment.FINAL_DOT)
CLOSING = b"421 4.3.2 shutting down"

GARBAGE = (
    pytest.param(b"hello there", id="words"),
    pytest.param(b"\x00\xff\xfe\r\n\x01", id="binary"),
    pytest.param(b"999 what", id="no such code"),
    pytest.param(b"250 " + b"x" * 5000, id="endless line"),
    pytest.param(b"250-more\r\n" * 500, id="endless reply"),
)


@pytest.fixture(params=[PIPELINING, LOCK_STEP], ids=["pipelining", "lock-step"])
def offers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param


@dataclass(frozen=True)
class Broken:
    """The state of three messages after an interrupted delivery. The source has all unreported ones back."""

    source: ListSource
    messages: list[RenderedMessage]
    down: Failure

    def assert_nothing_was_taken(self) -> None:
        assert list(self.source.waiting) == self.messages
        assert self.down.kind is FailureClass.PROVIDER
        assert self.down.error

    def assert_first_was_not_submitted(self) -> None:
        assert list(self.source.waiting) == self.messages[1:]
        self._assert_not_submitted(self.messages[0])

    def assert_first_may_have_arrived(self, offers: tuple[str, ...]) -> None:
        first = self.source.failure(self.messages[0])
        assert (first.kind, first.maybe_accepted) == (FailureClass.TRANSIENT, True)
        if offers is PIPELINING:
            self._assert_not_submitted(self.messages[1])
        assert list(self.source.waiting) == self.messages[2 if offers is PIPELINING else 1 :]

    def assert_first_was_sent(self) -> None:
        assert isinstance(self.source.result(self.messages[0]), Sent)
        self._assert_not_submitted(self.messages[1])
        assert list(self.source.waiting) == self.messages[2:]

    def _assert_not_submitted(self, rendered: RenderedMessage) -> None:
        failure = self.source.failure(rendered)
        assert (failure.kind, failure.maybe_accepted) == (FailureClass.PROVIDER, False)


async def broken_delivery(script: Script, smtp_timeout: float = LONG_TIMEOUT) -> Broken:
    messages = [a_message() for _ in range(3)]
    source = ListSource(messages)
    async with SmtpServer(script) as server, session_to(server, smtp_timeout=smtp_timeout) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
        assert source.has_all_reported
        assert len(source.results) + len(source.waiting) == len(messages)
    return Broken(source, messages, caught.value.failure)


@pytest.mark.parametrize("instead", [End.CLOSE, CLOSING, *GARBAGE])
@pytest.mark.parametrize("moment", BEFORE_ANY_LETTER)
async def test_no_message_is_taken_while_a_server_is_not_ready(moment: Moment, instead: bytes | End) -> None:
    broken = await broken_delivery(Script(instead={moment: instead}))
    broken.assert_nothing_was_taken()


@pytest.mark.parametrize("instead", [End.CLOSE, *GARBAGE])
@pytest.mark.parametrize("moment", BEFORE_HAND_OVER)
async def test_a_break_before_the_final_dot_is_a_provider_failure(
    offers: tuple[str, ...], moment: Moment, instead: bytes | End
) -> None:
    broken = await broken_delivery(Script(offers, instead={moment: instead}))
    broken.assert_first_was_not_submitted()


@pytest.mark.parametrize(
    ("moment", "instead"),
    [
        (Moment.CONTENT, End.CLOSE),
        (Moment.FINAL_DOT, End.CLOSE),
        (Moment.FINAL_DOT, b"hello there"),
        (Moment.FINAL_DOT, b"250 " + b"x" * 5000),
    ],
    ids=["in the content", "at the dot", "garbage", "endless line"],
)
async def test_after_a_break_behind_the_final_dot_the_message_may_have_arrived(
    offers: tuple[str, ...], moment: Moment, instead: bytes | End
) -> None:
    broken = await broken_delivery(Script(offers, instead={moment: instead}))
    broken.assert_first_may_have_arrived(offers)


@pytest.mark.parametrize(
    ("moment", "reply"),
    [(Moment.MAIL, b"354 go ahead"), (Moment.RCPT, b"354 go ahead"), (Moment.DATA, b"250 2.0.0 Ok")],
)
async def test_a_reply_to_another_command_ends_the_connection(
    offers: tuple[str, ...], moment: Moment, reply: bytes
) -> None:
    broken = await broken_delivery(Script(offers, instead={moment: reply}))
    broken.assert_first_was_not_submitted()


async def test_a_server_that_hangs_counts_like_a_broken_connection(offers: tuple[str, ...]) -> None:
    moments = (*BEFORE_ANY_LETTER, *BEFORE_HAND_OVER, *AFTER_HAND_OVER, Moment.ACCEPTED)
    scripts = [Script(offers, instead={moment: End.HANG}) for moment in moments]
    all_broken = await asyncio.gather(*(broken_delivery(script, SHORT_TIMEOUT) for script in scripts))
    for moment, broken in zip(moments, all_broken, strict=True):
        if moment in BEFORE_ANY_LETTER:
            broken.assert_nothing_was_taken()
        elif moment in BEFORE_HAND_OVER:
            broken.assert_first_was_not_submitted()
        elif moment in AFTER_HAND_OVER:
            broken.assert_first_may_have_arrived(offers)
        else:
            broken.assert_first_was_sent()


async def test_an_accepted_message_stays_sent_when_the_server_disconnects(offers: tuple[str, ...]) -> None:
    broken = await broken_delivery(Script(offers, instead={Moment.ACCEPTED: End.CLOSE}))
    broken.assert_first_was_sent()


@pytest.mark.parametrize("moment", [*BEFORE_HAND_OVER, Moment.FINAL_DOT])
async def test_421_rejects_all_messages_in_flight(offers: tuple[str, ...], moment: Moment) -> None:
    broken = await broken_delivery(Script(offers, instead={moment: CLOSING}))
    assert broken.source.results
    for result in broken.source.results.values():
        assert isinstance(result, Failure)
        assert (result.kind, result.maybe_accepted) == (FailureClass.PROVIDER, False)
    assert "421 4.3.2 shutting down" in broken.down.error


@pytest.mark.parametrize("moment", [Moment.MAIL, Moment.DATA, Moment.FINAL_DOT])
async def test_a_cancelled_delivery_reports_how_far_it_was(offers: tuple[str, ...], moment: Moment) -> None:
    messages = [a_message(), a_message()]
    source = ListSource(messages)
    script = Script(offers, instead={moment: End.HANG})
    async with SmtpServer(script) as server, session_to(server) as session:
        carrying = asyncio.create_task(session.deliver(source))
        await server.reached[moment].wait()
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
    assert source.has_all_reported
    assert source.failure(messages[0]).maybe_accepted is (moment is Moment.FINAL_DOT)


async def test_a_refused_connection_is_a_provider_failure() -> None:
    async with SmtpServer() as server:
        pass
    rendered = a_message()
    source = ListSource([rendered])
    async with session_to(server) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.deliver(source)
    assert list(source.waiting) == [rendered]
    assert caught.value.failure.kind is FailureClass.PROVIDER


async def test_after_a_break_the_next_delivery_opens_a_new_connection(offers: tuple[str, ...]) -> None:
    script = Script(offers, instead={Moment.RCPT: End.CLOSE})
    lost, welcome = a_message(), a_message()
    async with SmtpServer(script) as server, session_to(server) as session:
        with pytest.raises(ProviderDownError):
            await session.deliver(ListSource([lost]))
        script.instead.clear()
        source = ListSource([welcome])
        await session.deliver(source)
    assert isinstance(source.result(welcome), Sent)
    assert server.connections == 2


async def test_a_connection_closed_between_deliveries_is_replaced() -> None:
    rendered = a_message()
    source = ListSource([rendered])
    async with SmtpServer() as server, session_to(server) as session:
        await session.deliver(ListSource([a_message()]))
        await server.drop_connections()
        async with asyncio.timeout(LONG_TIMEOUT):
            while server.connections == 1:
                await session.deliver(ListSource([]))
                await asyncio.sleep(0.001)
        await session.deliver(source)
    assert isinstance(source.result(rendered), Sent)
    assert server.connections == 2


async def test_a_connection_is_reused_by_the_next_delivery_for_a_short_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with SmtpServer() as server, session_to(server) as session:
        await session.deliver(ListSource([a_message()]))
        await session.deliver(ListSource([a_message()]))
        assert server.connections == 1
        monkeypatch.setattr("outbox_relay.channels.smtp.session.LONGEST_IDLE_SECONDS", -1.0)
        await session.deliver(ListSource([a_message()]))
    assert server.connections == 2
    assert len(server.messages) == 3


async def test_closing_sends_quit_without_waiting() -> None:
    async with SmtpServer(Script(instead={Moment.QUIT: End.HANG})) as server, session_to(server) as session:
        await session.deliver(ListSource([a_message()]))
        began = time.monotonic()
        await session.close()
        assert time.monotonic() - began < 2
    assert server.commands[-1] == "QUIT"


async def test_the_timeout_applies_to_each_message() -> None:
    class LongSource(ListSource):
        def take(self) -> RenderedMessage | None:
            if time.monotonic() < until:
                self.waiting.append(a_message())
            return super().take()

    until = time.monotonic() + 1.1 * SHORT_TIMEOUT
    source = LongSource([])
    async with SmtpServer() as server, session_to(server, smtp_timeout=SHORT_TIMEOUT) as session:
        await session.deliver(source)
    assert time.monotonic() >= until
    assert len(server.messages) == len(source.results)
