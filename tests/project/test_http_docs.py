"""docs/reference/http.md lists every endpoint, problem and violation of the API."""

import re
from pathlib import Path

from api_service.app import create_app
from api_service.errors import ViolationCode
from api_service.http.problems import PROBLEM_TYPES
from api_service.outbox_signals.wait_for_settled import MAX_WAIT_SECONDS
from api_service.settings import ApiSettingsSchema
from api_service.use_cases.register import DeliveryProblem
from shared.web.worker import REQUEST_SECONDS
from tests.support.keys import PUBLIC_URL, SECRET_KEYS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text()
NOWHERE = {
    "DATABASE_URL": "postgresql+psycopg://api@nowhere/signpost",
    "SECRET_KEYS": SECRET_KEYS,
    "PUBLIC_URL": PUBLIC_URL,
    "ORGANIZATIONS": "after_activation",
}


def test_every_endpoint_is_documented() -> None:
    served = {
        (method, re.sub(r"<uuid:.+?>", "{id}", rule.rule).replace("<file>", "{file}"))
        for rule in create_app(ApiSettingsSchema().read(NOWHERE)).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = re.findall(r"^\| ([A-Z]+) (/\S*) \|", PAGE, re.MULTILINE)

    assert set(documented) == served
    assert len(documented) == len(served)


def test_every_problem_is_documented_with_its_status() -> None:
    documented = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", PAGE, re.MULTILINE)

    assert documented == sorted(documented, key=lambda row: row[1])
    assert dict(documented) == {code.value: str(kind.status) for code, kind in PROBLEM_TYPES.items()}


def test_every_violation_is_documented() -> None:
    table = PAGE.partition("| violation | when |\n|---|---|\n")[2].partition("\n\n")[0]
    documented = [word for row in table.splitlines() for word in re.findall(r"`(\w+)`", row.split("|")[1])]

    assert sorted(documented) == sorted(ViolationCode)


def test_values_and_limits_match_the_code() -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith("| `delivery.problem`")]

    assert set(re.findall(r"`(\w+)`", row)) == set(DeliveryProblem)
    assert f"{REQUEST_SECONDS} seconds after its first byte" in PAGE
    assert f"for {MAX_WAIT_SECONDS} seconds at most" in PAGE
