"""Deliver message after message over one open connection, driven by the server's replies.

With PIPELINING (RFC 2920), one write contains the content of one message and the commands MAIL, RCPT and DATA of the
next one. So each message costs one write and one read. Without PIPELINING, the relay waits for the reply to each
command before it sends the next one.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from outbox_relay.channels.base import MessageSource, ProviderDownError
from outbox_relay.channels.smtp.connection import CLOSING, Connection, Deadline, ProtocolError, Reply, message_id_in
from outbox_relay.failures.network import LONGEST_ERROR, connection_failure, retry_after_in
from outbox_relay.failures.smtp import SmtpCommand, from_smtp_reply
from outbox_relay.model import ClaimedMessage, Failure, FailureClass, RenderedMessage, Sent
from shared.reports.return_paths import BounceAddress

START_MAIL_INPUT = 354
FINAL_DOT = b".\r\n"

_ASCII_ADDRESS = re.compile(r"[!-;=?-~]+")
"""Printable ASCII without space and angle brackets: no character can end the command."""

_UTF8_ADDRESS = re.compile(r"[!-;=?-~\x80-\U0010ffff]+")


class RecipientError(Exception):
    """The recipient cannot be sent to this server. The text explains why to operators and does not quote it."""


class SmtpCapabilities:
    """The server's extensions and our envelope sender. ``timeout`` is in seconds, for one message.

    With ``bounces``, each message has a unique envelope sender, which its bounce names.
    """

    def __init__(
        self,
        provider: str,
        sender: str,
        timeout: float,
        *,
        has_pipelining: bool,
        has_smtputf8: bool,
        bounces: BounceAddress | None = None,
    ) -> None:
        self.provider = provider
        self.timeout = timeout
        self.has_pipelining = has_pipelining
        self._has_smtputf8 = has_smtputf8
        self._sender = sender
        self._bounces = bounces

    def envelope(self, message: ClaimedMessage) -> tuple[bytes, bytes]:
        """Return the commands MAIL and RCPT with their line ends. Raises RecipientError."""
        recipient = message.recipient
        if _ASCII_ADDRESS.fullmatch(recipient):
            return self._mail(message), b"RCPT TO:<%b>\r\n" % recipient.encode()
        if recipient.isascii() or not (recipient.isprintable() and _UTF8_ADDRESS.fullmatch(recipient)):
            raise RecipientError("the address cannot stand in an SMTP command")
        if not self._has_smtputf8:
            raise RecipientError("the address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)")
        # RFC 6531 §3.4. A server with SMTPUTF8 has 8BITMIME too (§3.1), and the headers are not 7-bit.
        return self._mail(message, " BODY=8BITMIME SMTPUTF8"), b"RCPT TO:<%b>\r\n" % recipient.encode()

    def _mail(self, message: ClaimedMessage, parameters: str = "") -> bytes:
        sender = self._bounces.sender_of(message.id, message.recipient) if self._bounces else self._sender
        return f"MAIL FROM:<{sender}>{parameters}\r\n".encode("ascii")


@dataclass(slots=True, eq=False)
class _Transaction:
    """One message's SMTP transaction.

    ``submitted_in_read`` is the value of ``Connection.reads`` when its content was written.
    """

    rendered: RenderedMessage
    mail: bytes
    rcpt: bytes
    is_refused: bool = False
    maybe_accepted: bool = False
    submitted_in_read: int = 0


_Handler = Callable[["Delivery", _Transaction, Reply], None]


class Delivery:
    """Delivers the messages of one source. It holds at most two: one in transfer, the next one announced.

    ``is_out_of_step`` is true after the run if the server seems to have lost or mixed up commands that were sent in one
    write.
    """

    def __init__(self, connection: Connection, source: MessageSource, capabilities: SmtpCapabilities) -> None:
        self._connection = connection
        self._source = source
        self._capabilities = capabilities
        self._has_pipelining = capabilities.has_pipelining
        self._transactions: deque[_Transaction] = deque()
        self._expected: deque[tuple[_Handler, _Transaction]] = deque()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deadline = Deadline(capabilities.timeout, self._time_out)
        self.has_accepted = False
        self.is_out_of_step = False

    async def run(self) -> None:
        """Return when no message is left. Raises ProviderDownError when the connection breaks.

        Cancellation ends the connection, since replies to sent commands may still arrive.
        """
        self._connection.listener = self
        try:
            self._start_next()
            await self._done
        except BaseException:
            self._done.cancel()
            self._connection.abort(ConnectionAbortedError("the relay broke off"))
            raise
        finally:
            self._deadline.cancel()

    # All methods below run within the event loop's callbacks: a reply in, the next write out.

    def _start_next(self) -> None:
        """Start the next message, unless it is announced already. Finish if no message is left."""
        self._deadline.renew()
        if self._expected:
            return
        transaction = self._take()
        if transaction is None:
            self._finish()
        elif self._has_pipelining:
            self._connection.write(self._announcement(transaction))
        else:
            self._send(transaction.mail, Delivery._on_mail, transaction)

    def _take(self) -> _Transaction | None:
        while not self._done.done() and (rendered := self._source.take()) is not None:
            try:
                transaction = _Transaction(rendered, *self._capabilities.envelope(rendered.message))
            except RecipientError as error:
                self._source.report(rendered, Failure(FailureClass.RECIPIENT, self._capabilities.provider, str(error)))
            else:
                self._transactions.append(transaction)
                return transaction
        return None

    def _announcement(self, transaction: _Transaction) -> bytes:
        """Return the three commands before a message's content, and expect their replies."""
        for handler in (Delivery._on_mail, Delivery._on_rcpt, Delivery._on_data):
            self._expected.append((handler, transaction))
        return b"%b%bDATA\r\n" % (transaction.mail, transaction.rcpt)

    def _send(self, line: bytes, handler: _Handler, transaction: _Transaction) -> None:
        self._expected.append((handler, transaction))
        self._connection.write(line)

    def reply_received(self, reply: Reply) -> None:
        """Handle the reply to the oldest command without one."""
        if reply.code == CLOSING:
            self._on_closing(reply)
        elif self._expected:
            handler, transaction = self._expected.popleft()
            if self._is_misplaced(handler, reply):
                self._connection.abort(ProtocolError("the server's replies are out of step"))
            else:
                handler(self, transaction, reply)
        else:
            self._connection.abort(ProtocolError("the server spoke out of turn"))

    def _is_misplaced(self, handler: _Handler, reply: Reply) -> bool:
        """Return whether the reply must belong to another command: 354 accepts DATA only."""
        return reply.is_positive if handler is Delivery._on_data else reply.code == START_MAIL_INPUT

    def _on_mail(self, transaction: _Transaction, reply: Reply) -> None:
        if not reply.is_positive:
            self._refuse(transaction, SmtpCommand.MAIL, reply)
        if not self._has_pipelining:
            self._send_unless_refused(transaction.rcpt, Delivery._on_rcpt, transaction)

    def _on_rcpt(self, transaction: _Transaction, reply: Reply) -> None:
        if not reply.is_positive:
            self._refuse(transaction, SmtpCommand.RCPT, reply)
        if not self._has_pipelining:
            self._send_unless_refused(b"DATA\r\n", Delivery._on_data, transaction)

    def _send_unless_refused(self, line: bytes, handler: _Handler, transaction: _Transaction) -> None:
        if transaction.is_refused:
            self._reset(transaction)
        else:
            self._send(line, handler, transaction)

    def _on_data(self, transaction: _Transaction, reply: Reply) -> None:
        if reply.code == START_MAIL_INPUT:
            self._send_content(transaction)
        else:
            self._refuse(transaction, SmtpCommand.DATA, reply)
            self._reset(transaction)

    def _reset(self, transaction: _Transaction) -> None:
        """Send RSET. The server ends a transaction itself only after the final dot (the line that ends the content)."""
        self._send(b"RSET\r\n", Delivery._on_reset, transaction)

    def _on_reset(self, _transaction: _Transaction, _reply: Reply) -> None:
        self._start_next()

    def _send_content(self, transaction: _Transaction) -> None:
        # A server may reply 354 to DATA although it has refused the only recipient. The relay then sends only the final
        # dot, without content (RFC 2920 §3.1).
        content = b"" if transaction.is_refused else transaction.rendered.content
        following = self._take() if self._has_pipelining else None
        transaction.maybe_accepted = not transaction.is_refused
        transaction.submitted_in_read = self._connection.reads
        self._expected.append((Delivery._on_content, transaction))
        announcement = self._announcement(following) if following else b""
        self._connection.write(b"".join((content, FINAL_DOT, announcement)))

    def _on_content(self, transaction: _Transaction, reply: Reply) -> None:
        if transaction.submitted_in_read == self._connection.reads:
            # This reply arrived in the same read as the 354. The server sent it before it had received the content.
            self._connection.abort(ProtocolError("the server replied before it had the message"))
            return
        self.has_accepted |= reply.is_positive
        if not reply.is_positive:
            self._refuse(transaction, SmtpCommand.CONTENT, reply)
        elif not transaction.is_refused:
            self._report(transaction, Sent(self._capabilities.provider, message_id_in(reply)))
        self._start_next()

    def _refuse(self, transaction: _Transaction, command: SmtpCommand, reply: Reply) -> None:
        """Report a message's first negative reply. Later ones are consequences of it."""
        if transaction.is_refused:
            return
        transaction.is_refused = True
        kind = from_smtp_reply(command, reply.code, reply.text)
        error = f"{command}: {reply}"[:LONGEST_ERROR]
        wait, is_about_message = retry_after_in(reply.text), reply.code != CLOSING
        provider = self._capabilities.provider
        self._report(transaction, Failure(kind, provider, error, wait, is_about_message=is_about_message))

    def _report(self, transaction: _Transaction, result: Sent | Failure) -> None:
        # A result is always for the oldest transaction: replies come in order, and the commands of a message are sent
        # only after the 354 for the previous one.
        self._transactions.popleft()
        self._source.report(transaction.rendered, result)

    def _on_closing(self, reply: Reply) -> None:
        # A 421 replies to the oldest command without a reply. A command with a 4yz reply has no effect (RFC 5321
        # §4.2.1). So if that command was the final dot, the server has not accepted the message.
        for transaction in self._transactions:
            transaction.maybe_accepted = False
        self._connection.abort(ConnectionResetError(str(reply)))

    def _time_out(self) -> None:
        self._connection.abort(TimeoutError("the server did not reply in time"))

    def connection_lost(self, error: Exception) -> None:
        """Report the messages not yet settled. An error other than OSError is a bug and is raised unchanged."""
        # If only the replies to the next message's commands are missing, the server probably discards commands that
        # follow a final dot in the same write.
        is_announcement_lost = bool(self._expected) and self._expected[0][0] is Delivery._on_mail
        is_silent = isinstance(error, TimeoutError) and (is_announcement_lost or not self.has_accepted)
        self.is_out_of_step = self._has_pipelining and (is_silent or isinstance(error, ProtocolError))
        while self._transactions:
            transaction = self._transactions.popleft()
            failure = connection_failure(self._capabilities.provider, error, maybe_accepted=transaction.maybe_accepted)
            self._source.report(transaction.rendered, failure)
        if not self._done.done():
            down = ProviderDownError(connection_failure(self._capabilities.provider, error, maybe_accepted=False))
            self._done.set_exception(down if isinstance(error, OSError) else error)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
