"""The provider of the provision channel: it delivers a message by provisioning an organization's database.

Decoys: a registration with a taken address creates an organization without a database. Its status must change like
that of a real one, or the response would reveal that the address is taken. So a decoy occupies one of the sessions,
fails when a real organization would fail, and takes as long as one of the latest real ones.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from outbox_relay.channels.base import MessageSource, Session
from outbox_relay.model import ClaimedMessage, Failure, FailureClass, Sent
from outbox_relay.organizations.store import LeaseLostError, OrganizationStore, ProvisionTarget
from outbox_relay.provisioning.model import StepFailedError
from outbox_relay.provisioning.provision import preflight, provision
from outbox_relay.provisioning.server import ProvisionServer
from shared.log import get_logger

LEASE_MARGIN_SECONDS = 2.0
"""An attempt ends this long before its lease does. The next attempt resumes at the last completed step."""

BEING_DROPPED_DELAY = timedelta(minutes=1)
"""Wait until the database of a failed organization has been dropped and can be created again."""

DEFAULT_DECOY_SECONDS = 0.5
"""Duration of a decoy as long as no real organization has been provisioned."""

DECOY_FAILURE_SECONDS = 30.0
"""How long a decoy repeats the server's latest failure. After that, a decoy may succeed like a real one."""

log = get_logger("relay.organizations")


class DecoyFailures:
    """Repeat the server's latest failure for decoys. All times are monotonic seconds."""

    def __init__(self) -> None:
        self._failure: Failure | None = None
        self._failed_at = float("-inf")

    def record(self, failure: Failure | None, now: float) -> None:
        """Remember the result of a real organization. Failures of one organization alone do not count."""
        is_server_failure = failure is not None and failure.kind is FailureClass.PROVIDER
        self._failure, self._failed_at = (failure, now) if is_server_failure else (None, now)

    def current(self, now: float) -> Failure | None:
        """Return the failure that a decoy ends with now, if any."""
        return self._failure if now - self._failed_at < DECOY_FAILURE_SECONDS else None


def decoy_seconds(recent_durations: Sequence[float], jitter: float) -> float:
    """Choose one of the latest real durations; ``jitter`` is in [0, 1)."""
    return recent_durations[int(jitter * len(recent_durations))] if recent_durations else DEFAULT_DECOY_SECONDS


class ProvisionProvider:
    """Provision organizations on one server, behind the interface of a message provider.

    Deliveries share no state but the failures that decoys repeat, so the provider is its own session.
    """

    def __init__(self, server: ProvisionServer, store: OrganizationStore) -> None:
        self.name = f"provision:{server.name}"
        self._server = server
        self._store = store
        self._decoy_failures = DecoyFailures()

    def session(self) -> Session:
        """Return the provider itself."""
        return self

    async def deliver(self, source: MessageSource) -> None:
        """Provision the organization of each message, and report its result."""
        while rendered := source.take():
            result: Sent | Failure = Failure(FailureClass.TRANSIENT, self.name, "interrupted")
            try:
                result = await self._result_of(rendered.message)
            finally:
                source.report(rendered, result)

    async def close(self) -> None:
        """Return at once: no connection stays open between organizations."""

    async def _result_of(self, message: ClaimedMessage) -> Sent | Failure:
        try:
            async with asyncio.timeout_at(message.lease_ends_monotonic - LEASE_MARGIN_SECONDS):
                return await self._deliver(message)
        except TimeoutError:
            return Failure(FailureClass.PROVIDER, self.name, "not completed within the lease")
        except LeaseLostError:
            return Failure(FailureClass.TRANSIENT, self.name, "the lease was lost")
        except Exception as error:
            # A bug that affects one organization must not stop other messages.
            log.exception("provisioning failed unexpectedly", message_id=str(message.id))
            return Failure(FailureClass.TRANSIENT, self.name, f"unexpected error: {type(error).__name__}")

    async def _deliver(self, message: ClaimedMessage) -> Sent | Failure:
        target = await self._store.start(message)
        if target is None:
            return Failure(FailureClass.TRANSIENT, self.name, "no organization to provision now", BEING_DROPPED_DELAY)
        failure = await (self._run_decoy(target) if target.is_decoy else self._provision(message, target))
        return failure or Sent(self.name)

    async def _provision(self, message: ClaimedMessage, target: ProvisionTarget) -> Failure | None:
        failure = None
        step_log = self._store.step_log(message, target.organization)
        try:
            await provision(self._server, target.organization, step_log)
        except StepFailedError as error:
            failure = self._failure_of(error)
            await step_log.failed(error.step, failure)
        self._decoy_failures.record(failure, asyncio.get_running_loop().time())
        return failure

    async def _run_decoy(self, target: ProvisionTarget) -> Failure | None:
        try:
            await preflight(self._server, target.organization)
        except StepFailedError as error:
            return self._failure_of(error)
        recent_durations = await self._store.recent_durations()
        await asyncio.sleep(decoy_seconds(recent_durations, random.random()))  # noqa: S311 - not a secret
        return self._decoy_failures.current(asyncio.get_running_loop().time())

    def _failure_of(self, error: StepFailedError) -> Failure:
        # ``is_about_message`` is false: a failure of the server must not count against this organization.
        return replace(error.failure, provider=self.name, is_about_message=False)
