"""The checks that block a release."""

import pytest

from releasing.checking import faults

RELEASED = "## [0.1.0] - 2026-11-01\n\n- First.\n"
READY = f"# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n- Second.\n\n{RELEASED}"


def test_a_complete_release_passes() -> None:
    assert faults("0.2.0", READY, ["v0.1.0"], []) == []


def test_the_first_release_needs_no_predecessor() -> None:
    assert faults("0.1.0", f"## [Unreleased]\n\n{RELEASED}", [], []) == []


@pytest.mark.parametrize(
    ("version", "changelog", "released", "unsaved", "fault"),
    [
        ("0.2", READY, [], [], "not MAJOR.MINOR.PATCH"),
        ("0.2.0", READY, ["v0.2.0", "v0.1.0"], [], "has been released"),
        ("0.2.0", READY, ["v0.10.0"], [], "below v0.10.0"),
        ("0.2.0", READY, [], ["Makefile"], "Makefile is not committed"),
        ("0.3.0", READY, ["v0.1.0"], [], "no entry for 0.3.0"),
        ("0.2.0", READY.replace(" - 2026-12-01", ""), ["v0.1.0"], [], "has no release date"),
        ("0.2.0", READY.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), ["v0.1.0"], [], "under Unreleased"),
    ],
)
def test_each_missing_part_is_reported(
    version: str, changelog: str, released: list[str], unsaved: list[str], fault: str
) -> None:
    [reported] = faults(version, changelog, released, unsaved)
    assert fault in reported
