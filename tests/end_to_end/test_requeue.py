"""A requeued dead message of yesterday still activates the account."""

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.databases import Database
from tests.support.eventually import eventually
from tests.support.inbox import running_inbox
from tests.support.operators import lines_of, outboxctl
from tests.support.outbox import Outbox
from tests.support.processes import running_api
from tests.support.relays import running_relay

pytestmark = pytest.mark.slow

ADA = {"email": "ada@example.org", "password": "four quiet words here"}
A_DAY_PASSES = (
    "update tokens set created_at = created_at - interval '1 day', expires_at = expires_at - interval '1 day'",
    "update outbox_messages set expires_at = expires_at - interval '1 day', settled_at = settled_at - interval '1 day'",
)


def test_a_day_old_dead_activation_is_requeued_and_its_new_code_activates(database: Database, tmp_path: Path) -> None:
    outbox = Outbox(database)
    with ExitStack() as ending:
        inbox = ending.enter_context(running_inbox(tmp_path))
        api = ending.enter_context(running_api(database))
        client = ending.enter_context(httpx.Client(base_url=api.base_url, timeout=30))
        registration = client.post("/v1/registrations", json=ADA).json()["id"]
        outbox.execute("update outbox_messages set status = 'dead', dead_reason = 'rejected', settled_at = now()")
        for statement in A_DAY_PASSES:
            outbox.execute(statement)
        ending.enter_context(running_relay(database, EMAIL_PROVIDERS=inbox.email_provider))
        [dead] = lines_of(outboxctl(database, "list", "--status", "dead"))
        requeued = outboxctl(database, "requeue", dead["id"], "--reason", "the mailbox exists now")
        assert requeued.exit_code == 0, requeued.output
        code = inbox.wait_for(ADA["email"], 1, timeout=30)[0].code
        response = client.post("/v1/activations", json={"registration_id": registration, "code": code})
        assert response.json()["status"] == "active"
        eventually(lambda: len(lines_of(outboxctl(database, "list", "--status", "sent"))) == 2)
