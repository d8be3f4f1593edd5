"""Find what prevents a release of the source."""

import re

UNRELEASED = "Unreleased"
ENTRY = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
VERSION = re.compile(r"^\d+\.\d+\.\d+$")


def faults(version: str, changelog: str, released: list[str], unsaved: list[str]) -> list[str]:
    """Return the faults, one line each.

    ``released`` are the existing tags, newest first; ``unsaved`` are the uncommitted files.
    """
    if not VERSION.match(version):
        return [f"the version {version} is not MAJOR.MINOR.PATCH"]
    found = [f"{path} is not committed" for path in unsaved]
    if f"v{version}" in released:
        found.append(f"v{version} has been released: raise the version in pyproject.toml")
    elif released and numbers(version) < numbers(released[0][1:]):
        found.append(f"the version {version} is below {released[0]}")
    return found + _of_changelog(version, changelog)


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's three numbers, for comparisons."""
    return tuple(map(int, version.split(".")))


def _of_changelog(version: str, changelog: str) -> list[str]:
    entries = dict(ENTRY.findall(changelog))
    if version not in entries:
        return [f"CHANGELOG.md has no entry for {version}: rename Unreleased to the version and its date"]
    found = [] if entries[version] else [f"CHANGELOG.md has no release date for {version}"]
    if _text_under(UNRELEASED, changelog):
        found.append(f"CHANGELOG.md has changes under Unreleased that are not in {version}")
    return found


def _text_under(entry: str, changelog: str) -> str:
    _, _, rest = changelog.partition(f"## [{entry}]\n")
    return ENTRY.split(rest)[0].strip()
