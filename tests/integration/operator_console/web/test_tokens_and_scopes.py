"""Who is let in, and for what: over every route that there is."""

from datetime import timedelta
from uuid import UUID

import pytest
from werkzeug.routing import Rule

from operator_console.actions.tokens import Scope
from operator_console.web.sessions import MAX_WRONG_TOKENS
from tests.support.consoles import ConsoleUnderTest, csrf_in, operators_token
from tests.support.databases import Database
from tests.support.outbox import Outbox

NOBODY = UUID(int=0)
OPEN_TO_ALL = {"/livez", "/readyz", "/metrics", "/sign-in", "/static/<path:filename>"}
NEED_NO_SCOPE_TO_CHANGE = {"/sign-in", "/sign-out"}


def rules_of(console: ConsoleUnderTest, method: str) -> list[Rule]:
    return [rule for rule in console.app.url_map.iter_rules() if method in (rule.methods or ())]


def path_of(rule: Rule) -> str:
    _, path = rule.build(dict.fromkeys(rule.arguments, NOBODY)) or ("", "")
    return path


def test_nothing_but_health_and_the_door_is_told_to_strangers(console: ConsoleUnderTest) -> None:
    stranger = console.app.test_client()
    told = {
        rule.rule
        for method in ("GET", "POST")
        for rule in rules_of(console, method)
        if rule.rule not in OPEN_TO_ALL and stranger.open(path_of(rule), method=method).status_code not in (401, 303)
    }
    assert told == set()
    assert stranger.get("/messages").headers["Location"] == "/sign-in?next=%2Fmessages"


def test_a_token_that_may_only_read_changes_nothing_by_any_route(console: ConsoleUnderTest, database: Database) -> None:
    reading = operators_token(database, Scope.READ)
    browser = console.signed_in(reading)
    csrf = csrf_in(browser.get("/"))
    changing = [rule for rule in rules_of(console, "POST") if rule.rule not in NEED_NO_SCOPE_TO_CHANGE]
    for rule in changing:
        if rule.rule.startswith("/v1/"):
            answer = console.ask("POST", path_of(rule), reading, json={"reason": "because"})
            assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
            assert answer.json["code"] == "insufficient_scope"
        else:
            answer = browser.post(path_of(rule), data={"csrf": csrf, "reason": "because"})
        assert answer.status_code == 403, rule.rule
    assert len(changing) >= 14
    assert not {rule.rule for method in ("PUT", "PATCH", "DELETE") for rule in rules_of(console, method)}


def test_acting_is_not_revealing(console: ConsoleUnderTest, database: Database) -> None:
    acting = operators_token(database, Scope.READ, Scope.ACT)
    answer = console.ask("POST", f"/v1/messages/{NOBODY}/reveal", acting, json={"reason": "because"})
    assert (answer.status_code, answer.json["scope"]) == (403, "reveal")


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Bearer", "Bearer "])
def test_without_a_token_one_is_asked_for(console: ConsoleUnderTest, header: str | None) -> None:
    answer = console.app.test_client().get("/v1/stats", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json["code"]) == (401, "token_required")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="signpost-console"'
    assert answer.mimetype == "application/problem+json"


def test_a_token_that_is_unknown_expired_or_revoked_is_wrong_in_the_same_words(
    console: ConsoleUnderTest, database: Database
) -> None:
    expired = operators_token(database, lifetime=timedelta(seconds=-1), name="past")
    revoked = operators_token(database, name="lost")
    with database.connect() as owner:
        owner.execute("update operator_tokens set revoked_at = now() where name = 'lost'")
    answers = [console.ask("GET", "/v1/stats", token) for token in ("so_guess", expired, revoked)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({(answer.json["code"], answer.json["detail"]) for answer in answers}) == 1
    assert 'error="invalid_token"' in answers[0].headers["WWW-Authenticate"]


def test_wrong_tokens_are_refused_unread_after_a_few_by_header_and_by_page(
    console: ConsoleUnderTest, token: str
) -> None:
    for _ in range(MAX_WRONG_TOKENS.amount // 2):
        assert console.ask("GET", "/v1/stats", "so_guess").status_code == 401
        assert console.app.test_client().post("/sign-in", data={"token": "so_guess"}).status_code == 401
    script = console.ask("GET", "/v1/stats", token)
    page = console.app.test_client().post("/sign-in", data={"token": token})
    assert (script.status_code, page.status_code) == (429, 429)
    assert 1 <= int(script.headers["Retry-After"]) <= 60
    elsewhere = console.app.test_client().post(
        "/sign-in", data={"token": token}, environ_overrides={"REMOTE_ADDR": "192.0.2.7"}
    )
    assert elsewhere.status_code == 303


def test_a_token_is_not_in_the_database_and_what_it_did_bears_its_name(
    console: ConsoleUnderTest, database: Database, outbox: Outbox
) -> None:
    token = operators_token(database, name="night watch")
    [message_id] = outbox.put(status="'dead'", dead_reason="'rejected'", settled_at="now()")
    console.ask("POST", f"/v1/messages/{message_id}/requeue", token, json={"reason": "mailbox exists now"})
    [(row,)] = outbox.execute("select to_jsonb(operator_tokens)::text from operator_tokens")
    assert token not in row
    assert outbox.execute("select operator, reason from operator_actions where action = 'requeue'") == [
        ("night watch", "mailbox exists now")
    ]
