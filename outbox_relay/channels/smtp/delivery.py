"""RenderedMessage after letter over one open connection, driven by the server's replies.

With PIPELINING (RFC 2920) a letter's MAIL, RCPT and DATA go in one write, and those of the next letter
in the same write behind this letter's content: one write and one read per letter. Without it, each
command waits for the reply to the one before.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from outbox_relay.channels.base import ProviderDownError, Tray
from outbox_relay.channels.smtp.connection import Connection
from outbox_relay.channels.smtp.deadline import Deadline
from outbox_relay.channels.smtp.envelope import Envelopes, UnnameableError
from outbox_relay.channels.smtp.replies import CLOSING, GarbageError, Reply, message_id_in
from outbox_relay.failures import LONGEST_ERROR, SmtpCommand, broken_off, from_smtp_reply, retry_after_in
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent

START_MAIL_INPUT = 354
FINAL_DOT = b".\r\n"


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all letters of a connection; ``timeout`` is in seconds, for one letter."""

    provider: str
    envelopes: Envelopes
    timeout: float
    has_pipelining: bool


@dataclass(slots=True, eq=False)
class _Envelope:
    letter: RenderedMessage
    mail: bytes
    rcpt: bytes
    is_refused: bool = False
    maybe_accepted: bool = False
    left_in_read: int = 0


_Handler = Callable[["Delivery", _Envelope, Reply], None]


