from collections.abc import Iterator

import pytest

from devstack.cluster import Cluster
from tests.support.databases import Database, fresh_database, is_refused


@pytest.fixture(scope="module")
def refusing(cluster: Cluster) -> Iterator[Database]:
    """One database for all tests: rejected statements leave it unchanged."""
    with fresh_database(cluster) as database:
        yield database


@pytest.mark.parametrize(
    "statement",
    [
        "select * from users",
        "select * from tokens",
        "select id from sessions",
        "delete from sessions",
        "insert into outbox_messages (id) values (gen_random_uuid())",
        "delete from outbox_messages",
        "update outbox_messages set recipient = 'eve@example.org'",
        "update outbox_messages set payload = '{}'",
        "update delivery_attempts set error = ''",
        "select * from operator_actions",
        "delete from providers",
        "update providers set name = 'smtp:other:25'",
        "select signpost_supersede(gen_random_uuid(), gen_random_uuid())",
        "update outbox_messages set fallback_of = null",
        "create table loot (id integer)",
        "delete from users",
        "delete from tokens",
        "delete from delivery_attempts",
        "delete from operator_actions",
        "drop table outbox_messages_default",
        "select signpost_make_partition(now())",
        "select signpost_has_unsettled('users')",
        "select signpost_has_token_since(gen_random_uuid(), now())",
        "delete from leader_lease",
        "insert into leader_lease (id) values (1)",
        "delete from relays",
        "select * from reported_causes",
        "delete from reported_causes",
        "update relays set started_at = now()",
        "insert into organizations (id, name) values (gen_random_uuid(), '')",
        "update organizations set status = 'ready'",
        "update organizations set name = ''",
        "delete from organizations",
        "delete from organization_steps",
        "select signpost_notify_founder(null, false, gen_random_uuid())",
        "delete from outbox_messages_default",
        "insert into outbox_messages_default (id) values (gen_random_uuid())",
        "update outbox_messages_default set recipient = ''",
        "update outbox_messages_default set status = 'sent'",
    ],
)
def test_the_relays_role_has_only_the_rights_it_needs(refusing: Database, statement: str) -> None:
    assert is_refused(refusing.relay_url, statement)


@pytest.mark.parametrize("login", ["api", "console"])
@pytest.mark.parametrize(
    "statement",
    [
        "select signpost_make_partitions(7)",
        "select signpost_drop_partition(90)",
        "select signpost_prune_undropped_messages(90, 1)",
        "select signpost_prune_attempts(90, 1)",
        "select signpost_prune_actions(365, 1)",
        "select signpost_prune_users(30, 1)",
        "select signpost_prune_organizations(30, 1)",
        "select signpost_prune_sessions(1)",
        "select signpost_prune_idempotency_keys(1)",
        "select signpost_prune_limits(1)",
        "select signpost_prune_relays(1)",
        "select signpost_enqueue_digests('{}', '{}', 'en', '1 hour')",
        "update relays set seen_at = now()",
        "update leader_lease set leased_until = now() + interval '1 year'",
    ],
)
def test_only_the_relays_role_can_run_maintenance(refusing: Database, login: str, statement: str) -> None:
    assert is_refused(refusing.cluster.url(refusing.name, user=login), statement)
