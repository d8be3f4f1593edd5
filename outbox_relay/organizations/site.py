"""Where organizations are made, put together from settings; relays that may make none have no such place."""

from dataclasses import dataclass

from outbox_relay.channels.base import CappedProvider
from outbox_relay.db.connection import ReconnectingConnection
from outbox_relay.model import Caps, ClaimedMessage
from outbox_relay.organizations.channel import ProvisionProvider
from outbox_relay.organizations.founding import Foundings
from outbox_relay.organizations.inspecting import Inspector, pace_of
from outbox_relay.organizations.leftovers import Leftovers
from outbox_relay.provisioning import CONNECTIONS_EACH, ProvisionServer, StepFailedError, prepare
from outbox_relay.settings import RelaySettings
from shared.database import describe
from shared.log import get_logger

log = get_logger("relay.organizations")


@dataclass(frozen=True)
class Site:
    """The server as a provider, and what is done beside its channel."""

    server: ProvisionServer
    provider: CappedProvider
    leftovers: Leftovers
    inspector: Inspector
    recording: ReconnectingConnection

    async def prepare(self) -> None:
        """Have the template made before the first organization waits for it; what fails waits for another turn."""
        try:
            await prepare(self.server)
        except StepFailedError as error:
            cause = describe(error.__cause__ or error)
            log.warning("template not made", error_class=error.failure.kind.value, server=self.server.name, **cause)

    async def close(self) -> None:
        """Close the connections to our own database."""
        await self.recording.close()
        await self.inspector.close()


def site_of(settings: RelaySettings) -> Site | None:
    """Return where this relay makes organizations, if it may."""
    url = settings.provision_database_url
    if url is None:
        return None
    server = ProvisionServer(url, settings.secret_keys, connections=settings.provision_connections)
    recording = ReconnectingConnection(settings.database_url, "record")
    caps = Caps(connections=max(settings.provision_connections // CONNECTIONS_EACH, 1))
    provider = CappedProvider(ProvisionProvider(server, Foundings(recording)), caps)
    leftovers = Leftovers(settings.database_url, server, settings.provision_grace)
    inspector = Inspector(ReconnectingConnection(settings.database_url, "inspect"), server, pace_of(settings))
    return Site(server, provider, leftovers, inspector, recording)


def nothing_to_say(_message: ClaimedMessage) -> bytes:
    """Return the words of a message that tells nobody anything."""
    return b""
