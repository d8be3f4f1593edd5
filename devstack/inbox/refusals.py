"""The list of rejected addresses, in a file with one address per line."""

from pathlib import Path
from threading import Lock


class Refusals:
    """The list, compared without case. A change is on disk before the response."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = Lock()
        self._addresses = set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()

    def __contains__(self, address: str) -> bool:
        return address.lower() in self._addresses

    def all(self) -> list[str]:
        """Return the list in alphabetical order."""
        with self._lock:
            return sorted(self._addresses)

    def add(self, address: str) -> None:
        """Reject messages to the address."""
        with self._lock:
            self._store(self._addresses | {address.lower()})

    def remove(self, address: str) -> None:
        """Accept messages to the address again."""
        with self._lock:
            self._store(self._addresses - {address.lower()})

    def _store(self, addresses: set[str]) -> None:
        draft = self._path.with_suffix(".draft")
        draft.write_text("".join(f"{address}\n" for address in sorted(addresses)), encoding="utf-8")
        draft.rename(self._path)
        self._addresses = addresses
