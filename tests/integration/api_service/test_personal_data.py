import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from outbox_relay.model import Dead, Failure, FailureClass, Retry, Sent
from shared.reports.report import ReportKind, ReportSource
from shared.vocabulary import DeadReason, Priority
from tests.support.accounts import ADA, NUMBER, Account, ask_for_reset, newest_code, problem, signed_in, tables
from tests.support.api import PASSWORD, ApiUnderTest
from tests.support.deadlocks import after_a_deadlock
from tests.support.delivery_reports import apply_reports, bounce, store
from tests.support.eventually import eventually
from tests.support.outbox import Outbox

NAME = "Augusta Ada King"
TRACES = (ADA, NUMBER, NAME)
QUOTED = Failure(FailureClass.TRANSIENT, "smtp:mx:25", f"450 4.2.0 <{ADA}> greylisted")
A_MINUTE = timedelta(minutes=1)
COUNTESS = "countess@example.org"
OLD_SESSION = "update sessions set created_at = created_at - interval '11 minutes'"


@pytest.fixture
def ada(api: ApiUnderTest) -> Account:
    user_id = api.activated(email=ADA, phone=NUMBER, channel="email", full_name=NAME)
    api.rows("update users set phone_verified_at = now()")
    return Account(api, user_id, signed_in(api))


def test_erasing_leaves_no_trace_and_keeps_the_counts(api: ApiUnderTest, ada: Account, outbox: Outbox) -> None:
    [notice] = outbox.claim(priority=Priority.LOW)
    outbox.settle([(notice, Retry(A_MINUTE, QUOTED))])
    ask_for_reset(api)
    abandoned = api.registered(email=ADA)
    assert all(trace in tables(api) for trace in TRACES)
    assert re.search(r"greylisted", tables(api))
    messages, attempts = api.count_rows()[2], len(api.rows("select * from delivery_attempts"))

    assert ada.erase(password=PASSWORD).status_code == 202

    left = tables(api)
    assert [trace for trace in (*TRACES, "greylisted", str(ada.id), str(abandoned)) if trace in left] == []
    assert api.count_rows() == (0, 0, messages)
    assert len(api.rows("select * from delivery_attempts")) == attempts == 1
    assert api.rows("select * from sessions") == []


def test_delivery_reports_are_exported_and_erased(api: ApiUnderTest, ada: Account, outbox: Outbox) -> None:
    [notice] = outbox.claim(priority=Priority.LOW)
    outbox.settle([(notice, Sent("smtp:mx:25", "queued-1"))])
    bounce(api.database, notice, diagnostic="550 no mailbox here")
    apply_reports(api.database)
    [_, welcome] = ada.get("/v1/me/export").json["messages"]
    [report] = welcome["reports"]
    assert (report["kind"], report["cause"], report["diagnostic"]) == ("bounced", "recipient", "550 no mailbox here")
    # Reports that are not matched yet are erased too: one names its message, and one the provider's id.
    store(api.database, ReportKind.DELAYED, message_id=notice.id)
    by_id = {"provider": "smtp:mx:25", "provider_message_id": "queued-1"}
    store(api.database, ReportKind.DELIVERED, ReportSource.JSON, **by_id)
    assert ada.erase(password=PASSWORD).status_code == 202
    assert api.rows("select * from delivery_reports") == []


def test_pending_messages_die_and_settled_ones_keep_their_status(api: ApiUnderTest, ada: Account) -> None:
    api.rows("update outbox_messages set status = 'sent', dead_reason = null where template = 'activation'")
    ada.erase(password=PASSWORD)
    fates = api.rows("select template, status, dead_reason, recipient from outbox_messages order by created_at")
    assert [tuple(row) for row in fates] == [
        ("activation", "sent", None, "erased"),
        ("welcome", "dead", "discarded", "erased"),
    ]


