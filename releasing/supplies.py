"""Check the packages that a server installs: known vulnerabilities and licences."""

import json
import re
from dataclasses import dataclass
from typing import Any

PERMISSIVE = ("Apache", "BSD", "ISC", "MIT", "PSF", "Python Software Foundation", "Unlicense")
WEAK_COPYLEFT = ("LGPL", "GNU Lesser General Public License", "MPL", "Mozilla Public License")
"""In separate, unmodified packages, they impose no conditions on the code that calls them."""
UNREACHABLE = re.compile(r"Could not connect|Max retries exceeded|Connection(Error| refused)|[Tt]imed out")
KNOWN = re.compile(rf"\b({'|'.join((*PERMISSIVE, *WEAK_COPYLEFT))})\b")


@dataclass(frozen=True)
class Audit:
    """The result of pip-audit."""

    audited: int
    unknown: list[str]
    vulnerable: list[str]


def read_audit(report: str) -> Audit:
    """Read pip-audit's JSON.

    Packages unknown to the service do not count as audited, unlike in pip-audit's exit code. Otherwise a service that
    knows no package would pass all of them.
    """
    packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    return Audit(
        audited=sum("vulns" in package and "skip_reason" not in package for package in packages),
        unknown=[package["name"] for package in packages if "skip_reason" in package],
        vulnerable=[_described(package, found) for package in packages for found in package.get("vulns", [])],
    )


def _described(package: dict[str, Any], found: dict[str, Any]) -> str:
    fixed = ", ".join(found["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"


def is_unreachable(last_words: str) -> bool:
    """Return whether pip-audit failed because the service was unreachable."""
    return bool(UNREACHABLE.search(last_words))


def unexpected(licences: dict[str, str]) -> list[str]:
    """Return the packages with licences that are not in the lists above, by their metadata."""
    return [f"{name}: {words}" for name, words in licences.items() if not _is_known(words)]


def _is_known(words: str) -> bool:
    # OR joins alternatives; AND and ; join licences that all apply. Each part must be known, which is stricter.
    return all(KNOWN.search(part) for part in re.split(r" AND | OR |;", words))
