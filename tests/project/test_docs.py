"""The docs say what the code says; RENEW_DOCS=1 writes what is generated anew."""

import os
import re
from pathlib import Path

import pytest
from marshmallow import missing

from api_service.settings import ApiSettingsSchema
from operator_console.settings import ConsoleSettingsSchema, WebSettingsSchema
from outbox_relay.settings import RelaySettingsSchema
from shared.settings import SettingsSchema
from shared.vocabulary import (
    Channel,
    DeadReason,
    HealthStatus,
    Locale,
    OrganizationStatus,
    Priority,
    Purpose,
    Status,
    UserStatus,
    Work,
    WorkChannel,
)
from tenants.settings import PasswordsSettingsSchema, TenantsSettingsSchema

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
REMOVED_DEVICES = ROOT / "docs" / "decisions" / "0020-remove-devices-that-save-fractions-of-a-millisecond.md"
FOLDERS = (
    *("api_service", "outbox_relay", "shared", "operator_console", "devstack"),
    *("migrations", "tests", "bench", "docs"),
)
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
    page = ROOT / "docs" / "reference" / "settings.md"
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
    *(Channel, Status, DeadReason, Priority, Purpose, UserStatus, Locale),
    *(WorkChannel, Work, OrganizationStatus, HealthStatus),
]


def test_the_glossary_has_every_word_of_a_closed_set() -> None:
    glossary = (ROOT / "docs" / "reference" / "glossary.md").read_text()
    assert [word for kind in KINDS for word in kind if f"`{word.value}`" not in glossary] == []


def test_links_and_files_named_in_the_docs_exist() -> None:
    missing_names = [f"{page.name}: {name}" for page in PAGES for name in missing_in(page)]
    assert missing_names == []


def test_tests_named_in_the_docs_exist() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    existing = set(re.findall(r"def (test_\w+)\(", code))
    named = {(page.name, name) for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    assert {(page, name) for page, name in named if name not in existing} == set()


def test_every_guarantee_names_the_tests_that_hold_it() -> None:
    page = (ROOT / "docs" / "explanation" / "guarantees.md").read_text()
    table, _, _ = page.partition("## After a crash")
    rows = re.findall(r"^\| (?!guarantee|promise|-)(.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    assert len(rows) >= 18
    assert [guarantee for guarantee, limit, tests in rows if not re.search(r"`test_\w+`", tests)] == []


def missing_in(page: Path) -> set[str]:
    """Return the relative links and the files of this project that the page names and that do not exist."""
    text = page.read_text()
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target}
    is_about_removed_files = page == REMOVED_DEVICES
    named = set() if is_about_removed_files else set(re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./]+)`", text))
    return {target for target in linked if not (page.parent / target).exists()} | {
        name for name in named if not (ROOT / name).exists()
    }


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
