from collections.abc import Iterator
from uuid import uuid4

import pytest

from devstack.cluster import Cluster
from migrations import commands
from migrations.revisions import REVISIONS
from shared.secrets import link_token_for
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import Database, fresh_database
from tests.support.keys import KEY

NOWHERE = "postgresql+psycopg://api@127.0.0.1:1/nowhere"


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster, template="template0") as database:
        yield database


def test_the_api_is_ready_with_a_migrated_database(api: ApiUnderTest) -> None:
    response = api.client.get("/readyz")

    assert (response.status_code, response.json) == (200, {"status": "ready"})


def test_an_outdated_or_missing_schema_is_reported(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with api_on(empty) as api:
        absent = api.client.get("/readyz")
        commands.upgrade(empty.owner_url)
        monkeypatch.setattr("api_service.routes.operations.REVISIONS", [*REVISIONS, "9999"])
        behind = api.client.get("/readyz")

    for response in (absent, behind):
        assert (response.status_code, response.json["code"]) == (503, "not_ready")
        assert response.json["missing"] == ["schema"]


def test_a_read_only_database_is_reported_as_missing(database: Database) -> None:
    with database.connect() as owner:
        [name] = owner.execute("select current_database()").fetchone() or [""]
        owner.execute(f'alter database "{name}" set default_transaction_read_only = on')
    with api_on(database) as api:
        response = api.client.get("/readyz")
    assert (response.status_code, response.json["missing"]) == (503, ["database"])


def test_the_api_works_with_a_newer_schema(api: ApiUnderTest) -> None:
    api.rows("update alembic_version set version_num = '9999'")

    assert api.client.get("/readyz").status_code == 200


def test_without_a_database_the_api_is_alive_and_not_ready(database: Database) -> None:
    with api_on(database, DATABASE_URL=NOWHERE) as api:
        live, ready = api.client.get("/livez"), api.client.get("/readyz")
        registration, page = api.register(), api.client.post("/activate", data={"token": link_token_for(uuid4(), KEY)})

    assert live.status_code == 200
    assert (ready.status_code, ready.json["missing"]) == (503, ["database"])
    assert (registration.status_code, registration.json["code"]) == (503, "database_unavailable")
    assert int(registration.headers["Retry-After"]) >= 1
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert int(page.headers["Retry-After"]) >= 1
