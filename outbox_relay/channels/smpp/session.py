"""SMSCs and the relay's sessions with them: bind when needed, submit messages, and classify command_status.

Source of the table: SMPP 3.4 issue 1.2, §5.1.3. Statuses from 0x400 on are defined by the SMSC's vendor. They count as
the provider's fault.
"""

from dataclasses import dataclass

from outbox_relay.channels.base import MessageSource, ProviderDownError, Session, timeout_with_grace
from outbox_relay.channels.smpp.connection import (
    LONGEST_NUMBER,
    LONGEST_PASSWORD,
    LONGEST_SYSTEM_ID,
    Command,
    Pdu,
    SmppConnection,
    Smsc,
    Status,
    address_of,
    status_name,
    submit_sm,
)
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl, gateway_account
from outbox_relay.failures.network import connection_failure, printable
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent
from shared.vocabulary import Channel

DEFAULT_PORT = 2775
DEFAULT_TLS_PORT = 3550

# Each other status, such as ESME_RTHROTTLED, is a failure of the provider.
_CLASSES: dict[int, FailureClass] = {
    Status.ESME_RINVDSTADR: FailureClass.RECIPIENT,
    Status.ESME_RINVMSGLEN: FailureClass.CONTENT,
    # The only optional parameter that the relay sends is message_payload, for long texts.
    Status.ESME_ROPTPARNOTALLWD: FailureClass.CONTENT,
    Status.ESME_RINVPARLEN: FailureClass.CONTENT,
    Status.ESME_RINVOPTPARAMVAL: FailureClass.CONTENT,
    Status.ESME_RSUBMITFAIL: FailureClass.TRANSIENT,  # about one message, without a reason
    Status.ESME_RX_T_APPN: FailureClass.TRANSIENT,
    Status.ESME_RDELIVERYFAILURE: FailureClass.TRANSIENT,
}
_NOT_ABOUT_MESSAGE: frozenset[int] = frozenset({
    Status.ESME_RINVCMDID,
    Status.ESME_RINVBNDSTS,
    Status.ESME_RALYBND,
    Status.ESME_RINVSRCADR,
    Status.ESME_RBINDFAIL,
    Status.ESME_RINVPASWD,
    Status.ESME_RINVSYSID,
    Status.ESME_RMSGQFUL,
    Status.ESME_RINVSERTYP,
    Status.ESME_RINVSRCTON,
    Status.ESME_RINVSRCNPI,
    Status.ESME_RINVSYSTYP,
    Status.ESME_RTHROTTLED,
    Status.ESME_RINVEXPIRY,
})  # fmt: skip
"""Statuses that concern every message: our account, our sender, our rate or the validity period."""


@dataclass(frozen=True)
class SmppProvider:
    """An SMSC. Messages come from ``sender``, a number or a name of at most 11 characters."""

    smsc: Smsc
    sender: str

    @property
    def name(self) -> str:
        """``smpp:host:port``."""
        return self.smsc.name

    def session(self) -> Session:
        """Create a session, which binds when it is first used."""
        return SmppSession(self)


class SmppSession:
    """Keeps one bind, and submits one message at a time over it; see ``channels.base.Session``."""

    def __init__(self, provider: SmppProvider) -> None:
        self._provider = provider
        self._connection: SmppConnection | None = None

    async def deliver(self, source: MessageSource) -> None:
        """Submit messages."""
        connection = await self._bound_connection()
        while connection.is_open and (rendered := source.take()) is not None:
            submission = _Submission(self._provider, connection, rendered)
            try:
                result = await submission.run()
            except BaseException as error:
                source.report(rendered, submission.failure(error))
                # Close the bind: the response to the submitted message may still come, but no task would await it.
                connection.abort(ConnectionAbortedError("the relay broke off"))
                if isinstance(error, OSError):
                    raise self._down(error) from error
                raise
            source.report(rendered, result)

    async def close(self) -> None:
        """Unbind and close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _bound_connection(self) -> SmppConnection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        await self.close()
        try:
            self._connection = await SmppConnection.open(self._provider.smsc)
        except OSError as error:
            raise self._down(error) from error
        return self._connection

    def _down(self, error: OSError) -> ProviderDownError:
        return ProviderDownError(connection_failure(self._provider.name, error, maybe_accepted=False))


class _Submission:
    """The submit_sm of one message, and whether it was sent."""

    def __init__(self, provider: SmppProvider, connection: SmppConnection, rendered: RenderedMessage) -> None:
        self._provider = provider
        self._connection = connection
        self._rendered = rendered
        self._is_submitted = False

    async def run(self) -> Sent | Failure:
        recipient = address_of(self._rendered.message.recipient)
        if recipient.is_name or len(recipient.value) > LONGEST_NUMBER:
            # smpplib cuts off a longer number. The code could then go to another person.
            return Failure(FailureClass.RECIPIENT, self._provider.name, "no number, or too long a one for SMPP")
        sequence = self._connection.next_sequence()
        response = self._connection.request(sequence, submit_sm(sequence, self._provider.sender, self._rendered))
        self._is_submitted = True
        async with timeout_with_grace(self._provider.smsc.timeout):
            return self._interpret(await response)

    def failure(self, error: BaseException) -> Failure:
        return connection_failure(self._provider.name, error, maybe_accepted=self._is_submitted)

    def _interpret(self, response: Pdu) -> Sent | Failure:
        name, status = self._provider.name, response.status
        if status != Status.ESME_ROK:
            kind, error = _CLASSES.get(status, FailureClass.PROVIDER), f"submit_sm: {status_name(status)}"
            return Failure(kind, name, error, is_about_message=status not in _NOT_ABOUT_MESSAGE)
        if not response.is_response_to(Command.SUBMIT_SM):
            error = f"submit_sm: the reply is {response.command:#010x}"
            return Failure(FailureClass.TRANSIENT, name, error, maybe_accepted=True)
        message_id = response.message_id
        return Sent(name, printable(message_id) if message_id else None)


def _smpp_provider(url: ProviderUrl, context: DeliveryContext) -> SmppProvider:
    account = gateway_account(url)
    user, password = account.credentials.user, account.credentials.password
    if account.path or not account.sender or not _fits(account.sender, LONGEST_NUMBER):
        raise ValueError(f"has a smpp URL with a path, or whose from is not 1 to {LONGEST_NUMBER} plain characters")
    if not (_fits(user, LONGEST_SYSTEM_ID) and _fits(password, LONGEST_PASSWORD)):
        raise ValueError(f"has a smpp URL with a user over {LONGEST_SYSTEM_ID} or a password over {LONGEST_PASSWORD}")
    smsc = Smsc(
        host=account.host,
        port=account.port or (DEFAULT_TLS_PORT if account.has_tls else DEFAULT_PORT),
        ssl_context=account.ssl_context if account.has_tls else None,
        system_id=user,
        password=password,
        timeout=context.timeout.total_seconds(),
    )
    return SmppProvider(smsc, account.sender)


def _fits(text: str, longest: int) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= longest


SMPP = ProviderScheme(frozenset({Channel.SMS}), _smpp_provider)
