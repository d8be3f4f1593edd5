"""The lock files work with any package index and contain hashes for all packages."""

import re

from tests.support.commands import ROOT

RECORDS_DOWNLOAD_ADDRESSES = ("uv.lock", "package-lock.json", "poetry.lock")
NOT_OURS = {".venv", ".peers", "node_modules"}


def test_no_lock_file_records_download_addresses() -> None:
    found = [path for name in RECORDS_DOWNLOAD_ADDRESSES for path in ROOT.rglob(name)]
    assert [path for path in found if not NOT_OURS & set(path.parts)] == []


def test_each_lock_has_hashes_and_names_no_package_index() -> None:
    locks = sorted(ROOT.glob("requirements*.lock"))
    assert len(locks) == 3
    for lock in locks:
        assert "--hash=sha256:" in lock.read_text()
        assert not re.search(r"https?://|index-url|find-links", lock.read_text())
