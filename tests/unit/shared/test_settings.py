from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from shared.secrets import SecretKeys
from shared.settings import (
    Bind,
    Choice,
    DatabaseUrl,
    KeyRing,
    LogLevel,
    SettingsError,
    SettingsSchema,
    Switch,
    WebUrl,
    Whole,
)
from shared.vocabulary import Channel

KEY = "A" * 43 + "="
TOO_LONG = "A" * 87 + "="


@dataclass(frozen=True)
class Example:
    database_url: str
    secret_keys: SecretKeys
    public_url: str
    bind: tuple[str, int]
    batch_size: int
    log_level: str
    rate_limits: bool
    channel: Channel | None


class ExampleSchema(SettingsSchema):
    result: ClassVar = Example
    prefix: ClassVar = "BATCH_"

    database_url = DatabaseUrl("DATABASE_URL", "where", is_secret=True)
    secret_keys = KeyRing("SECRET_KEYS", "keys", is_secret=True)
    public_url = WebUrl("PUBLIC_URL", "links", default="https://example.org")
    bind = Bind("BIND", "listen", default=("127.0.0.1", 80))
    batch_size = Whole("BATCH_SIZE", "how many", bounds=(1, 10), default=5)
    log_level = LogLevel()
    rate_limits = Switch("RATE_LIMITS", "whether", default=True)
    channel = Choice(Channel, "CHANNEL", "which", default=None)


GOOD = {"DATABASE_URL": "postgresql+psycopg://h/d", "SECRET_KEYS": f"new:{KEY},old:{KEY}"}


def errors_in(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        ExampleSchema().read(environment)
    return caught.value.errors


def test_missing_variables_have_defaults() -> None:
    settings = ExampleSchema().read(GOOD | {"BIND": "[::1]:8080", "BATCH_SIZE": "7", "PUBLIC_URL": "https://x.org/a/"})
    assert (settings.bind, settings.batch_size, settings.public_url) == (("::1", 8080), 7, "https://x.org/a")
    assert settings.secret_keys.newest_id == "new"


@pytest.mark.parametrize("bind", ["::1:8080", "[]:80", "[::1]", "a b:80", ":80", "a:65536"])
def test_an_invalid_bind_address_is_rejected(bind: str) -> None:
    assert errors_in(GOOD | {"BIND": bind}) == [f"BIND={bind!r} is not host:port, or [IPv6]:port"]


def test_a_url_is_case_insensitive_in_scheme_and_host() -> None:
    assert ExampleSchema().read(GOOD | {"PUBLIC_URL": "HTTPS://X.org:8443/A"}).public_url == "https://x.org:8443/A"


@pytest.mark.parametrize("word", ["debug", "DEBUG", "Debug"])
def test_a_log_level_is_case_insensitive(word: str) -> None:
    assert ExampleSchema().read(GOOD | {"LOG_LEVEL": word}).log_level == "debug"


def test_switches_and_choices_are_case_insensitive() -> None:
    settings = ExampleSchema().read(GOOD | {"RATE_LIMITS": "OFF", "CHANNEL": "Email"})
    assert (settings.rate_limits, settings.channel) == (False, Channel.EMAIL)


def test_all_errors_are_reported_together() -> None:
    faults = errors_in({"DATABASE_URL": "mysql://h", "BATCH_SIZE": "many", "BIND": "here", "PUBLIC_URL": "ftp://x"})
    assert faults == [
        "DATABASE_URL does not begin with postgresql+psycopg://",
        "SECRET_KEYS is not set",
        "PUBLIC_URL='ftp://x' is not an http or https URL",
        "BIND='here' is not host:port, or [IPv6]:port",
        "BATCH_SIZE='many' is not a whole number",
    ]


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("k1:c2hvcnQ=", "SECRET_KEYS has a key, 'k1', not of 32 to 64 bytes"),
        (f"k1:{TOO_LONG}", "SECRET_KEYS has a key, 'k1', not of 32 to 64 bytes"),
        (KEY, "SECRET_KEYS has an entry without an id of its own; each is id:base64"),
        ("k1:???", "SECRET_KEYS has a key, 'k1', that is not base64"),
        (f":{KEY}", "SECRET_KEYS has an entry without an id of its own; each is id:base64"),
        (f"k1:{KEY},k1:{KEY}", "SECRET_KEYS has an entry without an id of its own; each is id:base64"),
    ],
)
def test_invalid_keys_are_rejected_without_being_shown(keys: str, fault: str) -> None:
    assert errors_in(GOOD | {"SECRET_KEYS": keys}) == [fault]


