"""What a server gets beside our own code: whether anything is known against it, and under which licences it comes."""

import json
import re
from dataclasses import dataclass
from typing import Any

PERMISSIVE = ("Apache", "BSD", "ISC", "MIT", "PSF", "Python Software Foundation", "Unlicense")
WEAK_COPYLEFT = ("LGPL", "GNU Lesser General Public License", "MPL", "Mozilla Public License")
"""Used as they are, from their own packages, these ask nothing of the code that calls them."""
NOBODY_ANSWERED = re.compile(r"Could not connect|Max retries exceeded|Connection(Error| refused)|[Tt]imed out")
KNOWN = re.compile(rf"\b({'|'.join((*PERMISSIVE, *WEAK_COPYLEFT))})\b")


@dataclass(frozen=True)
class Audit:
    """What pip-audit found out."""

    audited: int
    unknown: list[str]
    vulnerable: list[str]


def read_audit(report: str) -> Audit:
    """Read pip-audit's JSON.

    What the service does not know counts as looked at in pip-audit's exit code, and does not count here: a service
    that knows nothing at all would else pass everything.
    """
    packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    return Audit(
        audited=sum("vulns" in package and "skip_reason" not in package for package in packages),
        unknown=[package["name"] for package in packages if "skip_reason" in package],
        vulnerable=[_told(package, found) for package in packages for found in package.get("vulns", [])],
    )


def _told(package: dict[str, Any], found: dict[str, Any]) -> str:
    mended = ", ".join(found["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {found['id']}, mended in {mended}"


def is_unreachable(last_words: str) -> bool:
    """Tell whether pip-audit broke off because nobody answered, and not by a fault that must be mended here."""
    return bool(NOBODY_ANSWERED.search(last_words))


def unexpected(licences: dict[str, str]) -> list[str]:
    """Return the packages under a licence that nobody has thought about yet, by what their metadata says."""
    return [f"{name}: {words}" for name, words in licences.items() if not _is_known(words)]


def _is_known(words: str) -> bool:
    # Alternatives are joined by OR, what holds together by AND or ;. Each part must be known: the stricter reading.
    return all(KNOWN.search(part) for part in re.split(r" AND | OR |;", words))
