"""deploy/share has manual pages and shell completions of all programs. RENEW_DOCS=1 writes them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from releasing.manual import MANUAL, files_of
from tests.support.commands import PROGRAMS, ROOT
from tests.support.processes import SCRIPTS

SHARE = ROOT / "deploy" / "share"
FILES = files_of(PROGRAMS)


def program_of(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"this machine has no {name}")
    return found


def test_manual_pages_and_completions_agree_with_the_commands() -> None:
    if os.environ.get("RENEW_DOCS"):
        shutil.rmtree(SHARE, ignore_errors=True)
        for path, text in FILES.items():
            (SHARE / path).parent.mkdir(parents=True, exist_ok=True)
            (SHARE / path).write_text(text)
    found = {str(path.relative_to(SHARE)): path.read_text() for path in SHARE.rglob("*") if path.is_file()}
    assert found == FILES, "RENEW_DOCS=1 .venv/bin/pytest tests/project/test_manual.py"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_manual_page_has_no_errors_and_names_all_commands(program: str) -> None:
    command = [program_of("groff"), "-man", "-ww", "-Kutf8", "-Tutf8", "-P-bcou", SHARE / MANUAL / f"{program}.1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for section in ("NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "EXIT STATUS"):
        assert f"\n{section}\n" in done.stdout
    assert "--version" in done.stdout


def test_bash_completes_commands_and_options() -> None:
    def completed(*words: str) -> list[str]:
        script = (
            f'source "{SHARE}/bash-completion/completions/outboxctl"; COMP_WORDS=({" ".join(words)} ""); '
            f'COMP_CWORD={len(words)}; _outboxctl_completion outboxctl; echo "${{COMPREPLY[@]}}"'
        )
        environment = {"PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
        done = subprocess.run(
            [program_of("bash"), "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert {"list", "requeue", "bulk"} <= set(completed("outboxctl"))
    assert {"list", "stop", "resume"} <= set(completed("outboxctl", "bulk"))


@pytest.mark.parametrize(("shell", "folder"), [("zsh", "zsh"), ("fish", "fish"), ("bash", "bash-completion")])
def test_a_shell_can_parse_its_completions(shell: str, folder: str) -> None:
    for path in (SHARE / folder).rglob("*"):
        if path.is_file():
            subprocess.run([program_of(shell), "-n", Path(path)], check=True)
