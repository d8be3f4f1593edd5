"""What a server gets beside our own code is written down whole, and its licences were thought about."""

import json
import subprocess
import sys
from pathlib import Path

from releasing.project import locked
from tests.support.commands import ROOT
from tests.support.processes import SCRIPTS


def test_the_list_names_all_that_is_locked_with_its_hashes(tmp_path: Path) -> None:
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


def test_every_licence_is_one_that_somebody_thought_about() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "releasing", "licences"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "flask" in listed.stdout.lower()
