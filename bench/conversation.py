"""What a sink of our own says, however what it hears was cut into pieces."""

END_OF_LINE = b"\r\n"
END_OF_MAIL = b"\r\n.\r\n"
GREETING = b"220 sink\r\n"
QUEUED = b"250 queued\r\n"
OK = b"250 ok\r\n"
ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 bye\r\n",
}


class Conversation:
    """One client's commands and mails, in turn."""

    def __init__(self) -> None:
        self._unread = b""
        self._is_in_mail = False

    def hear(self, data: bytes) -> None:
        """Take what has come in."""
        self._unread += data

    def next(self) -> bytes | None:
        """Return the next answer, QUEUED if that is to a mail; None where nothing more is complete."""
        piece, end, rest = self._unread.partition(END_OF_MAIL if self._is_in_mail else END_OF_LINE)
        if not end:
            return None
        self._unread = rest
        verb = b"" if self._is_in_mail else piece[:4].upper()
        answer = QUEUED if self._is_in_mail else ANSWERS.get(verb, OK)
        self._is_in_mail = verb == b"DATA"
        return answer
