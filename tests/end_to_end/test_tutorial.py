"""The commands of docs/tutorial.md, typed one after another, lead to an activated account and a dead letter."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.inbox.client import InboxClient
from devstack.ports import free_ports
from devstack.stack import running_stack
from tests.support.eventually import eventually
from tests.support.shell_blocks import typed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial needs curl, which is not installed"),
]

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_the_commands_of_the_tutorial_activate_an_account_and_produce_a_dead_letter() -> None:
    register, activate, sign_in, refuse, register_refused, accept = [
        command.line for command in typed() if command.page == PAGE and command.line.startswith("curl ")
    ]
    with running_stack(free_ports()) as stack:

        def run(command: str, **replaced: str) -> Any:
            urls = {"http://127.0.0.1:8000": stack.programs.api_url, "http://127.0.0.1:8025": stack.programs.inbox_url}
            for shown, real in urls.items():
                command = command.replace(shown, real)
            for name, value in replaced.items():
                command = re.sub(rf'"{name}": "[^"]+"', f'"{name}": "{value}"', command)
            done = subprocess.run(["sh", "-c", f"{command} --silent"], capture_output=True, text=True, check=True)
            return json.loads(done.stdout or "null")

        def rejected_addresses() -> list[str]:
            page = httpx.get(stack.programs.inbox_url).text
            return re.findall(r"<h2>Rejected addresses</h2><p>([^<]*)", page)

        def settled(registration: Any) -> Any:
            # On a busy machine, the delivery may take longer than the command waits.
            url = f"{stack.programs.api_url}/v1/registrations/{registration['id']}"
            return eventually(lambda: seen if (seen := run(f"curl {url}")["delivery"])["status"] != "pending" else None)

        registration = run(register)
        assert settled(registration)["status"] == "sent"
        [mail] = InboxClient(stack.programs.inbox_url).messages_for("you@example.org")
        assert run(activate, registration_id=registration["id"], code=str(mail.code))["status"] == "active"
        assert run(sign_in)["token_type"] == "Bearer"
        assert run(refuse) is None
        assert rejected_addresses() == ["mary@example.org"]
        delivery = settled(run(register_refused))
        assert (delivery["status"], delivery["attempts"], delivery["problem"]) == ("dead", 1, "address_rejected")
        run(accept)
        assert rejected_addresses() == []
