"""What CONTRIBUTING.md asks of the code and a linter does not check."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE = 250
LONGEST_FUNCTION = 40
OTHER_WORDS_FOR = {  # docs/glossary.md: one word per idea
    "resurrect": "requeue",
    "replay": "requeue",
    "next_attempt_at": "due_at",
    "run_at": "due_at",
    "retry_count": "attempt",
}


def tracked_files(*patterns: str) -> list[Path]:
    """Return the files that belong to the project, also where it was unpacked without its history."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("this is no git checkout: which files belong to the project cannot be told")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()]


def test_a_file_fits_on_a_few_screens() -> None:
    files = tracked_files("*.py")
    assert len(files) > 100
    assert {str(path.relative_to(ROOT)): lines for path in files if (lines := lines_of(path)) > LONGEST_FILE} == {}


def test_a_function_reads_as_a_story_and_not_as_a_book() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in tracked_files("*.py")
        if "migrations/versions" not in str(path)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length_of(node) > LONGEST_FUNCTION
    }
    assert long == set()


def test_every_ignored_lint_says_why() -> None:
    unexplained = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z-, ]+\])\s*$", line)
    ]
    assert unexplained == []


@pytest.mark.parametrize("word", OTHER_WORDS_FOR)
def test_an_idea_has_one_word(word: str) -> None:
    code = tracked_files("api_service/*.py", "outbox_relay/*.py", "operator_console/*.py", "shared/*.py")
    assert len(code) > 50
    assert [path for path in code if re.search(rf"\b{word}", path.read_text())] == []


def test_no_file_names_a_package_index_or_records_download_addresses() -> None:
    assert tracked_files("*uv.lock", "*package-lock.json", "*poetry.lock") == []
    locks = tracked_files("requirements*.lock")
    assert len(locks) == 3
    for lock in locks:
        assert "--hash=sha256:" in lock.read_text()
        assert not re.search(r"https?://|index-url|find-links", lock.read_text())


def test_bare_make_lists_every_target_with_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (\S+)", makefile, re.MULTILINE))
    listed = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {line.split()[0] for line in listed.stdout.splitlines()} == targets
    assert {"demo", "up", "test", "check", "bench"} <= targets


def lines_of(path: Path) -> int:
    return path.read_text().count("\n")


def length_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
