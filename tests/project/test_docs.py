"""The docs agree with the code. RENEW_DOCS=1 rewrites the generated parts."""

import os
import re
from collections import defaultdict
from pathlib import Path

from marshmallow import missing
from marshmallow.fields import Field

from api_service.settings import ApiSettingsSchema
from operator_console.settings import (
    ConsoleSettingsSchema,
    ProfileSettingsSchema,
    SuppressionSettingsSchema,
    WebSettingsSchema,
)
from outbox_relay.settings import RelaySettingsSchema
from receiver.bounces.settings import BounceSettingsSchema
from receiver.callbacks.settings import CallbackSettingsSchema
from shared.reports.report import BounceCause, ReportKind
from shared.vocabulary import (
    Channel,
    DeadReason,
    HealthStatus,
    Locale,
    MemberRole,
    OrganizationStatus,
    Priority,
    Purpose,
    Status,
    UserStatus,
    Work,
    WorkChannel,
)
from tenants.settings import TenantsSettingsSchema

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
REMOVED_DEVICES = ROOT / "docs" / "decisions" / "0020-remove-devices-that-save-fractions-of-a-millisecond.md"
FOLDERS = (
    *("api_service", "outbox_relay", "receiver", "shared", "operator_console", "devstack"),
    *("migrations", "tests", "bench", "docs"),
)
PROCESSES = {
    "API": ApiSettingsSchema,
    "relay": RelaySettingsSchema,
    "outboxctl": ConsoleSettingsSchema,
    "outboxctl users": ProfileSettingsSchema,
    "outboxctl suppressions": SuppressionSettingsSchema,
    "console": WebSettingsSchema,
    "receiver": BounceSettingsSchema,
    "receiver of callbacks": CallbackSettingsSchema,
    "tenants": TenantsSettingsSchema,
}
SETTINGS_TABLE = re.compile(r"(<!-- settings ([A-Z_ ]+) -->).*?(<!-- end -->)", re.DOTALL)


def test_the_documented_settings_match_the_code() -> None:
    page = ROOT / "docs" / "reference" / "settings.md"
    text = page.read_text()
    expected = SETTINGS_TABLE.sub(lambda block: f"{block[1]}\n\n{table_of(block[2].split())}\n\n{block[3]}", text)
    if os.environ.get("RENEW_DOCS"):
        page.write_text(expected)
    else:
        assert text == expected


def test_each_setting_has_one_topic() -> None:
    text = (ROOT / "docs" / "reference" / "settings.md").read_text()
    listed = [name for block in SETTINGS_TABLE.finditer(text) for name in block[2].split()]
    names = {field.data_key for schema in PROCESSES.values() for field in schema().fields.values()}
    assert sorted(listed) == sorted(names)


KINDS = [
    *(Channel, Status, DeadReason, Priority, Purpose, UserStatus, Locale),
    *(WorkChannel, Work, OrganizationStatus, MemberRole, HealthStatus, ReportKind, BounceCause),
]


def test_the_glossary_has_each_member_of_the_enums() -> None:
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


def test_each_name_in_where_to_look_is_in_its_file() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    section = page.partition("## Where to look\n")[2].partition("\n## ")[0]
    places = [places for _, places in re.findall(r"^\| (.+\?) \| (.+) \|$", section, re.MULTILINE)]
    assert len(places) >= 25
    spans = [re.findall(r"`(.+?)`", place) for place in places]
    assert [place for place, found in zip(places, spans, strict=True) if "/" not in found[0]] == []
    assert [name for found in spans for name in absent_names(found)] == []


def absent_names(spans: list[str]) -> list[str]:
    """Return the names that are not in the file named before them."""
    text, absent = "", []
    for span in spans:
        if "/" in span:
            text = (ROOT / span).read_text()
        elif not re.search(rf"\b{re.escape(span)}\b", text):
            absent.append(span)
    return absent


def missing_in(page: Path) -> set[str]:
    """Return the relative links and project files on the page that do not exist."""
    text = page.read_text()
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target}
    is_about_removed_files = page == REMOVED_DEVICES
    named = set() if is_about_removed_files else set(re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./]+)`", text))
    return {target for target in linked if not (page.parent / target).exists()} | {
        name for name in named if not (ROOT / name).exists()
    }


def table_of(names: list[str]) -> str:
    """Return the table of these settings, with a row for each way in which processes describe one."""
    lines = ["| name | process | default | meaning |", "|---|---|---|---|"]
    for name in names:
        rows = defaultdict[tuple[str, str], list[str]](list)
        for process, schema in PROCESSES.items():
            for field in schema().fields.values():
                if field.data_key == name:
                    rows[default_with_unit(field), meaning_of(field)].append(process)
        lines += [f"| {name} | {', '.join(by)} | {default} | {meaning} |" for (default, meaning), by in rows.items()]
    return "\n".join(lines)


def default_with_unit(field: Field) -> str:
    default = default_of(field)
    return f"{default} {field.metadata['unit']}" if default.isdecimal() else default


def meaning_of(field: Field) -> str:
    unit = field.metadata["unit"]
    shape = "" if (unit.isalpha() and unit.islower()) or default_of(field).isdecimal() else f" Format: {unit}."
    return (
        field.metadata["meaning"]
        + (shape if unit else "")
        + (" May come from a file." if field.metadata["is_secret"] else "")
    )


def default_of(field: Field) -> str:
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
