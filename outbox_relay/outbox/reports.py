"""Store delivery reports that arrive over a provider's own connection."""

from outbox_relay.db.connection import ReconnectingConnection, RelayConnection
from shared.reports.report import STORE_REPORT, DeliveryReport

LONGEST_STORE_SECONDS = 5.0
"""An SMSC waits about ten seconds for a response."""


class ReportStore:
    """Commits one report after the other."""

    def __init__(self, database: ReconnectingConnection) -> None:
        self._database = database

    async def store(self, report: DeliveryReport) -> None:
        """Commit the report; ignore a repetition. Raises psycopg's Error if that fails, for another try."""

        async def insert(connection: RelayConnection) -> None:
            await connection.execute(STORE_REPORT, report.parameters())

        await self._database.once(insert, within=LONGEST_STORE_SECONDS)
