import asyncio
import time
from dataclasses import dataclass

import pytest

from outbox_relay.channels.base import ProviderDownError
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from tests.support.letters import ListTray, a_letter
from tests.support.smtp_server import End, Moment, Script, SmtpServer
from tests.support.smtp_sessions import IMPATIENT, PATIENT, session_to

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
    """How it stands with three letters after a carry that broke off; each letter taken is back."""

    tray: ListTray
    letters: list[RenderedMessage]
    down: Failure

    def assert_nothing_was_taken(self) -> None:
        assert list(self.tray.waiting) == self.letters
        assert self.down.kind is FailureClass.PROVIDER
        assert self.down.error

    def assert_first_was_not_handed_over(self) -> None:
        assert list(self.tray.waiting) == self.letters[1:]
        self._assert_not_handed_over(self.letters[0])

    def assert_first_may_have_arrived(self, offers: tuple[str, ...]) -> None:
        first = self.tray.failure(self.letters[0])
        assert (first.kind, first.maybe_accepted) == (FailureClass.TRANSIENT, True)
        if offers is PIPELINING:
            self._assert_not_handed_over(self.letters[1])
        assert list(self.tray.waiting) == self.letters[2 if offers is PIPELINING else 1 :]

    def assert_first_was_sent(self) -> None:
        assert isinstance(self.tray.fate(self.letters[0]), Sent)
        self._assert_not_handed_over(self.letters[1])
        assert list(self.tray.waiting) == self.letters[2:]

    def _assert_not_handed_over(self, letter: RenderedMessage) -> None:
        failure = self.tray.failure(letter)
        assert (failure.kind, failure.maybe_accepted) == (FailureClass.PROVIDER, False)


async def broken_carry(script: Script, patience: float = PATIENT) -> Broken:
    letters = [a_letter() for _ in range(3)]
    tray = ListTray(letters)
    async with SmtpServer(script) as server, session_to(server, patience=patience) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.carry(tray)
        assert tray.has_all_back
        assert len(tray.fates) + len(tray.waiting) == len(letters)
    return Broken(tray, letters, caught.value.failure)


@pytest.mark.parametrize("instead", [End.CLOSE, CLOSING, *GARBAGE])
@pytest.mark.parametrize("moment", BEFORE_ANY_LETTER)
async def test_no_letter_is_taken_for_a_server_that_does_not_get_ready(moment: Moment, instead: bytes | End) -> None:
    broken = await broken_carry(Script(instead={moment: instead}))
    broken.assert_nothing_was_taken()


@pytest.mark.parametrize("instead", [End.CLOSE, *GARBAGE])
@pytest.mark.parametrize("moment", BEFORE_HAND_OVER)
async def test_what_breaks_before_the_final_dot_is_the_providers_fault(
    offers: tuple[str, ...], moment: Moment, instead: bytes | End
) -> None:
    broken = await broken_carry(Script(offers, instead={moment: instead}))
    broken.assert_first_was_not_handed_over()


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
async def test_what_breaks_after_the_final_dot_may_have_arrived(
    offers: tuple[str, ...], moment: Moment, instead: bytes | End
) -> None:
    broken = await broken_carry(Script(offers, instead={moment: instead}))
    broken.assert_first_may_have_arrived(offers)


@pytest.mark.parametrize(
    ("moment", "reply"),
    [(Moment.MAIL, b"354 go ahead"), (Moment.RCPT, b"354 go ahead"), (Moment.DATA, b"250 2.0.0 Ok")],
)
async def test_an_answer_that_must_be_another_commands_ends_the_connection(
    offers: tuple[str, ...], moment: Moment, reply: bytes
) -> None:
    broken = await broken_carry(Script(offers, instead={moment: reply}))
    broken.assert_first_was_not_handed_over()


async def test_a_server_that_hangs_counts_like_one_that_breaks_off(offers: tuple[str, ...]) -> None:
    moments = (*BEFORE_ANY_LETTER, *BEFORE_HAND_OVER, *AFTER_HAND_OVER, Moment.ACCEPTED)
    scripts = [Script(offers, instead={moment: End.HANG}) for moment in moments]
    all_broken = await asyncio.gather(*(broken_carry(script, IMPATIENT) for script in scripts))
    for moment, broken in zip(moments, all_broken, strict=True):
        if moment in BEFORE_ANY_LETTER:
            broken.assert_nothing_was_taken()
        elif moment in BEFORE_HAND_OVER:
            broken.assert_first_was_not_handed_over()
        elif moment in AFTER_HAND_OVER:
            broken.assert_first_may_have_arrived(offers)
        else:
            broken.assert_first_was_sent()


