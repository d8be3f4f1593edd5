"""Where organizations are made, put together from settings; relays that may make none have no such place."""

from dataclasses import dataclass

from outbox_relay.channels.base import CappedProvider
from outbox_relay.database import Lifeline
from outbox_relay.messages import ClaimedMessage
from outbox_relay.organizations.channel import ProvisionProvider
from outbox_relay.organizations.founding import Foundings
from outbox_relay.organizations.leftovers import Leftovers
from outbox_relay.provisioning import ProvisionServer
from outbox_relay.rates import Caps
from outbox_relay.settings import RelaySettings

CONNECTIONS_EACH = 2
"""For one organization: to the server, and in its database."""


@dataclass(frozen=True)
class Site:
    """The server as a provider, and what is done beside its channel."""

    provider: CappedProvider
    leftovers: Leftovers
    recording: Lifeline

    async def close(self) -> None:
        """Close the connection to our own database."""
        await self.recording.close()


def site_of(settings: RelaySettings) -> Site | None:
    """Return where this relay makes organizations, if it may."""
    url = settings.provision_database_url
    if url is None:
        return None
    server = ProvisionServer(url, settings.secret_keys, connections=settings.provision_connections)
    recording = Lifeline(settings.database_url, "record")
    caps = Caps(connections=max(settings.provision_connections // CONNECTIONS_EACH, 1))
    provider = CappedProvider(ProvisionProvider(server, Foundings(recording)), caps)
    return Site(provider, Leftovers(settings.database_url, server, settings.provision_grace), recording)


def nothing_to_say(_message: ClaimedMessage) -> bytes:
    """Return the words of a message that tells nobody anything."""
    return b""
