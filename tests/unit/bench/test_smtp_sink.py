from bench.smtp_sink import OK, QUEUED, REPLIES, Conversation

SESSION = (
    b"EHLO me\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: RCPT\r\n\r\n.\r\nQUIT\r\n"
)
EXPECTED = b"".join([REPLIES[b"EHLO"], OK, OK, REPLIES[b"DATA"], QUEUED, REPLIES[b"QUIT"]])


def test_replies_do_not_depend_on_how_input_is_split() -> None:
    for size in (1, 7, len(SESSION)):
        conversation = Conversation()
        pieces = [SESSION[start : start + size] for start in range(0, len(SESSION), size)]
        assert b"".join(map(conversation.receive, pieces)) == EXPECTED
        assert conversation.accepted == ["b@example.org"]
