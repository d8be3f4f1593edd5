"""The list of third-party packages on a server is complete, and each licence was reviewed."""

import json
import subprocess
import sys
from pathlib import Path

from releasing.project import locked
from tests.support.commands import ROOT
from tests.support.processes import SCRIPTS


def test_the_list_contains_each_locked_package_with_its_hashes(tmp_path: Path) -> None:
    path = tmp_path / "sbom.json"
    command = [
        SCRIPTS / "cyclonedx-py",
        "requirements",
        ROOT / "requirements.lock",
        "--output-reproducible",
        "-o",
        path,
    ]
    subprocess.run(command, check=True, capture_output=True)
    components = json.loads(path.read_text())["components"]
    assert {component["name"] for component in components} == set(locked(ROOT))
    assert all("hashes" in reference for component in components for reference in component["externalReferences"])


def test_each_licence_was_reviewed() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "releasing", "licences"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "flask" in listed.stdout.lower()
