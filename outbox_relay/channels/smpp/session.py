"""What the relay holds of an SMSC: a bind, made when needed and kept alive in between."""

from dataclasses import dataclass

from outbox_relay.channels.base import ProviderDownError, Session, Tray
from outbox_relay.channels.hearing import heard_within
from outbox_relay.channels.smpp.connection import SmppConnection, Smsc
from outbox_relay.channels.smpp.pdus import LONGEST_NUMBER, Command, Pdu, address_of, submission
from outbox_relay.channels.smpp.statuses import OK, from_command_status, is_about_us, status_name
from outbox_relay.failures import broken_off, printable
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent


@dataclass(frozen=True)
class SmppProvider:
    """An SMSC; letters leave from ``sender``, a number or a name of at most 11 characters."""

    smsc: Smsc
    sender: str

    @property
    def name(self) -> str:
        """``smpp:host:port``."""
        return self.smsc.name

    def session(self) -> Session:
        """Make a session; nothing is connected yet."""
        return SmppSession(self)


class SmppSession:
    """One bind at a time, and one letter at a time on it; see ``channels.base.Session``."""

    def __init__(self, provider: SmppProvider) -> None:
        self._provider = provider
        self._connection: SmppConnection | None = None

    async def carry(self, tray: Tray) -> None:
        """Submit letter after letter."""
        connection = await self._bound()
        while connection.is_open and (letter := tray.take()) is not None:
            submitting = _Submitting(self._provider, connection, letter)
            try:
                fate = await submitting.run()
            except BaseException as error:
                tray.report(letter, submitting.broken_off(error))
                # The answer to what was submitted may still come, and nobody would be there for it.
                connection.abort(ConnectionAbortedError("the relay broke off"))
                if isinstance(error, OSError):
                    raise self._down(error) from error
                raise
            tray.report(letter, fate)

    async def close(self) -> None:
        """Unbind and close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _bound(self) -> SmppConnection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        await self.close()
        try:
            self._connection = await SmppConnection.open(self._provider.smsc)
        except OSError as error:
            raise self._down(error) from error
        return self._connection

    def _down(self, error: OSError) -> ProviderDownError:
        return ProviderDownError(broken_off(self._provider.name, error, maybe_accepted=False))


class _Submitting:
    """One letter's submit_sm, which knows how far it has come."""

    def __init__(self, provider: SmppProvider, connection: SmppConnection, letter: RenderedMessage) -> None:
        self._provider = provider
        self._connection = connection
        self._letter = letter
        self._is_handed_over = False

    async def run(self) -> Sent | Failure:
        recipient = address_of(self._letter.message.recipient)
        if recipient.is_name or len(recipient.value) > LONGEST_NUMBER:
            # smpplib would cut off what is too long, and someone else might get the code.
            return Failure(FailureClass.RECIPIENT, self._provider.name, "no number, or too long a one for SMPP")
        number = self._connection.next_number()
        answer = self._connection.request(number, submission(number, self._provider.sender, self._letter))
        self._is_handed_over = True
        async with heard_within(self._provider.smsc.timeout):
            return self._fate(await answer)

    def broken_off(self, error: BaseException) -> Failure:
        return broken_off(self._provider.name, error, maybe_accepted=self._is_handed_over)

    def _fate(self, answer: Pdu) -> Sent | Failure:
        name = self._provider.name
        if answer.status != OK:
            kind, error = from_command_status(answer.status), f"submit_sm: {status_name(answer.status)}"
            return Failure(kind, name, error, is_reply=not is_about_us(answer.status))
        if not answer.is_to(Command.SUBMIT_SM):
            error = f"submit_sm: answered by {answer.command:#010x}"
            return Failure(FailureClass.TRANSIENT, name, error, maybe_accepted=True)
        message_id = answer.message_id
        return Sent(name, printable(message_id) if message_id else None)
