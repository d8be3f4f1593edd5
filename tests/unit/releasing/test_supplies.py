"""Evaluation of the reports of pip-audit and pip-licenses."""

import json
from typing import Any

import pytest

from releasing.supplies import is_unreachable, read_audit, unexpected

SOUND = {"name": "flask", "version": "3.1", "vulns": []}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_packages_unknown_to_the_service_are_reported_as_unchecked() -> None:
    audit = read_audit(report(SOUND, UNKNOWN))
    assert (audit.audited, audit.unknown, audit.vulnerable) == (1, ["ours"], [])
    assert read_audit(report(UNKNOWN)).audited == 0


def test_a_vulnerability_is_reported_with_its_fix() -> None:
    found = [{"id": "PYSEC-1", "fix_versions": ["3.2"]}, {"id": "PYSEC-2", "fix_versions": []}]
    audit = read_audit(report(SOUND | {"vulns": found}))
    assert audit.audited == 1
    assert audit.vulnerable == [
        "flask 3.1: PYSEC-1, fixed in 3.2",
        "flask 3.1: PYSEC-2, fixed in no version yet",
    ]


def test_only_an_unreachable_service_is_tolerated() -> None:
    assert is_unreachable("requests.exceptions.ProxyError: HTTPSConnectionPool(…): Max retries exceeded with url: …")
    assert is_unreachable("ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed")
    assert not is_unreachable("pip-audit: error: unrecognized arguments: --requires-hashes")
    assert not is_unreachable("ERROR:pip_audit._cli:requirement flask does not contain a hash")


@pytest.mark.parametrize("words", ["MIT", "BSD-3-Clause", "Apache-2.0 OR BSD-3-Clause", "LGPL-3.0-only", "PSF-2.0"])
def test_reviewed_licences_are_not_reported(words: str) -> None:
    assert unexpected({"package": words}) == []


@pytest.mark.parametrize("words", ["GPL-3.0-only", "AGPL-3.0", "UNKNOWN", "MIT AND GPL-2.0", "Proprietary", "LIMITED"])
def test_other_licences_are_reported(words: str) -> None:
    assert unexpected({"package": words}) == [f"package: {words}"]
