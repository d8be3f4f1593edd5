"""The mail server: aiosmtpd, which accepts all messages except those to rejected addresses."""

import asyncio

from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.inbox.refusals import Refusals
from devstack.inbox.store import Store
from devstack.ports import LOOPBACK

HOST_NAME = "inbox.localhost"
SIZE_LIMIT = 10 * 2**20


class Mailroom:
    """Handlers that aiosmtpd calls at each step of a session."""

    def __init__(self, store: Store, refusals: Refusals) -> None:
        self._store = store
        self._refusals = refusals

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, _envelope: Envelope, host_name: str, replies: list[str]
    ) -> list[str]:
        """Offer PIPELINING: aiosmtpd reads commands one by one, even if they arrive together (RFC 2920 §3.2)."""
        session.host_name = host_name
        return [*replies[:-1], "250-PIPELINING", replies[-1]]

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Reject addresses on the list."""
        if address in self._refusals:
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Store the mail and reply."""
        arrival = self._store.store_email(envelope.mail_from or "", envelope.rcpt_tos, envelope.original_content or b"")
        return f"250 2.0.0 OK: queued as {arrival.id}"


async def listen(mailroom: Mailroom, port: int) -> asyncio.Server:
    """Listen on loopback; port 0 means any free port."""

    def conversation() -> SMTP:
        return SMTP(mailroom, hostname=HOST_NAME, enable_SMTPUTF8=True, data_size_limit=SIZE_LIMIT)

    return await asyncio.get_running_loop().create_server(conversation, LOOPBACK, port)
