import shlex
from pathlib import Path

import psycopg

from devstack.cluster import Cluster
from devstack.ports import FRIENDLY
from devstack.programs import EmailRoute, Programs


def test_the_relay_of_the_devstack_sends_to_the_inbox(cluster: Cluster, tmp_path: Path) -> None:
    settings = Programs(FRIENDLY, tmp_path, cluster).relay().environment
    assert settings["EMAIL_PROVIDERS"] == f"smtp://127.0.0.1:{FRIENDLY.inbox_smtp}?tls=none"


def test_the_relay_of_the_devstack_can_use_another_mail_server(cluster: Cluster, tmp_path: Path) -> None:
    route = EmailRoute("smtps://me:pw@mail.example.org", "Me <me@example.org>")
    settings = Programs(FRIENDLY, tmp_path, cluster, route).relay().environment
    assert (settings["EMAIL_PROVIDERS"], settings["EMAIL_FROM"]) == (route.providers, route.sender)


def test_psql_connects_as_the_owner_with_the_settings_that_up_prints(cluster: Cluster, tmp_path: Path) -> None:
    settings = dict(one.split("=") for one in shlex.split(Programs(FRIENDLY, tmp_path, cluster).owners_psql_settings))
    assert settings.pop("PGDATABASE") == "signpost"
    login = {name.removeprefix("PG").lower(): value for name, value in settings.items()}
    with psycopg.connect(dbname="postgres", **login) as connection:
        assert connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone() == (True,)
