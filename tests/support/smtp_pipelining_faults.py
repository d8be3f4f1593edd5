"""SMTP servers that offer PIPELINING but break with it. Without pipelining, each behaves correctly."""

from enum import Enum, auto

from tests.support.smtp_server import Conversation, SmtpServer


class PipeliningFault(Enum):
    """The fault when several commands arrive in one write."""

    DROPS = auto()  # ignores commands after the first
    OMITS = auto()  # sends no reply to RCPT
    DOUBLES = auto()  # replies to RCPT twice
    SHUFFLES = auto()  # replies in the wrong order
    FORGETS = auto()  # ignores commands after the content of a message


class FaultyConversation(Conversation):
    """Behaves with that one fault."""

    def __init__(self, server: SmtpServer, fault: PipeliningFault) -> None:
        super().__init__(server)
        self._fault = fault
        self._held: list[bytes] | None = None

    async def _obey(self, line: str) -> None:
        is_pipelined = bool(self._buffer) and line.startswith(("MAIL", "RCPT"))
        match self._fault:
            case PipeliningFault.DROPS if is_pipelined:
                self._buffer.clear()
            case PipeliningFault.SHUFFLES if is_pipelined and self._held is None:
                self._held = []
            case PipeliningFault.OMITS if is_pipelined and line.startswith("RCPT"):
                self._recipient = line.removeprefix("RCPT TO:<").removesuffix(">")
                return
            case PipeliningFault.DOUBLES if is_pipelined and line.startswith("RCPT"):
                self._say(b"250 2.1.5 Ok")
        await super()._obey(line)
        if self._fault is PipeliningFault.FORGETS and line == "DATA":
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