class Delivery:
    """Hands over what is on one tray. At most two letters are in hand: one under way, one announced.

    ``is_out_of_step`` says afterwards that the server seems to lose or mix up what comes in one write.
    """

    def __init__(self, connection: Connection, tray: Tray, terms: Terms) -> None:
        self._connection = connection
        self._tray = tray
        self._terms = terms
        self._has_pipelining = terms.has_pipelining
        self._in_hand: deque[_Envelope] = deque()
        self._awaited: deque[tuple[_Handler, _Envelope]] = deque()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deadline = Deadline(terms.timeout, self._give_up_waiting)
        self.has_accepted = False
        self.is_out_of_step = False

    async def run(self) -> None:
        """Return when the tray is empty; raises ProviderDownError when the connection breaks.

        Cancelled, it ends the connection: nobody would be there for the replies to what was sent.
        """
        self._connection.listener = self
        try:
            self._go_on()
            await self._done
        except BaseException:
            self._done.cancel()
            self._connection.abort(ConnectionAbortedError("the relay broke off"))
            raise
        finally:
            self._deadline.cancel()

    # From here on all runs within the event loop's own callbacks: a reply in, the next write out.

    def _go_on(self) -> None:
        """Begin the next letter, unless it is under way already or there is none."""
        self._deadline.renew()
        if self._awaited:
            return
        envelope = self._take()
        if envelope is None:
            self._finish()
        elif self._has_pipelining:
            self._connection.write(self._announcement(envelope))
        else:
            self._ask(envelope.mail, Delivery._on_mail, envelope)

    def _take(self) -> _Envelope | None:
        while not self._done.done() and (letter := self._tray.take()) is not None:
            try:
                envelope = _Envelope(letter, *self._terms.envelopes.commands(letter.message.recipient))
            except UnnameableError as error:
                self._tray.report(letter, Failure(FailureClass.RECIPIENT, self._terms.provider, str(error)))
            else:
                self._in_hand.append(envelope)
                return envelope
        return None

    def _announcement(self, envelope: _Envelope) -> bytes:
        """Expect the replies to the three commands of a letter, and return the commands."""
        for answered in (Delivery._on_mail, Delivery._on_rcpt, Delivery._on_data):
            self._awaited.append((answered, envelope))
        return b"%b%bDATA\r\n" % (envelope.mail, envelope.rcpt)

    def _ask(self, line: bytes, answered: _Handler, envelope: _Envelope) -> None:
        self._awaited.append((answered, envelope))
        self._connection.write(line)

    def heard(self, reply: Reply) -> None:
        """Take the reply to the oldest command that has none."""
        if reply.code == CLOSING:
            self._take_closing(reply)
        elif self._awaited:
            answered, envelope = self._awaited.popleft()
            if self._is_misplaced(answered, reply):
                self._connection.abort(GarbageError("the server's answers are out of step"))
            else:
                answered(self, envelope, reply)
        else:
            self._connection.abort(GarbageError("the server spoke out of turn"))

    def _is_misplaced(self, answered: _Handler, reply: Reply) -> bool:
        """Tell whether it must be the answer to something else: 354 is the yes to DATA, and to nothing else."""
        return reply.is_yes if answered is Delivery._on_data else reply.code == START_MAIL_INPUT

    def _on_mail(self, envelope: _Envelope, reply: Reply) -> None:
        if not reply.is_yes:
            self._refuse(envelope, SmtpCommand.MAIL, reply)
        if not self._has_pipelining:
            self._ask_unless_refused(envelope.rcpt, Delivery._on_rcpt, envelope)

    def _on_rcpt(self, envelope: _Envelope, reply: Reply) -> None:
        if not reply.is_yes:
            self._refuse(envelope, SmtpCommand.RCPT, reply)
        if not self._has_pipelining:
            self._ask_unless_refused(b"DATA\r\n", Delivery._on_data, envelope)

    def _ask_unless_refused(self, line: bytes, answered: _Handler, envelope: _Envelope) -> None:
        if envelope.is_refused:
            self._reset(envelope)
        else:
            self._ask(line, answered, envelope)

    def _on_data(self, envelope: _Envelope, reply: Reply) -> None:
        if reply.code == START_MAIL_INPUT:
            self._send_content(envelope)
        else:
            self._refuse(envelope, SmtpCommand.DATA, reply)
            self._reset(envelope)

    def _reset(self, envelope: _Envelope) -> None:
        """End a transaction that the server has not ended itself: only a final dot does that."""
        self._ask(b"RSET\r\n", Delivery._on_reset, envelope)

    def _on_reset(self, _envelope: _Envelope, _reply: Reply) -> None:
        self._go_on()

    def _send_content(self, envelope: _Envelope) -> None:
        # A server may ask for the content of a letter whose only recipient it has refused; the
        # answer is a lone dot (RFC 2920 §3.1).
        content = b"" if envelope.is_refused else envelope.letter.content
        ahead = self._take() if self._has_pipelining else None
        envelope.maybe_accepted = not envelope.is_refused
        envelope.left_in_read = self._connection.reads
        self._awaited.append((Delivery._on_verdict, envelope))
        announcement = self._announcement(ahead) if ahead else b""
        self._connection.write(b"".join((content, FINAL_DOT, announcement)))

    def _on_verdict(self, envelope: _Envelope, reply: Reply) -> None:
        if envelope.left_in_read == self._connection.reads:
            # It came along with the 354: a yes to a letter that had not left yet is none.
            self._connection.abort(GarbageError("the server answered before it had the letter"))
            return
        self.has_accepted |= reply.is_yes
        if not reply.is_yes:
            self._refuse(envelope, SmtpCommand.CONTENT, reply)
        elif not envelope.is_refused:
            self._report(envelope, Sent(self._terms.provider, message_id_in(reply)))
        self._go_on()

    def _refuse(self, envelope: _Envelope, command: SmtpCommand, reply: Reply) -> None:
        """Report the first no that a letter gets; those that follow from it say nothing new."""
        if envelope.is_refused:
            return
        envelope.is_refused = True
        kind = from_smtp_reply(command, reply.code, reply.text)
        error = f"{command}: {reply}"[:LONGEST_ERROR]
        is_reply = reply.code != CLOSING
        wait = retry_after_in(reply.text)
        self._report(envelope, Failure(kind, self._terms.provider, error, wait, is_reply=is_reply))

    def _report(self, envelope: _Envelope, fate: Sent | Failure) -> None:
        # Replies come in order, and a letter is announced only when the one before has its 354.
        self._in_hand.popleft()
        self._tray.report(envelope.letter, fate)

    def _take_closing(self, reply: Reply) -> None:
        # It answers the oldest command open, and one that was answered by 4yz had no effect: if that
        # was the final dot, the letter is still ours (RFC 5321 §4.2.1).
        for envelope in self._in_hand:
            envelope.maybe_accepted = False
        self._connection.abort(ConnectionResetError(str(reply)))

    def _give_up_waiting(self) -> None:
        self._connection.abort(TimeoutError("the server did not answer in time"))

    def lost(self, error: Exception) -> None:
        """Report what is in hand; an error that is not of the network is a bug, and is raised as it is."""
        # Where all but the next letter's commands are answered, the server may drop what comes behind a final dot.
        is_unheard = bool(self._awaited) and self._awaited[0][0] is Delivery._on_mail
        is_silent = isinstance(error, TimeoutError) and (is_unheard or not self.has_accepted)
        self.is_out_of_step = self._has_pipelining and (is_silent or isinstance(error, GarbageError))
        while self._in_hand:
            envelope = self._in_hand.popleft()
            failure = broken_off(self._terms.provider, error, maybe_accepted=envelope.maybe_accepted)
            self._tray.report(envelope.letter, failure)
        if not self._done.done():
            down = ProviderDownError(broken_off(self._terms.provider, error, maybe_accepted=False))
            self._done.set_exception(down if isinstance(error, OSError) else error)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
