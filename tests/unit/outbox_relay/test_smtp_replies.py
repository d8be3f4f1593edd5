from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox_relay.channels.smtp.connection import ProtocolError, Reply, ReplyParser, message_id_in

CONVERSATION = b"220 hello\r\n250-test\r\n250-PIPELINING\r\n250 HELP\r\n250\r\n354 go\r\n550 5.1.1 no\tone\x00\n"
REPLIES = [
    Reply(220, "hello"),
    Reply(250, "test\nPIPELINING\nHELP"),
    Reply(250, ""),
    Reply(354, "go"),
    Reply(550, "5.1.1 no one"),
]


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=30))
def test_replies_do_not_depend_on_packet_boundaries(cuts: list[int]) -> None:
    parser = ReplyParser()
    packets = [CONVERSATION[start:end] for start, end in pairwise([0, *sorted(cuts), len(CONVERSATION)])]
    replies = [reply for packet in packets for reply in parser.feed(packet)]
    assert replies == REPLIES
    assert parser.is_empty


@given(st.binary(max_size=5000))
def test_any_input_is_a_reply_or_garbage(data: bytes) -> None:
    parser = ReplyParser()
    try:
        assert all(reply.text.replace("\n", "").isprintable() for reply in parser.feed(data))
    except ProtocolError:
        assert data


@pytest.mark.parametrize(
    "piece",
    [b"2", b"250-x\r\n", b"250 " + b"x" * 3000 + b"\r\n", b"abc\r\n", b"25 ok\r\n", b"650 ok\r\n"],
    ids=["no line end", "no last line", "too long", "no code", "short code", "unknown class"],
)
def test_the_parser_limits_the_length_of_a_reply(piece: bytes) -> None:
    parser = ReplyParser()
    with pytest.raises(ProtocolError):
        deque((reply for _ in range(10_000) for reply in parser.feed(piece)), maxlen=0)


def test_a_reply_before_garbage_still_counts() -> None:
    replies = ReplyParser().feed(b"250 2.0.0 queued as A1\r\njunk\r\n")
    assert next(replies) == Reply(250, "2.0.0 queued as A1")
    with pytest.raises(ProtocolError):
        next(replies)


@pytest.mark.parametrize(
    ("text", "message_id"),
    [
        ("2.0.0 Ok: queued as 4F2A1", "4F2A1"),
        ("2.0.0 Ok: queued as 4F2A1 in 3 s", "4F2A1"),
        ("OK id=1abcDE-0001", "1abcDE-0001"),
        ("2.0.0 OK 1700000000 x - gsmtp", "2.0.0 OK 1700000000 x - gsmtp"),
        ("queued as ", "queued as "),
        ("x" * 1000, "x" * 200),
        ("", None),
    ],
)
def test_the_servers_message_id_is_found(text: str, message_id: str | None) -> None:
    assert message_id_in(Reply(250, text)) == message_id