async def test_a_letter_accepted_stays_sent_when_the_server_closes_right_behind(offers: tuple[str, ...]) -> None:
    broken = await broken_carry(Script(offers, instead={Moment.ACCEPTED: End.CLOSE}))
    broken.assert_first_was_sent()


@pytest.mark.parametrize("moment", [*BEFORE_HAND_OVER, Moment.FINAL_DOT])
async def test_421_is_a_plain_no_to_all_that_is_in_hand(offers: tuple[str, ...], moment: Moment) -> None:
    broken = await broken_carry(Script(offers, instead={moment: CLOSING}))
    assert broken.tray.fates
    for fate in broken.tray.fates.values():
        assert isinstance(fate, Failure)
        assert (fate.kind, fate.maybe_accepted) == (FailureClass.PROVIDER, False)
    assert "421 4.3.2 shutting down" in broken.down.error


@pytest.mark.parametrize("moment", [Moment.MAIL, Moment.DATA, Moment.FINAL_DOT])
async def test_cancelled_it_says_truly_how_far_it_was(offers: tuple[str, ...], moment: Moment) -> None:
    letters = [a_letter(), a_letter()]
    tray = ListTray(letters)
    script = Script(offers, instead={moment: End.HANG})
    async with SmtpServer(script) as server, session_to(server) as session:
        carrying = asyncio.create_task(session.carry(tray))
        await server.reached[moment].wait()
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
    assert tray.has_all_back
    assert tray.failure(letters[0]).maybe_accepted is (moment is Moment.FINAL_DOT)


async def test_nobody_listening_is_the_providers_fault() -> None:
    async with SmtpServer() as server:
        pass
    letter = a_letter()
    tray = ListTray([letter])
    async with session_to(server) as session:
        with pytest.raises(ProviderDownError) as caught:
            await session.carry(tray)
    assert list(tray.waiting) == [letter]
    assert caught.value.failure.kind is FailureClass.PROVIDER


async def test_after_a_break_the_next_carry_connects_anew(offers: tuple[str, ...]) -> None:
    script = Script(offers, instead={Moment.RCPT: End.CLOSE})
    lost, welcome = a_letter(), a_letter()
    async with SmtpServer(script) as server, session_to(server) as session:
        with pytest.raises(ProviderDownError):
            await session.carry(ListTray([lost]))
        script.instead.clear()
        tray = ListTray([welcome])
        await session.carry(tray)
    assert isinstance(tray.fate(welcome), Sent)
    assert server.connections == 2


async def test_a_connection_that_the_server_closed_in_between_is_replaced() -> None:
    letter = a_letter()
    tray = ListTray([letter])
    async with SmtpServer() as server, session_to(server) as session:
        await session.carry(ListTray([a_letter()]))
        await server.drop_connections()
        async with asyncio.timeout(PATIENT):
            while server.connections == 1:
                await session.carry(ListTray([]))
                await asyncio.sleep(0.001)
        await session.carry(tray)
    assert isinstance(tray.fate(letter), Sent)
    assert server.connections == 2


async def test_a_connection_is_kept_from_one_carry_to_the_next_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with SmtpServer() as server, session_to(server) as session:
        await session.carry(ListTray([a_letter()]))
        await session.carry(ListTray([a_letter()]))
        assert server.connections == 1
        monkeypatch.setattr("outbox_relay.channels.smtp.session.LONGEST_IDLE_SECONDS", -1.0)
        await session.carry(ListTray([a_letter()]))
    assert server.connections == 2
    assert len(server.letters) == 3


async def test_closing_says_good_bye_and_waits_for_nobody() -> None:
    async with SmtpServer(Script(instead={Moment.QUIT: End.HANG})) as server, session_to(server) as session:
        await session.carry(ListTray([a_letter()]))
        began = time.monotonic()
        await session.close()
        assert time.monotonic() - began < 2
    assert server.commands[-1] == "QUIT"


async def test_the_time_allowed_is_for_each_letter_and_not_for_all_of_them() -> None:
    class LongTray(ListTray):
        def take(self) -> RenderedMessage | None:
            if time.monotonic() < until:
                self.waiting.append(a_letter())
            return super().take()

    until = time.monotonic() + 1.1 * IMPATIENT
    tray = LongTray([])
    async with SmtpServer() as server, session_to(server, patience=IMPATIENT) as session:
        await session.carry(tray)
    assert time.monotonic() >= until
    assert len(server.letters) == len(tray.fates)
