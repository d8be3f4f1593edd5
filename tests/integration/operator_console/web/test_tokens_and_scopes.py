"""Authentication and scopes on every route."""

from datetime import timedelta
from uuid import UUID

import pytest
from werkzeug.routing import Rule

from operator_console.actions.tokens import Scope
from operator_console.web.sessions import MAX_WRONG_TOKENS
from tests.support.consoles import ConsoleUnderTest, csrf_in, operators_token
from tests.support.databases import Database
from tests.support.outbox import Outbox

UNKNOWN_ID = UUID(int=0)
OPEN_TO_ALL = {"/sign-in", "/static/<path:filename>"}
NEED_NO_SCOPE_TO_CHANGE = {"/sign-in", "/sign-out"}


def rules_of(console: ConsoleUnderTest, method: str) -> list[Rule]:
    return [rule for rule in console.app.url_map.iter_rules() if method in (rule.methods or ())]


def path_of(rule: Rule) -> str:
    _, path = rule.build(dict.fromkeys(rule.arguments, UNKNOWN_ID)) or ("", "")
    return path


def test_only_health_metrics_and_the_sign_in_are_public(console: ConsoleUnderTest) -> None:
    anonymous = console.app.test_client()
    public_rules = {
        rule.rule
        for method in ("GET", "POST")
        for rule in rules_of(console, method)
        if rule.rule not in OPEN_TO_ALL and anonymous.open(path_of(rule), method=method).status_code not in (401, 303)
    }
    assert public_rules == set()
    assert anonymous.get("/messages").headers["Location"] == "/sign-in?next=%2Fmessages"


def test_a_read_only_token_changes_nothing_by_any_route(console: ConsoleUnderTest, database: Database) -> None:
    reading = operators_token(database, Scope.READ)
    browser = console.signed_in(reading)
    csrf = csrf_in(browser.get("/"))
    changing = [rule for rule in rules_of(console, "POST") if rule.rule not in NEED_NO_SCOPE_TO_CHANGE]
    for rule in changing:
        if rule.rule.startswith("/v1/"):
            response = console.ask("POST", path_of(rule), reading, json={"reason": "because"})
            assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]
            assert response.json["code"] == "insufficient_scope"
        else:
            response = browser.post(path_of(rule), data={"csrf": csrf, "reason": "because"})
        assert response.status_code == 403, rule.rule
    assert len(changing) >= 14
    assert not {rule.rule for method in ("PUT", "PATCH", "DELETE") for rule in rules_of(console, method)}


def test_the_scope_act_does_not_include_reveal(console: ConsoleUnderTest, database: Database) -> None:
    acting = operators_token(database, Scope.READ, Scope.ACT)
    response = console.ask("POST", f"/v1/messages/{UNKNOWN_ID}/reveal", acting, json={"reason": "because"})
    assert (response.status_code, response.json["scope"]) == (403, "reveal")


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Bearer", "Bearer "])
def test_a_request_without_a_token_gets_a_challenge(console: ConsoleUnderTest, header: str | None) -> None:
    response = console.app.test_client().get("/v1/stats", headers={"Authorization": header} if header else {})
    assert (response.status_code, response.json["code"]) == (401, "token_required")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="signpost-console"'
    assert response.mimetype == "application/problem+json"


def test_unknown_expired_and_revoked_tokens_get_the_same_error(console: ConsoleUnderTest, database: Database) -> None:
    expired = operators_token(database, lifetime=timedelta(seconds=-1), name="past")
    revoked = operators_token(database, name="lost")
    with database.connect() as owner:
        owner.execute("update operator_tokens set revoked_at = now() where name = 'lost'")
    responses = [console.ask("GET", "/v1/stats", token) for token in ("so_guess", expired, revoked)]
    assert {response.status_code for response in responses} == {401}
    assert len({(response.json["code"], response.json["detail"]) for response in responses}) == 1
    assert 'error="invalid_token"' in responses[0].headers["WWW-Authenticate"]


def test_wrong_tokens_are_limited_for_headers_and_forms_together(console: ConsoleUnderTest, token: str) -> None:
    for _ in range(MAX_WRONG_TOKENS // 2):
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


def test_the_database_has_no_token_and_audit_rows_have_its_name(
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