@pytest.mark.parametrize("outcome", [Retry(A_MINUTE, QUOTED), Dead(DeadReason.REJECTED, QUOTED)])
def test_a_relay_writes_no_personal_data_of_an_erased_message(
    api: ApiUnderTest, ada: Account, outbox: Outbox, outcome: Retry | Dead
) -> None:
    [welcome] = outbox.claim(priority=Priority.LOW)
    ada.erase(password=PASSWORD)
    outbox.settle([(welcome, outcome)])
    row = outbox.row(welcome.id)
    assert (row.status, row.dead_reason, row.last_error) == ("dead", "discarded", None)
    assert [trace for trace in TRACES if trace in tables(api)] == []


def test_the_outcome_of_an_erased_message_is_still_recorded(api: ApiUnderTest, ada: Account, outbox: Outbox) -> None:
    [welcome] = outbox.claim(priority=Priority.LOW)
    ada.erase(password=PASSWORD)
    outbox.settle([(welcome, Sent("smtp:mx:25", "q1"))])
    row = outbox.row(welcome.id)
    assert (row.status, row.provider, row.provider_message_id) == ("sent", "smtp:mx:25", None)
    assert [trace for trace in TRACES if trace in tables(api)] == []


def test_erasing_changes_no_data_of_other_users(api: ApiUnderTest, ada: Account) -> None:
    grace = api.activated(email="grace@example.org")
    ask_for_reset(api, "grace@example.org")
    before = [api.user(grace), api.tokens(grace), api.messages(grace)]
    ada.erase(password=PASSWORD)
    assert [api.user(grace), api.tokens(grace), api.messages(grace)] == before


def test_erasing_ignores_addresses_that_were_never_proven(api: ApiUnderTest, ada: Account) -> None:
    api.rows("update users set phone_verified_at = null")
    theirs = api.registered(phone=NUMBER)
    ada.erase(password=PASSWORD)
    assert api.user(theirs).status == "pending"


def move(who: Account) -> None:
    """Change the user's address to the second one."""
    who.post("/v1/me/email", email=COUNTESS, password=PASSWORD)
    assert who.post("/v1/me/email/confirm", code=newest_code(who.api, "address_change")).status_code == 204


def test_unactivated_registrations_of_a_former_address_are_erased_and_later_ones_stay(api: ApiUnderTest) -> None:
    ask_for_reset(api)
    abandoned = api.registered(email=ADA.upper(), full_name=NAME)
    mover = Account(api, api.activated(email=ADA), signed_in(api))
    move(mover)
    ask_for_reset(api)
    successor = api.registered(email=ADA, full_name="Somebody Else")

    assert mover.erase(password=PASSWORD).status_code == 202

    left = tables(api)
    assert [trace for trace in (str(mover.id), str(abandoned), NAME, ADA.upper(), COUNTESS) if trace in left] == []
    assert api.user(successor).full_name == "Somebody Else"
    stored = api.rows("select template from outbox_messages where recipient = %s order by id", ADA)
    assert [row.template for row in stored] == ["no_account", "activation"]


@pytest.mark.parametrize("is_first", [True, False], ids=["retired", "a decoy"])
def test_an_erasure_spares_later_registrations_of_a_former_address(api: ApiUnderTest, *, is_first: bool) -> None:
    mover_id = None if is_first else api.activated(email=ADA)
    theirs = api.registered(email=ADA)
    mover = Account(api, mover_id or api.activated(email=ADA), signed_in(api))
    move(mover)
    assert api.resend(theirs).status_code == 202

    assert mover.erase(password=PASSWORD).status_code == 202

    assert api.activate(theirs).status_code == 200


def test_a_user_whose_address_is_corrected_during_an_erasure_is_spared(api: ApiUnderTest, ada: Account) -> None:
    theirs = api.registered(email=ADA)
    with api.database.connect() as elsewhere, ThreadPoolExecutor(1) as someone:
        with elsewhere.transaction():
            elsewhere.execute(
                "update users set email = %(email)s, email_canonical = %(email)s where id = %(id)s",
                {"email": COUNTESS, "id": theirs},
            )
            response = someone.submit(ada.erase, password=PASSWORD)
            eventually(api.count_waiting)
        assert response.result(30).status_code == 202

    assert api.user(theirs).email == COUNTESS


