"""The docs say what the code says; RENEW_DOCS=1 writes what is generated anew."""

import os
import re
from pathlib import Path

import pytest
from marshmallow import missing

from api_service.settings import ApiSettingsSchema
from operator_console.settings import ConsoleSettingsSchema
from operator_console.web.settings import WebSettingsSchema
from outbox_relay.settings import RelaySettingsSchema
from shared.settings import SettingsSchema
from shared.vocabulary import (
    Channel,
    DeadReason,
    Locale,
    OrganizationStatus,
    Purpose,
    Status,
    Template,
    Urgency,
    UserStatus,
    Verdict,
    Work,
    WorkChannel,
)
from tenants.settings import PasswordsSettingsSchema, TenantsSettingsSchema

ROOT = Path(__file__).parents[2]
PROCESSES = {
    "api-service": ApiSettingsSchema,
    "outbox-relay": RelaySettingsSchema,
    "outboxctl": ConsoleSettingsSchema,
    "operator-console": WebSettingsSchema,
    "tenants": TenantsSettingsSchema,
    "tenants passwords": PasswordsSettingsSchema,
}


@pytest.mark.parametrize("process", PROCESSES)
def test_settings_are_documented_as_they_are(process: str) -> None:
    page = ROOT / "docs" / "settings.md"
    text = page.read_text()
    begin, end = f"<!-- settings of {process} -->\n\n", "\n\n<!-- end -->"
    before, _, rest = text.partition(begin)
    documented, _, after = rest.partition(end)
    expected = table_of(PROCESSES[process]())
    if os.environ.get("RENEW_DOCS"):
        page.write_text(before + begin + expected + end + after)
    else:
        assert documented == expected


KINDS = [
    *(Channel, Status, DeadReason, Template, Urgency, Purpose, UserStatus, Locale),
    *(WorkChannel, Work, OrganizationStatus, Verdict),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_glossary_has_every_word_of_a_closed_set(kind: type[Status]) -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    assert [word.value for word in kind if f"`{word.value}`" not in glossary] == []


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
def test_links_and_files_named_in_the_docs_exist(page: Path) -> None:
    text = page.read_text()
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target}
    assert {target for target in linked if not (page.parent / target).exists()} == set()
    named = set(
        re.findall(
            r"`((?:api_service|outbox_relay|shared|operator_console|devstack|migrations|tests|bench|docs)/[\w./]+)`",
            text,
        )
    )
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])
def test_tests_named_in_the_docs_exist(page: Path) -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page.read_text()))
    assert {name for name in named if f"def {name}(" not in code} == set()


def table_of(schema: SettingsSchema) -> str:
    lines = ["| name | default | unit | meaning |", "|---|---|---|---|"]
    for field in schema.fields.values():
        meaning = field.metadata["meaning"] + (" May come from a file." if field.metadata["is_secret"] else "")
        lines.append(f"| {field.data_key} | {default_of(field)} | {field.metadata['unit']} | {meaning} |")
    return "\n".join(lines)


def default_of(field: object) -> str:
    default = getattr(field, "load_default", missing)
    if getattr(field, "required", False):
        return "required"
    if default is None or default is missing:
        return "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    if callable(default):
        return "by the machine"
    return f"{default[0]}:{default[1]}" if isinstance(default, tuple) else str(default)
