"""SMSCs and the relay's sessions with them: bind when needed, submit messages, and classify command_status.

Source of the table: SMPP 3.4 issue 1.2, §5.1.3. Statuses from 0x400 on are defined by the SMSC's vendor. They count as
the provider's fault.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg

from outbox_relay.channels.base import MessageSource, ProviderDownError, Session, timeout_with_grace
from outbox_relay.channels.smpp.connection import (
    LONGEST_NUMBER,
    LONGEST_PASSWORD,
    LONGEST_SYSTEM_ID,
    Command,
    Pdu,
    RefusedError,
    SmppConnection,
    Smsc,
    Status,
    address_of,
    status_name,
    submit_sm,
)
from outbox_relay.channels.smpp.receipts import IdForm, receipt_in, stored_id
from outbox_relay.channels.urls import DeliveryContext, ProviderScheme, ProviderUrl, gateway_account
from outbox_relay.failures.network import connection_failure
from outbox_relay.metrics import RECEIPTS
from outbox_relay.model import Failure, FailureClass, RenderedMessage, Sent, StoreReport
from shared.log import get_logger
from shared.texts import printable
from shared.urls import host_and_port
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


_NO_TRANSCEIVER: frozenset[int] = frozenset({
    Status.ESME_RINVCMDID,
    Status.ESME_RINVCMDLEN,
    Status.ESME_RINVBNDSTS,
    Status.ESME_RBINDFAIL,
})  # fmt: skip
"""Statuses of an SMSC that may know no bind_transceiver, as before SMPP 3.4."""

log = get_logger("relay.smpp")


@dataclass(frozen=True)
class SmppProvider:
    """An SMSC. Messages come from ``sender``, a number or a name of at most 11 characters.

    ``receipts`` stores the SMSC's receipts, if the relay asks for any.
    """

    smsc: Smsc
    sender: str
    receipts: "Receipts | None" = None

    @property
    def stays_bound(self) -> bool:
        """Whether the relay stays bound without messages, because the SMSC may have receipts."""
        return self.receipts is not None

    @property
    def name(self) -> str:
        """The SMSC's name."""
        return self.smsc.name

    def session(self) -> Session:
        """Create a session, which binds when it is first used."""
        return SmppSession(self)


@dataclass(frozen=True)
class Receipts:
    """Stores the receipts of one SMSC."""

    provider: str
    form: IdForm
    store: StoreReport

    async def take(self, body: bytes) -> Status:
        """Commit the receipt in a deliver_sm, and return the status of the response.

        While the database is unavailable, the SMSC has to keep the receipt. Anything else is accepted and dropped: the
        SMSC would send it again and again, and could block receipts behind it.
        """
        try:
            receipt = receipt_in(body)
        except ValueError:
            return self._count("unreadable")
        if receipt is None:
            return self._count("no_receipt")
        report = receipt.report(self.provider, self.form)
        if report is None:
            return self._count("no_news")
        try:
            await self.store(report)
        except psycopg.Error:
            self._count("not_stored")
            return Status.ESME_RX_T_APPN
        return self._count(report.kind)

    def _count(self, kind: str) -> Status:
        RECEIPTS.labels(self.provider, kind).inc()
        return Status.ESME_ROK


