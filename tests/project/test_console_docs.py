"""docs/reference/console-http.md lists exactly the addresses for scripts with their scopes, and the problems."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from operator_console.actions.tokens import Scope
from operator_console.cli import main
from operator_console.settings import WebSettingsSchema
from operator_console.web.app import create_app
from operator_console.web.problems import PROBLEM_TYPES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "console-http.md").read_text()
GUIDE = (DOCS / "guides" / "console.md").read_text()
NOWHERE = {"DATABASE_URL": "postgresql+psycopg://console@nowhere/signpost"}
SCOPES = {scope.value for scope in Scope}
FOR_PEOPLE = re.compile(r"/(?!v1/)")


def test_every_address_for_scripts_is_documented_with_its_scope() -> None:
    app = create_app(WebSettingsSchema().read(NOWHERE))
    served = {
        (
            method,
            re.sub(r"<.+?>", "{id}", rule.rule),
            scope if (scope := scope_of(app, rule.endpoint)) in SCOPES else "",
        )
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not FOR_PEOPLE.match(rule.rule)
    }
    documented = re.findall(r"^\| ([A-Z]+) (/\S*) \| (\w*) ?\|", PAGE, re.MULTILINE)
    assert set(documented) == served
    assert len(documented) == len(served)


def test_every_problem_of_the_console_is_documented_with_its_status() -> None:
    documented = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", PAGE, re.MULTILINE)
    assert documented == sorted(documented, key=lambda row: row[1])
    assert dict(documented) == {code.value: str(kind.status) for code, kind in PROBLEM_TYPES.items()}


def test_every_scope_is_documented() -> None:
    assert re.findall(r"^\| `(\w+)` \| [a-z]", GUIDE, re.MULTILINE) == list(Scope)


def test_the_command_on_the_sign_in_page_has_all_required_options() -> None:
    page = create_app(WebSettingsSchema().read(NOWHERE)).test_client().get("/sign-in").text
    [typed] = re.findall(r"<code>outboxctl (.+?)</code>", page)
    done = CliRunner().invoke(main, shlex.split(typed), env={"DATABASE_URL": ""})
    assert done.stderr == "settings: DATABASE_URL is not set\n"


def scope_of(app: object, endpoint: str) -> str:
    view = app.view_functions[endpoint]  # type: ignore[attr-defined] # any Flask app has them
    return str(view.required_scope)
