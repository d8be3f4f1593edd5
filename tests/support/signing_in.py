"""A signed-in user of an API that runs as a process."""

from uuid import UUID

from shared.secrets import code_for
from tests.support import plain_http
from tests.support.databases import Database
from tests.support.keys import KEY
from tests.support.processes import RunningApi

PASSWORD = "four quiet words here"


def signed_in_at(api: RunningApi, database: Database, email: str) -> str:
    """Register and activate a user, and return an access token."""
    registered = plain_http.post(f"{api.base_url}/v1/registrations", json={"email": email, "password": PASSWORD}).json()
    with database.connect() as owner:
        [(token_id,)] = owner.execute("select id from tokens where user_id = %s", [UUID(registered["id"])]).fetchall()
    activation = {"registration_id": registered["id"], "code": code_for(token_id, KEY)}
    return str(plain_http.post(f"{api.base_url}/v1/activations", json=activation).json()["access_token"])
