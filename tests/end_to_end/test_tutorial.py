"""The commands of docs/tutorial.md lead to an activated account, a dead letter and own fields."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from devstack.inbox.client import InboxClient
from devstack.ports import free_ports
from devstack.programs import Programs
from devstack.stack import running_stack
from tests.support import plain_http
from tests.support.eventually import eventually
from tests.support.shell_blocks import typed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial needs curl, which is not installed"),
]

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
CURL = [command.line for command in typed() if command.page == PAGE and command.line.startswith("curl ")]
REGISTER, ACTIVATE, SIGN_IN, REFUSE, REGISTER_REFUSED, ACCEPT, *OF_OWN_FIELDS = CURL


@dataclass(frozen=True)
class Reader:
    """A person who types the commands."""

    programs: Programs

    def types(self, command: str, token: str = "", **replaced: str) -> Any:
        urls = {"http://127.0.0.1:8000": self.programs.api_url, "http://127.0.0.1:8025": self.programs.inbox_url}
        for shown, real in urls.items():
            command = command.replace(shown, real)
        for name, value in replaced.items():
            command = re.sub(rf'"{name}": "[^"]+"', f'"{name}": "{value}"', command)
        shell, environment = ["sh", "-c", f"{command} --silent"], os.environ | {"TOKEN": token}
        done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout or "null")

    def sees_settled(self, registration: Any) -> Any:
        # On a busy machine, the delivery may take longer than the command waits.
        look = f"curl {self.programs.api_url}/v1/registrations/{registration['id']}"
        return eventually(lambda: seen if (seen := self.types(look)["delivery"])["status"] != "pending" else None)

    def activates(self, registration: Any, email: str) -> Any:
        assert self.sees_settled(registration)["status"] == "sent"
        [mail] = InboxClient(self.programs.inbox_url).messages_for(email)
        return self.types(ACTIVATE, registration_id=registration["id"], code=str(mail.code))

    def sees_rejected_addresses(self) -> list[str]:
        page = plain_http.get(self.programs.inbox_url).text
        return re.findall(r"<h2>Rejected addresses</h2><p>([^<]*)", page)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader of all steps. The tutorial writes the schema later, but the first steps do not depend on it."""
    [schema] = re.findall(r"<<'EOF'\n(.*?)EOF\n", PAGE.read_text(), re.DOTALL)
    profile_schema: Path = tmp_path_factory.mktemp("tutorial") / "profile.json"
    profile_schema.write_text(schema)
    with running_stack(free_ports(), profile_schema=profile_schema) as stack:
        yield Reader(stack.programs)


def test_the_commands_of_the_tutorial_activate_an_account_and_produce_a_dead_letter(reader: Reader) -> None:
    assert reader.activates(reader.types(REGISTER), "you@example.org")["status"] == "active"
    assert reader.types(SIGN_IN)["token_type"] == "Bearer"
    assert reader.types(REFUSE) is None
    assert reader.sees_rejected_addresses() == ["mary@example.org"]
    delivery = reader.sees_settled(reader.types(REGISTER_REFUSED))
    assert (delivery["status"], delivery["attempts"], delivery["problem"]) == ("dead", 1, "address_rejected")
    reader.types(ACCEPT)
    assert reader.sees_rejected_addresses() == []


def test_the_commands_of_the_tutorial_store_show_and_check_own_fields(reader: Reader) -> None:
    register, show, change, break_schema = OF_OWN_FIELDS
    token = reader.activates(reader.types(register), "grace@example.org")["access_token"]
    given = {"first_name": "Grace", "affiliate_id": "A-1906"}
    assert jwt.decode(token, options={"verify_signature": False})["affiliate_id"] == "A-1906"
    assert reader.types(show, token)["profile"] == given
    assert reader.types(change, token)["profile"] == given | {"last_name": "Hopper"}
    errors = reader.types(break_schema, token)["errors"]
    assert [error["code"] for error in errors] == ["invalid_format", "unknown_field"]
    assert all(json.dumps(error, separators=(",", ":"), sort_keys=True) in PAGE.read_text() for error in errors)
