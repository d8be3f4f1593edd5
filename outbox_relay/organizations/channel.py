"""What stands where other channels have a mail server or a gateway: the server of the organizations.

A letter is an organization to be provisioned or repaired. Handing it over means having it done.
"""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

from outbox_relay.channels.base import Tray
from outbox_relay.model import ClaimedMessage, Failure, FailureClass, Sent
from outbox_relay.organizations.decoys import Decoys, seconds_for_decoy
from outbox_relay.organizations.founding import Found, Foundings, LeaseLostError
from outbox_relay.provisioning import ProvisionServer, StepFailedError, knock, provision
from shared.log import get_logger

LEASE_MARGIN_SECONDS = 2.0
"""Before the lease ends, a try does: what it has done is found by the next one."""

DROPPING_PAUSE = timedelta(minutes=1)
"""Until what is being dropped is gone, and can be made anew."""

log = get_logger("relay.organizations")


class ProvisionProvider:
    """The server, as a ladder sees it."""

    def __init__(self, server: ProvisionServer, foundings: Foundings) -> None:
        self.name = f"provision:{server.name}"
        self._server = server
        self._foundings = foundings
        self._decoys = Decoys()

    def session(self) -> "ProvisionSession":
        """Make a session: one organization at a time."""
        return ProvisionSession(self)

    async def fate_of(self, message: ClaimedMessage) -> Sent | Failure:
        """Provision the message's organization, and say how it went; raises nothing of its own."""
        try:
            async with asyncio.timeout_at(message.lease_ends_monotonic - LEASE_MARGIN_SECONDS):
                return await self._carried_out(message)
        except TimeoutError:
            return Failure(FailureClass.PROVIDER, self.name, "not done within the lease")
        except LeaseLostError:
            return Failure(FailureClass.TRANSIENT, self.name, "the lease was lost")
        except Exception as error:
            # A fault of ours in one organization must not stop the others.
            log.exception("provisioning broke", message_id=str(message.id))
            return Failure(FailureClass.TRANSIENT, self.name, f"provisioning broke: {type(error).__name__}")

    async def _carried_out(self, message: ClaimedMessage) -> Sent | Failure:
        found = await self._foundings.begin(message)
        if found is None:
            return Failure(FailureClass.TRANSIENT, self.name, "nothing to provision now", DROPPING_PAUSE)
        failure = await (self._played(found) if found.is_decoy else self._provisioned(message, found))
        return failure or Sent(self.name)

    async def _provisioned(self, message: ClaimedMessage, found: Found) -> Failure | None:
        clock, failure = asyncio.get_running_loop().time, None
        record = self._foundings.record(message, found.organization)
        try:
            await provision(self._server, found.organization, record)
        except StepFailedError as error:
            # Said about this organization or not, what is the server's fault must cost it nothing.
            failure = replace(error.failure, provider=self.name, is_reply=False)
            await record.failed(error.step, failure)
        self._decoys.saw(failure, clock())
        return failure

    async def _played(self, found: Found) -> Failure | None:
        try:
            await knock(self._server, found.organization)
        except StepFailedError as error:
            return replace(error.failure, provider=self.name, is_reply=False)
        lately = await self._foundings.durations()
        await asyncio.sleep(seconds_for_decoy(lately, random.random()))  # noqa: S311 - no secret: which of the last ones
        return self._decoys.failure(asyncio.get_running_loop().time())


class ProvisionSession:
    """A place at the server, as a courier sees it. It holds nothing open between organizations."""

    def __init__(self, provider: ProvisionProvider) -> None:
        self._provider = provider

    async def carry(self, tray: Tray) -> None:
        """Provision what is on the tray, one after the other."""
        while letter := tray.take():
            fate: Sent | Failure = Failure(FailureClass.TRANSIENT, self._provider.name, "broken off")
            try:
                fate = await self._provider.fate_of(letter.message)
            finally:
                tray.report(letter, fate)

    async def close(self) -> None:
        """Do nothing: there is nothing open."""
