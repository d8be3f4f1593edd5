"""SMTP servers that offer PIPELINING and cannot do it; asked one thing at a time, each behaves."""

from enum import Enum, auto

from tests.support.smtp_server import Conversation, SmtpServer


class Lie(Enum):
    """What the server does with commands that come in one write."""

    DROPS = auto()  # forgets what came behind the first
    OMITS = auto()  # leaves RCPT without an answer
    DOUBLES = auto()  # answers RCPT twice
    SHUFFLES = auto()  # answers in the wrong order
    FORGETS = auto()  # what came behind the content of a message


class LyingConversation(Conversation):
    """Tells the one lie."""

    def __init__(self, server: SmtpServer, lie: Lie) -> None:
        super().__init__(server)
        self._lie = lie
        self._held: list[bytes] | None = None

    async def _obey(self, line: str) -> None:
        is_pipelined = bool(self._buffer) and line.startswith(("MAIL", "RCPT"))
        match self._lie:
            case Lie.DROPS if is_pipelined:
                self._buffer.clear()
            case Lie.SHUFFLES if is_pipelined and self._held is None:
                self._held = []
            case Lie.OMITS if is_pipelined and line.startswith("RCPT"):
                self._recipient = line.removeprefix("RCPT TO:<").removesuffix(">")
                return
            case Lie.DOUBLES if is_pipelined and line.startswith("RCPT"):
                self._say(b"250 2.1.5 Ok")
        await super()._obey(line)
        if self._lie is Lie.FORGETS and line == "DATA":
            self._buffer.clear()

    def _say(self, reply: bytes) -> None:
        if self._held is None:
            super()._say(reply)
            return
        self._held.append(reply)
        if reply.startswith(b"354"):
            answers, self._held = self._held, None
            for answer in reversed(answers):
                super()._say(answer)
