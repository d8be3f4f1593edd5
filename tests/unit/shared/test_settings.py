from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from shared.secrets import SecretKeys
from shared.settings import Bind, DatabaseUrl, KeyRing, SettingsError, SettingsSchema, WebUrl, Whole

KEY = "A" * 43 + "="
TOO_LONG = "A" * 87 + "="


@dataclass(frozen=True)
class Example:
    database_url: str
    secret_keys: SecretKeys
    public_url: str
    bind: tuple[str, int]
    batch_size: int


class ExampleSchema(SettingsSchema):
    result: ClassVar = Example

    database_url = DatabaseUrl("DATABASE_URL", "where", is_secret=True)
    secret_keys = KeyRing("SECRET_KEYS", "keys", is_secret=True)
    public_url = WebUrl("PUBLIC_URL", "links", default="https://example.org")
    bind = Bind("BIND", "listen", default=("127.0.0.1", 80))
    batch_size = Whole("BATCH_SIZE", "how many", bounds=(1, 10), default=5)


GOOD = {"DATABASE_URL": "postgresql+psycopg://h/d", "SECRET_KEYS": f"new:{KEY},old:{KEY}"}


def faults_of(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        ExampleSchema().read(environment)
    return caught.value.faults


def test_what_is_there_is_taken_and_the_rest_has_its_defaults() -> None:
    settings = ExampleSchema().read(GOOD | {"BIND": "::1:8080", "BATCH_SIZE": "7", "PUBLIC_URL": "https://x.org/a/"})
    assert (settings.bind, settings.batch_size, settings.public_url) == (("::1", 8080), 7, "https://x.org/a")
    assert settings.secret_keys.newest_id == "new"


def test_everything_wrong_is_told_at_once() -> None:
    faults = faults_of({"DATABASE_URL": "mysql://h", "BATCH_SIZE": "many", "BIND": "here", "PUBLIC_URL": "ftp://x"})
    assert faults == [
        "DATABASE_URL does not begin with postgresql+psycopg://",
        "SECRET_KEYS is not set",
        "PUBLIC_URL='ftp://x' is not an http or https URL",
        "BIND='here' is not host:port",
        "BATCH_SIZE='many' is not a whole number",
    ]


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("k1:c2hvcnQ=", "SECRET_KEYS has a key, 'k1', of fewer than 32 bytes"),
        (f"k1:{TOO_LONG}", "SECRET_KEYS has a key, 'k1', of more than 64 bytes"),
        ("k1:???", "SECRET_KEYS has a key, 'k1', that is not base64"),
        (f":{KEY}", "SECRET_KEYS has an entry without an id of its own; each is id:base64"),
        (f"k1:{KEY},k1:{KEY}", "SECRET_KEYS has an entry without an id of its own; each is id:base64"),
    ],
)
def test_keys_that_are_no_keys_are_refused_without_being_shown(keys: str, fault: str) -> None:
    assert faults_of(GOOD | {"SECRET_KEYS": keys}) == [fault]


@pytest.mark.parametrize("number", ["0", "11", "-1", "1.5", "ten"])
def test_a_number_out_of_its_range_is_refused(number: str) -> None:
    [fault] = faults_of(GOOD | {"BATCH_SIZE": number})
    assert fault.startswith(f"BATCH_SIZE='{number}' is not ")


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert faults_of(GOOD | {"DATABASE_URL": ""}) == ["DATABASE_URL is not set"]


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql+psycopg://from-file/d\n")
    environment = {"DATABASE_URL_FILE": str(tmp_path / "url"), "SECRET_KEYS": GOOD["SECRET_KEYS"]}
    assert ExampleSchema().read(environment).database_url == "postgresql+psycopg://from-file/d"


def test_a_secret_both_ways_or_in_no_readable_file_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert faults_of({"SECRET_KEYS": GOOD["SECRET_KEYS"], "DATABASE_URL_FILE": missing}) == [
        f"DATABASE_URL_FILE={missing!r} cannot be read: FileNotFoundError"
    ]
    assert faults_of(GOOD | {"DATABASE_URL_FILE": missing}) == [
        "DATABASE_URL and DATABASE_URL_FILE are both set: keep one of them"
    ]


def test_keys_do_not_show_in_what_is_printed() -> None:
    assert KEY not in repr(ExampleSchema().read(GOOD))
    assert "AAAA" not in repr(ExampleSchema().read(GOOD).secret_keys)