def test_each_invalid_key_is_reported_and_each_message_once() -> None:
    assert errors_in(GOOD | {"SECRET_KEYS": f"a:???,b,:{KEY},c:c2hvcnQ="}) == [
        "SECRET_KEYS has a key, 'a', that is not base64",
        "SECRET_KEYS has an entry without an id of its own; each is id:base64",
        "SECRET_KEYS has a key, 'c', not of 32 to 64 bytes",
    ]


@pytest.mark.parametrize("number", ["0", "11", "-1", "1.5", "ten"])
def test_a_number_out_of_range_is_rejected(number: str) -> None:
    [fault] = errors_in(GOOD | {"BATCH_SIZE": number})
    assert fault.startswith(f"BATCH_SIZE='{number}' is not ")


@pytest.mark.parametrize(
    "rest",
    [
        "h:abc/d",
        "h:99999/d",
        "h/d?port=abc",
        "one:1,two:x/d",
        "u:s3/cret@h/d",
        "u:12/34@h/d",
        "u:s3@cret@h/d",
        "u:s3@c:re/t@h/d",
        "u:s3%zzcret@h/d",
        "[::1/d",
        "h",
    ],
)
def test_an_ambiguous_database_url_is_rejected_without_being_shown(rest: str) -> None:
    [fault] = errors_in(GOOD | {"DATABASE_URL": f"postgresql+psycopg://{rest}"})
    assert fault.startswith("DATABASE_URL cannot be read: it needs a database, a numeric port, ")


@pytest.mark.parametrize(
    "rest",
    [
        "h/d",
        "/d",
        "u%40tenant:s3%2Fcr%40et@h:5432/d",
        "u@one:5432,two/d?target_session_attrs=read-write",
        "u@/d?host=%2Ftmp%2Fpg&port=37913",
        "u@[::1]:5432/d",
        "h/d?application_name=a@b",
    ],
)
def test_a_database_url_may_have_all_options_of_libpq(rest: str) -> None:
    url = f"postgresql+psycopg://{rest}"
    assert ExampleSchema().read(GOOD | {"DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "http://[x", "https://x:abc", "https://x y", "https://x/\n", "x.org"]
)
def test_a_url_that_cannot_start_a_link_is_rejected(url: str) -> None:
    assert errors_in(GOOD | {"PUBLIC_URL": url}) == [f"PUBLIC_URL={url!r} is not an http or https URL"]


def test_an_empty_variable_counts_as_not_set() -> None:
    assert errors_in(GOOD | {"DATABASE_URL": ""}) == ["DATABASE_URL is not set"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_secret_can_come_from_a_file(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "url").write_text("postgresql+psycopg://from-file/d\n", encoding=encoding)
    environment = {"DATABASE_URL_FILE": str(tmp_path / "url"), "SECRET_KEYS": GOOD["SECRET_KEYS"]}
    assert ExampleSchema().read(environment).database_url == "postgresql+psycopg://from-file/d"


def test_a_secret_set_twice_or_in_an_unreadable_file_is_rejected(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert errors_in({"SECRET_KEYS": GOOD["SECRET_KEYS"], "DATABASE_URL_FILE": missing}) == [
        f"DATABASE_URL_FILE={missing!r} cannot be read: FileNotFoundError"
    ]
    assert errors_in(GOOD | {"DATABASE_URL_FILE": missing}) == [
        "DATABASE_URL and DATABASE_URL_FILE are both set: keep one of them"
    ]


def test_the_representation_of_settings_hides_keys() -> None:
    assert KEY not in repr(ExampleSchema().read(GOOD))
    assert "AAAA" not in repr(ExampleSchema().read(GOOD).secret_keys)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("BATCHSIZE", ["BATCHSIZE is not a setting; did you mean BATCH_SIZE?"]),
        ("batch_size", ["batch_size is not a setting; did you mean BATCH_SIZE?"]),
        ("SECRET_KEY_FILE", ["SECRET_KEY_FILE is not a setting; did you mean SECRET_KEYS_FILE?"]),
        ("BATCH_COLOUR", ["BATCH_COLOUR is not a setting"]),
        ("SECRET_KEYS_FILE", []),
        ("OWNER_DATABASE_URL", []),
        ("PATH", []),
    ],
)
def test_variables_that_look_like_settings_and_are_none_are_reported(name: str, lines: list[str]) -> None:
    assert ExampleSchema().unknown_variables(GOOD | {name: "1"}) == lines
