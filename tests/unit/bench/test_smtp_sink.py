from bench.smtp_sink import OK, QUEUED, REPLIES, Conversation

SESSION = (
    b"EHLO me\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: RCPT\r\n\r\n.\r\nQUIT\r\n"
)
EXPECTED = b"".join([REPLIES[b"EHLO"], OK, OK, REPLIES[b"DATA"], QUEUED, REPLIES[b"QUIT"]])


def test_a_session_gets_the_same_replies_however_it_is_cut_into_pieces() -> None:
    for size in (1, 7, len(SESSION)):
        conversation = Conversation()
        pieces = [SESSION[start : start + size] for start in range(0, len(SESSION), size)]
        assert b"".join(map(conversation.receive, pieces)) == EXPECTED
        assert conversation.accepted == ["b@example.org"]
