"""Waiting messages are rendered in advance, once each, and a broken message affects no other."""

from datetime import timedelta
from itertools import islice
from uuid import uuid4

import pytest

from outbox_relay.delivery.message_source import MOST_AHEAD, MessagePreparer
from outbox_relay.model import ClaimedMessage
from outbox_relay.pauses import Pauses
from tests.support.claimed import a_claimed_message


class Bench:
    """Waiting messages and their preparer."""

    def __init__(self, count: int, broken: frozenset[int] = frozenset()) -> None:
        self.waiting = [a_claimed_message(id=uuid4()) for _ in range(count)]
        self._broken = {self.waiting[number].id for number in broken}
        self.rendered: list[ClaimedMessage] = []
        self._ahead = MessagePreparer(
            self._render, lambda count: islice(self.waiting, count), timedelta(seconds=1), set(), Pauses()
        )

    def take(self) -> bytes:
        """Take the first message."""
        return self.content_of(self.waiting.pop(0))

    def content_of(self, message: ClaimedMessage) -> bytes:
        return self._ahead.content_of(message)

    def _render(self, message: ClaimedMessage) -> bytes:
        self.rendered.append(message)
        if message.id in self._broken:
            raise ValueError(str(message.id))
        return message.id.bytes


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox_relay.delivery.message_source.LONGEST_AHEAD_SECONDS", 60.0)


def test_the_first_message_is_rendered_with_those_that_follow_once_each() -> None:
    bench = Bench(3)
    messages = list(bench.waiting)
    assert bench.take() == messages[0].id.bytes
    assert bench.rendered == messages
    assert [bench.take(), bench.take()] == [message.id.bytes for message in messages[1:]]
    assert bench.rendered == messages


def test_only_held_messages_are_prerendered() -> None:
    bench = Bench(MOST_AHEAD + 10)
    bench.take()
    assert len(bench.rendered) == 1 + MOST_AHEAD


def test_messages_beyond_the_time_limit_are_rendered_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox_relay.delivery.message_source.LONGEST_AHEAD_SECONDS", -1.0)
    bench = Bench(5)
    bench.take()
    assert len(bench.rendered) == 2


def test_a_broken_message_fails_in_its_own_turn_only() -> None:
    bench = Bench(4, broken=frozenset({2}))
    messages = list(bench.waiting)
    assert [bench.take(), bench.take()] == [message.id.bytes for message in messages[:2]]
    with pytest.raises(ValueError, match=str(messages[2].id)):
        bench.take()
    assert bench.take() == messages[3].id.bytes


def test_a_message_claimed_again_is_rendered_again() -> None:
    bench = Bench(2)
    bench.take()
    mended = bench.waiting.pop()._replace(recipient="mended@example.org")
    bench.content_of(mended)
    assert bench.rendered[-1] is mended
