"""Provisioning as a whole: the provider and the periodic jobs of a relay that may make databases."""

from dataclasses import dataclass

from outbox_relay.channels.base import CappedProvider
from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import Caps
from outbox_relay.organizations.health_check import HealthChecker, check_schedule_of
from outbox_relay.organizations.orphan_cleanup import OrphanCleanup
from outbox_relay.organizations.provider import ProvisionProvider
from outbox_relay.organizations.store import OrganizationStore
from outbox_relay.provisioning.model import StepFailedError
from outbox_relay.provisioning.provision import ensure_template
from outbox_relay.provisioning.server import CONNECTIONS_PER_ORGANIZATION, ProvisionServer
from outbox_relay.settings import RelaySettings
from shared.db.errors import describe
from shared.log import get_logger

log = get_logger("relay.organizations")


@dataclass(frozen=True, kw_only=True)
class ProvisioningService:
    """The server as a message provider, with the periodic jobs for its databases."""

    server: ProvisionServer
    provider: CappedProvider
    orphan_cleanup: OrphanCleanup
    health_checker: HealthChecker
    recording: ReconnectingConnection

    async def prepare_template(self) -> None:
        """Make the template before an organization needs it. A later run retries what fails."""
        try:
            await ensure_template(self.server)
        except StepFailedError as error:
            cause = describe(error.__cause__ or error)
            log.warning(
                "template not made",
                error_class=error.failure.kind.value,
                server=self.server.name,
                reason=error.failure.error,
                **cause,
            )

    async def close(self) -> None:
        """Close the connections to Signpost's own database."""
        await self.recording.close()
        await self.health_checker.close()


def provisioning_service(settings: RelaySettings, url: str) -> ProvisioningService:
    """Build the service for the organizations' server."""
    server = ProvisionServer(
        url,
        settings.organization_keys or settings.secret_keys,
        connections=settings.provision_connections,
        migrations=settings.organization_migrations,
    )
    recording = ReconnectingConnection(settings.database_url, "record")
    caps = Caps(connections=max(settings.provision_connections // CONNECTIONS_PER_ORGANIZATION, 1))
    return ProvisioningService(
        server=server,
        provider=CappedProvider(ProvisionProvider(server, OrganizationStore(recording)), caps),
        orphan_cleanup=OrphanCleanup(settings.database_url, server, settings.provision_grace),
        health_checker=HealthChecker(
            ReconnectingConnection(settings.database_url, "health check"), server, check_schedule_of(settings)
        ),
        recording=recording,
    )
