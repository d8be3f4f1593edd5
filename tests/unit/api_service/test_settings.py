from datetime import timedelta

import pytest

from api_service.rate_limits import Limit
from api_service.settings import ApiSettings, ApiSettingsSchema, UnconfirmedAccess
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


def test_missing_settings_have_defaults() -> None:
    settings = read()

    assert (settings.bind, settings.threads, settings.code_attempts) == (("127.0.0.1", 8000), 16, 5)
    assert settings.workers >= 1
    assert settings.lifetimes == {Channel.EMAIL: timedelta(days=1), Channel.SMS: timedelta(minutes=10)}
    assert settings.resend_cooldown_seconds == 60
    assert settings.secret_keys.newest_id == KEY_ID


def test_a_cooldown_that_outlives_the_code_is_rejected() -> None:
    with pytest.raises(SettingsError) as problem:
        read(RESEND_COOLDOWN_SECONDS="600")

    assert problem.value.errors == [
        "RESEND_COOLDOWN_SECONDS=600 is not below ACTIVATION_SMS_LIFETIME_SECONDS=600: a resend would come too late"
    ]


def test_settings_do_not_show_their_secrets() -> None:
    assert "open-sesame" not in repr(read())
    assert SECRET_KEYS.split(":")[1] not in repr(read())


def test_a_rejected_secret_is_not_quoted() -> None:
    with pytest.raises(SettingsError) as problem:
        read(DATABASE_URL="mysql://api:open-sesame@db", SECRET_KEYS="k:c2hvcnQ=")

    assert "open-sesame" not in str(problem.value)
    assert "c2hvcnQ" not in str(problem.value)
    assert len(problem.value.errors) == 2


@pytest.mark.parametrize("written", ["CM", "cm"])
def test_a_country_code_selects_the_default_region_of_phone_numbers(written: str) -> None:
    assert read().phone_default_region is None
    assert read(PHONE_DEFAULT_REGION=written).phone_default_region == "CM"


@pytest.mark.parametrize("written", ["UK", "237", "+237", "Cameroon", "001", "AQ"])
def test_a_region_without_phone_numbers_is_rejected(written: str) -> None:
    with pytest.raises(SettingsError) as problem:
        read(PHONE_DEFAULT_REGION=written)

    [line] = problem.value.errors
    assert line.startswith(f"PHONE_DEFAULT_REGION={written!r} is not the ISO 3166-1 alpha-2 code of a country")


def test_no_fallback_by_default() -> None:
    assert read().activation_fallback.channels == {}
    assert read(ACTIVATION_FALLBACK="sms").activation_fallback.channels == {Channel.EMAIL: Channel.SMS}
    assert read(ACTIVATION_FALLBACK="email").activation_fallback.channels == {Channel.SMS: Channel.EMAIL}
    assert len(read(ACTIVATION_FALLBACK="both").activation_fallback.channels) == 2


def test_a_fallback_after_the_code_expires_is_rejected() -> None:
    assert read(ACTIVATION_FALLBACK="sms", ACTIVATION_FALLBACK_SECONDS="600").activation_fallback_seconds == 600
    with pytest.raises(SettingsError) as problem:
        read(ACTIVATION_FALLBACK="both", ACTIVATION_FALLBACK_SECONDS="600")

    assert problem.value.errors == [
        "ACTIVATION_FALLBACK_SECONDS=600 is not below ACTIVATION_SMS_LIFETIME_SECONDS=600: the code would have expired"
    ]


def test_an_unknown_channel_is_rejected() -> None:
    with pytest.raises(SettingsError) as problem:
        read(ACTIVATION_FALLBACK="pigeon")

    assert problem.value.errors == ["ACTIVATION_FALLBACK='pigeon' is not one of none, sms, email, both"]


def test_access_before_confirmation_is_off_by_default() -> None:
    assert read().unconfirmed_access is UnconfirmedAccess.OFF
    assert read(UNCONFIRMED_ACCESS="Limited").unconfirmed_access is UnconfirmedAccess.LIMITED
    with pytest.raises(SettingsError) as problem:
        read(UNCONFIRMED_ACCESS="full")
    assert problem.value.errors == ["UNCONFIRMED_ACCESS='full' is not one of off, limited"]


def test_an_idle_time_above_the_lifetime_is_rejected() -> None:
    assert read(SESSION_IDLE_DAYS="7", SESSION_LIFETIME_DAYS="7").session_idle_days == 7
    with pytest.raises(SettingsError) as problem:
        read(SESSION_LIFETIME_DAYS="7")

    assert problem.value.errors == [
        "SESSION_IDLE_DAYS=30 is above SESSION_LIFETIME_DAYS=7: no session would last that long"
    ]


def test_a_limit_has_several_windows_or_is_off() -> None:
    settings = read(LIMIT_RESENDS_PER_ADDRESS="3/hour; 10 per 2 days", LIMIT_RESETS_PER_NETWORK="none")

    assert read(LIMIT_RESENDS_PER_ADDRESS="1/second").limits[Limit.RESENDS_PER_ADDRESS].items[0].seconds == 1
    [largest] = read(LIMIT_RESENDS_PER_ADDRESS="1000/9999 days").limits[Limit.RESENDS_PER_ADDRESS].items
    assert (largest.amount, largest.seconds) == (1000, 9999 * 86_400)
    allowed = [(item.amount, item.seconds) for item in settings.limits[Limit.RESENDS_PER_ADDRESS].items]
    assert allowed == [(3, 3600), (10, 2 * 86_400)]
    assert settings.limits[Limit.RESETS_PER_NETWORK].items == ()
    assert str(settings.limits[Limit.REGISTRATIONS_PER_NETWORK]) == "20/minute"


def test_one_setting_turns_all_limits_off() -> None:
    assert not any(windows.items for windows in read(RATE_LIMITS="off").limits.values())


@pytest.mark.parametrize(
    "text", ["5", "5/fortnight", "0/hour", "1001/hour", "five/hour", "-1/hour", "5/hourly", "5/0 hours", "5/10000 days"]
)
def test_an_invalid_limit_is_rejected(text: str) -> None:
    with pytest.raises(SettingsError) as problem:
        read(LIMIT_RESENDS_PER_ADDRESS=text)
    assert problem.value.errors == [
        f"LIMIT_RESENDS_PER_ADDRESS={text!r} is not such as 5/hour, 5/5 minutes or none; 1 to 1000 at a time"
    ]


def test_origins_are_normalized_as_browsers_send_them() -> None:
    assert read().cors_origins == frozenset()
    assert read(CORS_ORIGINS="https://a.example, http://b.example:3000").cors_origins == {
        "https://a.example",
        "http://b.example:3000",
    }


@pytest.mark.parametrize(
    "text", ["*", "null", "a.example", "https://a.example/", "https://A.example", "https://a.example,"]
)
def test_an_origin_that_browsers_never_send_is_rejected(text: str) -> None:
    with pytest.raises(SettingsError):
        read(CORS_ORIGINS=text)
