"""The page that ends all sessions in a real browser, in both languages, on a small phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from devstack.cluster import Cluster
from shared.ids import uuid7
from shared.secrets import LinkUse, link_token_for
from tests.support.databases import Database, fresh_database
from tests.support.keys import KEY
from tests.support.processes import RunningApi, running_api

SMALL_PHONE = {"width": 320, "height": 568}
A_SESSION_AND_A_NOTICE = """
with ada as (
    insert into users (id, status, email, email_canonical, email_verified_at, password_hash, locale)
    values (gen_random_uuid(), 'active', 'ada@example.org', 'ada@example.org', now(), 'x', 'en')
    on conflict (email_canonical) where email_verified_at is not null do update set locale = 'en' returning id),
session as (
    insert into sessions (id, user_id, family_hash, refresh_hash, expires_at)
    select gen_random_uuid(), id, sha256(random()::text::bytea), sha256('x'), now() + interval '1 day' from ada)
insert into outbox_messages (id, template, channel, recipient, locale, payload, user_id, max_attempts)
select %s, 'unfamiliar_sign_in', 'email', 'ada@example.org', 'en', '{}', id, 8 from ada
"""
WORDS = {
    "en-GB": ("Sign out everywhere", "You are signed out everywhere"),
    "fr-FR": ("Me déconnecter partout", "Vous êtes déconnecté partout"),
}


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Database]:
    with fresh_database(cluster) as database:
        yield database


@pytest.fixture(scope="module")
def api(database: Database) -> Iterator[RunningApi]:
    with running_api(database) as api:
        yield api


@pytest.mark.parametrize("language", WORDS)
def test_the_keyboard_suffices_to_sign_out_everywhere(
    browser: Browser, api: RunningApi, database: Database, language: str
) -> None:
    button, heading = WORDS[language]
    notice_id = uuid7()
    with database.connect() as owner, browser.new_context(viewport=SMALL_PHONE, locale=language) as context:
        owner.execute(A_SESSION_AND_A_NOTICE, [notice_id])
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda line: complaints.append(line.text))
        page.goto(f"{api.base_url}/end-sessions?token={link_token_for(notice_id, KEY, LinkUse.END_SESSIONS)}")
        assert page.evaluate("document.documentElement.scrollWidth") <= SMALL_PHONE["width"]
        assert owner.execute("select count(*) from sessions").fetchall() == [(1,)]
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=button)).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading")).to_have_text(heading)
        assert page.evaluate("document.documentElement.scrollWidth") <= SMALL_PHONE["width"]
        assert owner.execute("select count(*) from sessions").fetchall() == [(0,)]
    assert complaints == []