class SmppSession:
    """Keeps one bind, and submits one message at a time over it; see ``channels.base.Session``.

    A session that takes receipts binds as a transceiver, or as a transmitter and a receiver over two connections.
    """

    def __init__(self, provider: SmppProvider) -> None:
        self._provider = provider
        self._connection: SmppConnection | None = None
        self._receiver: SmppConnection | None = None

    @property
    def is_bound(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None and self._connection.is_open

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
        connections = self._connection, self._receiver
        self._connection = self._receiver = None
        for connection in connections:
            if connection is not None:
                await connection.close()

    async def _bound_connection(self) -> SmppConnection:
        has_receiver = self._receiver is None or self._receiver.is_open
        if self._connection is not None and self._connection.is_open and has_receiver:
            return self._connection
        await self.close()
        try:
            self._connection = await self._opened()
        except OSError as error:
            raise self._down(error) from error
        return self._connection

    async def _opened(self) -> SmppConnection:
        smsc = self._provider.smsc
        if smsc.take_delivery is None:
            return await SmppConnection.open(smsc)
        try:
            return await SmppConnection.open(smsc, Command.BIND_TRANSCEIVER)
        except RefusedError as error:
            if error.status not in _NO_TRANSCEIVER:
                raise
        transmitter = await SmppConnection.open(replace(smsc, take_delivery=None))
        # Messages are more important than receipts, so a refused receiver does not stop them.
        try:
            self._receiver = await SmppConnection.open(smsc, Command.BIND_RECEIVER)
        except OSError as error:
            log.warning("no receipts: receiver not bound", provider=smsc.name, error=printable(str(error)))
        except BaseException:
            transmitter.abort(ConnectionAbortedError("the relay broke off"))
            raise
        return transmitter

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
        response = self._connection.request(sequence, self._submit_sm(sequence))
        self._is_submitted = True
        async with timeout_with_grace(self._provider.smsc.timeout):
            return self._interpret(await response)

    def failure(self, error: BaseException) -> Failure:
        return connection_failure(self._provider.name, error, maybe_accepted=self._is_submitted)

    def _submit_sm(self, sequence: int) -> bytes:
        wants_receipt = self._provider.receipts is not None
        return submit_sm(sequence, self._provider.sender, self._rendered, wants_receipt=wants_receipt)

    def _interpret(self, response: Pdu) -> Sent | Failure:
        name, status = self._provider.name, response.status
        if status != Status.ESME_ROK:
            kind, error = _CLASSES.get(status, FailureClass.PROVIDER), f"submit_sm: {status_name(status)}"
            return Failure(kind, name, error, is_about_message=status not in _NOT_ABOUT_MESSAGE)
        if not response.is_response_to(Command.SUBMIT_SM):
            error = f"submit_sm: the reply is {response.command:#010x}"
            return Failure(FailureClass.TRANSIENT, name, error, maybe_accepted=True)
        message_id = printable(response.message_id or "")
        receipts = self._provider.receipts
        return Sent(name, (stored_id(message_id, receipts.form) if receipts else message_id) or None)


def _smpp_provider(url: ProviderUrl, context: DeliveryContext) -> SmppProvider:
    account = gateway_account(url, "receipts")
    user, password = account.credentials.user, account.credentials.password
    if account.path or not account.sender or not _fits(account.sender, LONGEST_NUMBER):
        raise ValueError(f"has a smpp URL with a path, or whose from is not 1 to {LONGEST_NUMBER} plain characters")
    if not (_fits(user, LONGEST_SYSTEM_ID) and _fits(password, LONGEST_PASSWORD)):
        raise ValueError(f"has a smpp URL with a user over {LONGEST_SYSTEM_ID} or a password over {LONGEST_PASSWORD}")
    port = account.port or (DEFAULT_TLS_PORT if account.has_tls else DEFAULT_PORT)
    smsc = Smsc(
        name=context.name(f"smpp:{host_and_port(account.host, port)}"),
        host=account.host,
        port=port,
        ssl_context=account.ssl_context if account.has_tls else None,
        system_id=user,
        password=password,
        timeout=context.timeout.total_seconds(),
    )
    form = _id_form(account.options)
    if form is None or context.store_report is None:
        return SmppProvider(smsc, account.sender)
    receipts = Receipts(smsc.name, form, context.store_report)
    return SmppProvider(replace(smsc, take_delivery=receipts.take), account.sender, receipts)


def _id_form(options: Mapping[str, str]) -> IdForm | None:
    """Return the form of ids in receipts, or None if the relay requests no receipts."""
    text = options.get("receipts")
    if text is None:
        return None
    with suppress(ValueError):
        return IdForm(text)
    raise ValueError(f"has a smpp URL whose receipts are not one of {', '.join(IdForm)}")


def _fits(text: str, longest: int) -> bool:
    return text.isascii() and text.isprintable() and len(text) <= longest


SMPP = ProviderScheme(frozenset({Channel.SMS}), _smpp_provider)
