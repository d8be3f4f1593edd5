import asyncio

from outbox_relay.upkeep import measure_backlog, try_once
from tests.support.databases import Database
from tests.support.forwarding import unused_port
from tests.support.outages import ListeningOutage


def test_upkeep_says_an_outage_once_and_its_end(database: Database) -> None:
    outage = ListeningOutage()
    nowhere = f"postgresql+psycopg://relay@127.0.0.1:{unused_port()}/{database.name}"
    for url in (nowhere, nowhere, database.relay_url, database.relay_url):
        asyncio.run(try_once(url, measure_backlog, outage))
    assert outage.said == [("warning", "database lost"), ("info", "database found again")]
