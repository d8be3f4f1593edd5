from collections.abc import Iterator

import pytest

from tests.support.api import ApiUnderTest, shared_api
from tests.support.databases import Database
from tests.support.fallbacks import fall_back, make_overdue

BOTH = {"email": "ada@example.org", "phone": "+33612345678"}


@pytest.fixture
def api(database: Database) -> Iterator[ApiUnderTest]:
    with shared_api(database, ACTIVATION_FALLBACK="both") as api:
        yield api


def test_a_resend_replaces_a_planned_fallback(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    api.resend(registration_id, channel="sms")
    api.rows("update outbox_messages set fallback_at = null where channel = 'sms'")
    make_overdue(api)

    assert fall_back(api.database) == 0
    assert len(api.messages(registration_id)) == 2


def test_a_resend_closes_a_fallback_still_pending(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    make_overdue(api)
    fall_back(api.database)

    assert api.resend(registration_id, channel="email").status_code == 202

    assert [(message.channel, message.dead_reason) for message in api.messages(registration_id)] == [
        ("email", None),
        ("sms", "superseded"),
        ("email", "superseded"),
    ]


def test_activation_supersedes_pending_codes_on_both_channels(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    make_overdue(api)
    fall_back(api.database)

    assert api.activate(registration_id).status_code == 200

    assert [(message.template, message.channel, message.dead_reason) for message in api.messages(registration_id)] == [
        ("welcome", "sms", None),
        ("activation", "sms", "superseded"),
        ("activation", "email", "superseded"),
    ]


def test_a_fallback_waits_for_a_resend_in_progress_instead_of_deadlocking(api: ApiUnderTest) -> None:
    registration_id = api.registered(**BOTH)
    make_overdue(api)
    with api.database.connect() as resending:
        resending.execute("begin")
        resending.execute("select from users where id = %s for update", [registration_id])
        assert fall_back(api.database) == 0
        resending.execute("rollback")
    assert fall_back(api.database) == 1
