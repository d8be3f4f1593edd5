"""Own fields in real processes: settings, claims for other services, operators' fields, and the log."""

import json
from pathlib import Path

import jwt
import pytest
from click.testing import Result

from shared.secrets import code_for
from tests.support import plain_http
from tests.support.api import PASSWORD
from tests.support.commands import run_here
from tests.support.databases import Database
from tests.support.keys import KEY, PUBLIC_URL, SECRET_KEYS
from tests.support.processes import running_api
from tests.support.profiles import GIVEN, SCHEMA

pytestmark = pytest.mark.slow

TOKEN_OF = "select id from tokens where user_id = %s"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(SCHEMA))
    return path


def run(database: Database, program: str, *arguments: str, **settings: str) -> Result:
    environment = {"SECRET_KEYS": SECRET_KEYS, "PUBLIC_URL": PUBLIC_URL, "DATABASE_URL": database.console_url}
    return run_here(program, *arguments, **environment | settings)


def test_a_role_that_an_operator_sets_reaches_other_services_in_the_next_token(database: Database, file: Path) -> None:
    ada = {"email": "ada@example.org", "password": PASSWORD}
    with running_api(database, PROFILE_SCHEMA=str(file)) as api:
        assert plain_http.post(f"{api.base_url}/v1/registrations", json=ada | {"profile": {}}).status_code == 422
        user_id = plain_http.post(f"{api.base_url}/v1/registrations", json=ada | {"profile": GIVEN}).json()["id"]
        with database.connect() as connection:
            [(token_id,)] = connection.execute(TOKEN_OF, [user_id]).fetchall()
        code = {"registration_id": user_id, "code": code_for(token_id, KEY)}
        first = plain_http.post(f"{api.base_url}/v1/activations", json=code).json()
        change = ("users", "profile", user_id, "--set", "role=manager", "--reason", "promoted")
        done = run(database, "outboxctl", *change, PROFILE_SCHEMA=str(file))
        assert (done.exit_code, done.stdout, done.stderr) == (0, '{"role": "manager"}\n', "")
        refresh = {"refresh_token": first["refresh_token"]}
        second = plain_http.post(f"{api.base_url}/v1/sessions/refresh", json=refresh).json()
        keys = jwt.PyJWKSet.from_dict(plain_http.get(f"{api.base_url}/.well-known/jwks.json").json())

        def verified(token: str) -> dict[str, object]:
            key = keys[jwt.get_unverified_header(token)["kid"]]
            return jwt.decode(token, key, algorithms=["EdDSA"], audience=PUBLIC_URL, issuer=PUBLIC_URL)

        assert "role" not in verified(first["access_token"])
        assert verified(second["access_token"])["role"] == "manager"


def test_the_log_shows_no_profile(database: Database, file: Path) -> None:
    body = {"email": "ada@example.org", "password": PASSWORD, "profile": {"first_name": "Augusta"}}
    with database.connect() as owner, running_api(database, PROFILE_SCHEMA=str(file)) as api:

        def registered(**profile: object) -> int:
            sent = body | {"profile": {"first_name": "Augusta"} | profile}
            return plain_http.post(f"{api.base_url}/v1/registrations", json=sent).status_code

        assert registered() == 202
        assert registered(last_name=["Byron"], unknown="Byron") == 422
        owner.execute("alter table users add constraint no_byron check (profile ->> 'last_name' <> 'Byron')")
        owner.commit()
        try:
            assert registered(last_name="Byron") == 500
        finally:
            owner.execute("alter table users drop constraint no_byron")
            owner.commit()
        assert "Byron" not in api.log_text()
        assert "Augusta" not in api.log_text()


def test_an_error_in_the_file_ends_the_start_and_names_its_place(database: Database, file: Path) -> None:
    check = ("api-service", "check-settings")
    assert run(database, *check, PROFILE_SCHEMA=str(file)).stdout == "settings: all well\n"
    file.write_text('{"type": "object", "properties": {"age": {"minimum": "0"}}}')
    wrong = (
        f"settings: PROFILE_SCHEMA={str(file)!r} is wrong at #/properties/age/minimum: '0' is not of type 'number'\n"
    )
    for command in (check, ("api-service", "serve"), ("outboxctl", "users", "profile", "0" * 32)):
        done = run(database, *command, PROFILE_SCHEMA=str(file))
        assert (done.exit_code, done.stderr) == (2, wrong)
    file.unlink()
    missing = f"settings: PROFILE_SCHEMA={str(file)!r} cannot be read: FileNotFoundError\n"
    assert run(database, *check, PROFILE_SCHEMA=str(file)).stderr == missing