def test_locked_rows_are_erased_too(api: ApiUnderTest, ada: Account) -> None:
    abandoned = api.registered(email=ADA, full_name=NAME)
    response = after_a_deadlock(
        api,
        lambda: ada.erase(password=PASSWORD),
        waits_for=("select from users where id = %s for share", [abandoned]),
        locks=("select from users where id = %s for update", [ada.id]),
    )

    assert response.status_code == 202
    assert [trace for trace in TRACES if trace in tables(api)] == []


def test_after_erasing_the_address_is_unknown_and_free_again(api: ApiUnderTest, ada: Account) -> None:
    ada.erase(password=PASSWORD)
    assert ada.get("/v1/me").status_code == 401
    assert api.look_up(ada.id).status_code == 404
    response = api.client.post("/v1/sessions", json={"email": ADA, "password": PASSWORD})
    assert problem(response) == (401, "invalid_credentials")
    assert api.activated(email=ADA) != ada.id


def test_erasing_needs_the_password_or_a_fresh_session(api: ApiUnderTest, ada: Account) -> None:
    assert problem(ada.erase(password="not the password")) == (403, "wrong_password")
    api.rows(OLD_SESSION)
    assert problem(ada.erase()) == (403, "fresh_sign_in_required")
    assert api.user(ada.id).email == ADA
    fresh = Account(api, ada.id, signed_in(api))
    assert fresh.erase().status_code == 202


def test_of_two_concurrent_erasures_one_finds_no_user(api: ApiUnderTest, ada: Account) -> None:
    def erase(_: int) -> int:
        client = api.app.test_client()
        return client.delete("/v1/me", json={"password": PASSWORD}, headers=ada.headers).status_code

    with ThreadPoolExecutor(2) as pool:
        responses = sorted(pool.map(erase, range(2)))
    assert responses == [202, 401]
    assert api.count_rows()[:2] == (0, 0)


def test_the_export_contains_all_data_and_no_secret(api: ApiUnderTest, ada: Account, outbox: Outbox) -> None:
    [notice] = outbox.claim(priority=Priority.LOW)
    outbox.settle([(notice, Retry(A_MINUTE, QUOTED))])
    response = ada.get("/v1/me/export")
    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    export = response.json
    assert (export["user"]["email"], export["user"]["phone"], export["user"]["full_name"]) == (ADA, NUMBER, NAME)
    assert [token["purpose"] for token in export["tokens"]] == ["activation"]
    assert [session["is_current"] for session in export["sessions"]].count(True) == 1
    [activation, welcome] = export["messages"]
    assert (activation["recipient"], activation["name"], welcome["template"]) == (ADA, NAME, "welcome")
    assert [failure["error"] for failure in welcome["failures"]] == [QUOTED.error]
    hashes = [api.user(ada.id).password_hash, *(row.family_hash.hex() for row in api.rows("select * from sessions"))]
    assert [secret for secret in (*hashes, api.code(ada.id)) if secret in response.text] == []


def test_an_export_does_not_reveal_that_an_address_was_taken(api: ApiUnderTest) -> None:
    api.activated(email=ADA)
    taken, free = (
        export_of_who_registered(api, *given) for given in ((ADA, NUMBER), ("new@example.org", "+447400123457"))
    )
    assert taken == free


def export_of_who_registered(api: ApiUnderTest, email: str, phone: str) -> str:
    """Register both addresses, activate by number, and export, without the values that differ per person."""
    user_id = api.registered(email=email, phone=phone, channel="email")
    api.resend(user_id, channel="sms")
    assert api.activate(user_id).status_code == 200
    response = api.client.post("/v1/sessions", json={"phone": phone, "password": PASSWORD})
    export = Account(api, user_id, response.json["access_token"]).get("/v1/me/export").text
    for own in (email, phone):
        export = export.replace(own, "…")
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "…", export)


def test_an_export_contains_nothing_of_other_users(api: ApiUnderTest, ada: Account) -> None:
    api.activated(email="grace@example.org", full_name="Grace")
    api.registered(email=ADA, full_name="Somebody")
    text = ada.get("/v1/me/export").text
    assert ADA in text
    assert [name for name in ("grace@example.org", "Grace", "Somebody") if name in text] == []
