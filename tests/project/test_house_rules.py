"""What CONTRIBUTING.md asks of the code and a linter does not check."""

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE = 250
LONGEST_FUNCTION = 40
NO_PART_OF_THE_PROJECT = {"build", "dist"}
USED_OF_SOMETHING_ELSE = {  # by the libraries' interfaces, by SMTP and HTTP, or as plain English
    "body", "client", "context", "cursor", "data", "error", "event", "failed", "latency", "mail", "process",
    "result", "retry", "send", "task", "transport", "worker",
}  # fmt: skip


def words_not_used() -> list[str]:
    """Return the third column of the glossary's tables, as identifiers."""
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    rows = re.findall(r"^\| (?!term )[^|]+ \| [^|]+ \| ([^|]+) \|$", glossary, re.MULTILINE)
    words = {re.sub(r"\W", "_", word.strip().lower()) for row in rows for word in row.split(",")}
    return sorted(words - USED_OF_SOMETHING_ELSE)


@cache
def tracked_files(*patterns: str, root: Path = ROOT) -> list[Path]:
    """Return the files that belong to the project, also where it was unpacked without its history."""
    paths = files_known_to_git(root)
    if paths is None:
        paths = list(unpacked_files(root))
    return [path for path in paths if any(fnmatch(str(path.relative_to(root)), pattern) for pattern in patterns)]


def files_known_to_git(root: Path) -> list[Path] | None:
    """Return them, or None where there is no git, or no checkout that it would look into."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    with suppress(OSError):
        listed = subprocess.run(git, cwd=root, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            return [root / line for line in listed.stdout.splitlines() if (root / line).exists()]
    return None


def unpacked_files(root: Path) -> Iterator[Path]:
    """Walk the folder, past what setting up, building and running leave in it."""
    for path in sorted(root.iterdir()):
        if path.is_file():
            yield path
        elif not path.name.startswith((".", "__")) and path.name not in NO_PART_OF_THE_PROJECT:
            yield from unpacked_files(path)


def test_files_are_found_without_history_too(tmp_path: Path) -> None:
    for name in ("shared/log.py", "a.py", ".venv/b.py", "shared/__pycache__/c.py", "build/lib/d.py", "notes.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert tracked_files("*.py", root=tmp_path) == [tmp_path / "a.py", tmp_path / "shared/log.py"]
    assert tracked_files("shared/*.py", root=tmp_path) == [tmp_path / "shared/log.py"]


def test_the_same_files_belong_to_the_project_with_and_without_history() -> None:
    known = files_known_to_git(ROOT)
    if known is None:
        pytest.skip("this is no git checkout: there is nothing to compare with")
    assert python_among(known) == python_among(unpacked_files(ROOT))


def test_a_file_fits_on_a_few_screens() -> None:
    files = tracked_files("*.py")
    assert len(files) > 100
    assert {str(path.relative_to(ROOT)): lines for path in files if (lines := lines_of(path)) > LONGEST_FILE} == {}


def test_a_function_reads_as_a_story_and_not_as_a_book() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in tracked_files("*.py")
        if "migrations/versions" not in str(path)
        for node in all_nodes(path)
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


@pytest.mark.parametrize("word", words_not_used())
def test_an_idea_has_one_word(word: str) -> None:
    code = tracked_files("api_service/*.py", "outbox_relay/*.py", "operator_console/*.py", "shared/*.py")
    assert len(code) > 50
    assert [path for path in code if word in names_made_in(path)] == []


def test_the_glossary_still_says_which_words_are_not_used() -> None:
    assert {"run_at", "retry_count", "replay", "visibility_timeout", "otp"} <= set(words_not_used())
    glossary = set(re.findall(r"\w+", (ROOT / "docs" / "glossary.md").read_text().lower()))
    assert glossary >= USED_OF_SOMETHING_ELSE


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


@cache
def all_nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def names_made_in(path: Path) -> set[str]:
    """Return the names that a file gives to things of its own, not those that it finds in libraries."""
    names: set[str] = set()
    for node in all_nodes(path):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
    return {name.lower().strip("_") for name in names}


def python_among(paths: Iterable[Path]) -> set[Path]:
    return {path for path in paths if path.suffix == ".py"}


def lines_of(path: Path) -> int:
    return path.read_text().count("\n")


def length_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
