from datetime import timedelta

import pytest

from api_service.rate_limits import Limit
from api_service.settings import ApiSettings, ApiSettingsSchema
from shared.settings import SettingsError
from shared.vocabulary import Channel
from tests.support.keys import KEY_ID, PUBLIC_URL, SECRET_KEYS

NEEDED = {
    "DATABASE_URL": "postgresql+psycopg://api:open-sesame@db/signpost",
    "SECRET_KEYS": SECRET_KEYS,
    "PUBLIC_URL": PUBLIC_URL,
}


def read(**environment: str) -> ApiSettings:
    settings: ApiSettings = ApiSettingsSchema().read(NEEDED | environment)
    return settings


def test_what_is_not_set_has_a_default() -> None:
    settings = read()

    assert (settings.bind, settings.threads, settings.activation_attempts) == (("127.0.0.1", 8000), 8, 5)
    assert settings.workers >= 1
    assert settings.lifetimes == {Channel.EMAIL: timedelta(days=1), Channel.SMS: timedelta(minutes=10)}
    assert settings.resend_cooldown == timedelta(minutes=1)
    assert settings.secret_keys.newest_id == KEY_ID


def test_a_cooldown_that_outlives_the_code_is_refused() -> None:
    with pytest.raises(SettingsError) as refusal:
        read(RESEND_COOLDOWN_SECONDS="600")

    assert refusal.value.faults == [
        "RESEND_COOLDOWN_SECONDS=600 is not below ACTIVATION_SMS_LIFETIME_SECONDS=600: a resend would come too late"
    ]


def test_settings_do_not_show_their_secrets() -> None:
    assert "open-sesame" not in repr(read())
    assert SECRET_KEYS.split(":")[1] not in repr(read())


def test_a_refused_secret_is_not_quoted() -> None:
    with pytest.raises(SettingsError) as refusal:
        read(DATABASE_URL="mysql://api:open-sesame@db", SECRET_KEYS="k:c2hvcnQ=")

    assert "open-sesame" not in str(refusal.value)
    assert "c2hvcnQ" not in str(refusal.value)
    assert len(refusal.value.faults) == 2


def test_no_channel_takes_over_unless_one_is_chosen() -> None:
    assert read().fallbacks == {}
    assert read(ACTIVATION_FALLBACK="sms").fallbacks == {Channel.EMAIL: Channel.SMS}
    assert read(ACTIVATION_FALLBACK="email").fallbacks == {Channel.SMS: Channel.EMAIL}
    assert len(read(ACTIVATION_FALLBACK="both").fallbacks) == 2


def test_a_fallback_that_comes_when_the_code_has_expired_is_refused() -> None:
    assert read(ACTIVATION_FALLBACK="sms", ACTIVATION_FALLBACK_SECONDS="600").fallback_after == timedelta(minutes=10)
    with pytest.raises(SettingsError) as refusal:
        read(ACTIVATION_FALLBACK="both", ACTIVATION_FALLBACK_SECONDS="600")

    assert refusal.value.faults == [
        "ACTIVATION_FALLBACK_SECONDS=600 is not below ACTIVATION_SMS_LIFETIME_SECONDS=600: the code would have expired"
    ]


def test_a_way_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError) as refusal:
        read(ACTIVATION_FALLBACK="pigeon")

    assert refusal.value.faults == ["ACTIVATION_FALLBACK='pigeon' is not one of none, sms, email, both"]


def test_a_session_that_would_go_on_unused_for_longer_than_it_may_at_all_is_refused() -> None:
    assert read(SESSION_IDLE_DAYS="7", SESSION_LIFETIME_DAYS="7").session_idle_days == 7
    with pytest.raises(SettingsError) as refusal:
        read(SESSION_LIFETIME_DAYS="7")

    assert refusal.value.faults == [
        "SESSION_IDLE_DAYS=30 is above SESSION_LIFETIME_DAYS=7: no session would last that long"
    ]


def test_a_limit_is_written_in_words_of_several_windows_or_none() -> None:
    settings = read(LIMIT_RESENDS_PER_ADDRESS="3/hour; 10 per 2 days", LIMIT_RESETS_PER_NETWORK="none")

    allowed = [(item.amount, item.get_expiry()) for item in settings.limits[Limit.RESENDS_PER_ADDRESS].items]
    assert allowed == [(3, 3600), (10, 2 * 86_400)]
    assert settings.limits[Limit.RESETS_PER_NETWORK].items == ()
    assert str(settings.limits[Limit.REGISTRATIONS_PER_NETWORK]) == "20/minute"


def test_all_limits_go_at_once() -> None:
    assert not any(windows.items for windows in read(RATE_LIMITS="off").limits.values())


@pytest.mark.parametrize("text", ["5", "5/fortnight", "0/hour", "1001/hour", "five/hour", "-1/hour"])
def test_a_limit_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(LIMIT_RESENDS_PER_ADDRESS=text)
    assert refusal.value.faults == [
        f"LIMIT_RESENDS_PER_ADDRESS={text!r} is not such as 5/hour, 5/5 minutes or none; 1 to 1000 at a time"
    ]


def test_origins_are_written_as_browsers_write_them() -> None:
    assert read().cors_origins == frozenset()
    assert read(CORS_ORIGINS="https://a.example, http://b.example:3000").cors_origins == {
        "https://a.example",
        "http://b.example:3000",
    }


@pytest.mark.parametrize(
    "text", ["*", "null", "a.example", "https://a.example/", "https://A.example", "https://a.example,"]
)
def test_an_origin_that_no_browser_would_write_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        read(CORS_ORIGINS=text)
