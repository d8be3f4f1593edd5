from collections.abc import Iterator

import psycopg
import pytest

from devstack.cluster import Cluster
from shared.db.connection_settings import driver_url
from tests.support.api import ApiUnderTest, api_on
from tests.support.databases import fresh_database


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[ApiUnderTest]:
    """One database for all tests: rejected requests leave it unchanged."""
    with fresh_database(cluster) as database, api_on(database) as api:
        api.registered()
        yield api


@pytest.mark.parametrize(
    "statement",
    [
        "update outbox_messages set status = 'pending', dead_reason = null, settled_at = null",
        "update outbox_messages set due_at = now()",
        "update outbox_messages set dead_reason = 'rejected'",
        "update outbox_messages set recipient = 'eve@example.org'",
        "delete from bulk_actions",
        "select * from operator_tokens",
        "insert into operator_actions (operator, action, reason, before) values ('api', 'requeue', '', '{}')",
        "select signpost_correct_address(gen_random_uuid(), 'a', 'a')",
        "select signpost_revoke_operator_token(gen_random_uuid())",
        "delete from outbox_messages",
        "delete from users",
        "delete from tokens",
        "update sessions set user_id = gen_random_uuid()",
        "update sessions set family_hash = refresh_hash",
        "update sessions set is_limited = false",
        "update sessions set created_at = now()",
        "truncate sessions",
        "update idempotency_keys set body = ''",
        "delete from idempotency_keys",
        "delete from rate_limits",
        "truncate users cascade",
        "select last_error from outbox_messages",
        "select * from delivery_attempts",
        "select signpost_make_partitions(1)",
        "select signpost_prune_tokens(1, 100)",
        "update alembic_version set version_num = '0000'",
        "create table notes (id integer)",
        "update organizations set status = 'ready'",
        "update organizations set health = 'healthy'",
        "delete from organizations",
        "select is_decoy from organizations",
        "select * from organization_steps",
        "insert into organization_members values (gen_random_uuid(), gen_random_uuid(), 'owner')",
        "update organization_members set user_id = gen_random_uuid()",
        "delete from organization_invitations",
        "select signpost_provisioned(gen_random_uuid(), gen_random_uuid())",
        "select signpost_provisioning_failed(gen_random_uuid(), gen_random_uuid())",
    ],
)
def test_the_apis_login_has_only_the_rights_it_needs(api: ApiUnderTest, statement: str) -> None:
    with (
        psycopg.connect(driver_url(api.database.api_url), autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)
