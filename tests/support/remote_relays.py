"""Relays on separate hosts, as far as the network is concerned."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.databases import Database
from tests.support.forwarding import forwarding
from tests.support.mail_sink import MailSink
from tests.support.namespaces import Namespace
from tests.support.processes import SCRIPTS, running
from tests.support.relays import RunningRelay, relay_environment

IN_GOOD_TIME = {"RELAY_LEASE_SECONDS": "180", "RELAY_SEND_SECONDS": "60"}
"""Long enough for a mail server to hang and then accept all messages, however busy the machine is."""


@contextmanager
def remote_relay(host: Namespace, database: Database, sink: MailSink, **settings: str) -> Iterator[RunningRelay]:
    """Run a relay in that namespace, with one cable to the database and one to the mail server."""
    to_database, to_mail = host.cables
    with (
        forwarding(0, to=database.cluster.port, host=to_database.host) as database_road,
        forwarding(0, to=sink.port, host=to_mail.host) as mail_road,
    ):
        environment = relay_environment(
            database,
            DATABASE_URL=f"postgresql+psycopg://relay@{to_database.host}:{database_road.port}/{database.name}",
            EMAIL_PROVIDERS=f"smtp://{to_mail.host}:{mail_road.port}?tls=none",
            **IN_GOOD_TIME | settings,
        )
        with running([*host.prefix, str(SCRIPTS / "outbox-relay"), "run"], environment) as started:
            yield RunningRelay(started.process, started.log_path)
