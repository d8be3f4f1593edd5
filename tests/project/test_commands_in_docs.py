"""Each command in the docs exists with its options. Harmless ones are run."""

import re
from pathlib import Path

from bench.__main__ import PARTS
from devstack.story import STORY
from tests.support.commands import PROGRAMS, ROOT, errors_in, schema_of
from tests.support.processes import completed
from tests.support.shell_blocks import Command, mentioned, typed
from tests.support.units import UNITS, settings_given

TARGETS = set(re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
OWN_SERVICES = {path.name.removesuffix(".service").partition("@")[0] for path in UNITS.glob("*.service")}
SERVICES = OWN_SERVICES | {"caddy", "nginx"}
OURS = {path.name for path in (*(ROOT / "deploy").rglob("*.sh"), *(ROOT / ".ci").iterdir())}
OF_THE_MACHINE = {
    ".", "apt", "aws", "base64", "caddy", "cat", "cd", "chmod", "chown", "cp", "createdb", "createuser", "curl",
    "docker", "echo", "export", "find", "git", "grep", "head", "install", "journalctl", "ln", "ls", "mkdir", "mv",
    "nginx", "openssl", "pg_basebackup", "pg_dump", "pg_dumpall", "pg_restore", "pip", "psql", "pytest", "rm", "sed",
    "set", "ssh", "sudoedit", "tail", "tee", "top", "useradd", "uv", "xargs",
}  # fmt: skip
"""Third-party commands. Only the project files among their arguments are checked."""

FOLLOWED = ROOT / "docs" / "guides" / "organizations-application.md"
"""Its commands need a shell that keeps variables; test_organizations_application.py runs all of them."""


def test_commands_in_code_blocks_of_the_docs_exist() -> None:
    assert len(typed()) > 20
    assert [str(command) for command in typed() if not command.programs] == []
    assert faults_among([command for command in typed() if command.page != FOLLOWED]) == []


def test_commands_mentioned_in_the_docs_exist() -> None:
    assert len(mentioned()) > 20
    assert faults_among(mentioned()) == []


def test_paths_of_an_installation_in_the_docs_are_those_it_creates() -> None:
    made = (ROOT / "deploy" / "install.sh").read_text()
    named = {
        (command.page.name, path)
        for command in typed()
        for path in re.findall(r"/etc/signpost/([\w./-]*\w)", command.line)
    }
    others = {
        "api.env",
        "relay",
        "relay.env",
        "relay-2.env",
        "console.env",
        "receiver.env",
        "callbacks.env",
        "secrets",
        "profile.json",
    }
    lost = {
        (page, path)
        for page, path in named
        if path not in others
        and not (path.startswith("secrets/") and re.search(rf"\s{path.removeprefix('secrets/')}[\s;]", made))
    }
    assert lost == set()
    assert len(named) > 2


def test_commands_of_ci_exist_and_the_release_page_lists_them() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    lines = re.findall(r"^[^#\n]*(?:(?:step|logged [a-z]+) make|make_in_pairs) ([a-z -]+)", script, re.MULTILINE)
    run = {target for line in lines for target in line.split()}
    page = (ROOT / "docs" / "guides" / "releasing.md").read_text()
    assert len(run) > 5
    assert run - TARGETS == set()
    assert {target for target in run if f"`make {target}`" not in page} == set()


def test_the_settings_page_shows_the_real_output() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    [shown] = re.findall(r"```console\n\$ (RELAY_.*? outbox-relay check-settings)\n(.*?)```", page, re.DOTALL)
    *assigned, program, argument = shown[0].split()
    environment = dict(word.split("=", 1) for word in assigned)
    done = completed((program, argument), environment)
    assert (done.returncode, done.stderr) == (2, shown[1])


def test_the_preview_command_in_the_docs_works(tmp_path: Path) -> None:
    [command] = [each for each in typed() if each.page.name == "messages.md" and "preview" in each.line]
    [words] = command.programs
    wanted = [word for word in words[1:] if word != "--open"]  # the test has no browser window
    environment = dict(word.split("=", 1) for word in command.line.split() if re.match(r"[A-Z_]+=", word))
    mail = tmp_path / "mail"
    completed((words[0], *wanted, f"--output={mail}"), environment).check_returncode()
    assert environment["BRAND_NAME"] in mail.read_text()


def test_the_output_of_the_demo_in_the_readme_is_what_the_demo_prints() -> None:
    shown = re.findall(r"^ok +(\d+)  (.+?) +[\d.]+ ms$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(shown) > 5
    assert [(number, claim) for number, claim in shown if STORY[int(number) - 1].claim != claim] == []


def faults_among(commands: list[Command]) -> list[str]:
    return [f"{command}: {fault}" for command in commands for words in command.programs for fault in faults_in(words)]


def faults_in(words: list[str]) -> list[str]:
    """Return errors in a program's arguments, as far as they are visible without running it."""
    program, *rest = words
    found: list[str] = []
    match program:
        case _ if program in PROGRAMS:
            found = errors_in(words)
        case "make":
            found = [f"make has no target {word}" for word in rest if word not in TARGETS and "=" not in word]
        case "signpost-run":
            unit, *command = rest or ["?"]
            found = [
                *_unknown_units([unit]),
                *(faults_in(command) if command else []),
                *_missing_settings(unit, command),
            ]
        case "systemctl":
            found = _unknown_units(_units_in(rest))
        case "python" | "python3":
            found = _faults_of_module(rest)
        case _ if program in OURS or program in OF_THE_MACHINE:
            found = _missing(rest)
        case _:
            found = [f"{program} is not known"]
    return found


def _unknown_units(names: list[str]) -> list[str]:
    sockets = {path.name for path in UNITS.glob("*.socket")}
    return [f"there is no unit {name}" for name in names if name not in SERVICES | sockets]


def _missing_settings(unit: str, command: list[str]) -> list[str]:
    """Return the secrets that the command requires and the unit does not have."""
    if unit not in SERVICES or not command or command[0] not in PROGRAMS:
        return []
    fields = schema_of(command)().fields.values()
    required = {f"{field.data_key}_FILE" for field in fields if field.required and field.metadata["is_secret"]}
    return [f"{unit} does not set {name}" for name in sorted(required - settings_given(f"{unit}.service").keys())]


def _units_in(words: list[str]) -> list[str]:
    _, *names = [word for word in words if not word.startswith("-")] or [""]
    return [name.removesuffix(".service").partition("@")[0].rstrip("*") for name in names]


def _faults_of_module(words: list[str]) -> list[str]:
    match words:
        case ["-m", "bench", *parts]:
            named = [part for part in parts if not part.startswith("-") and part != "PARTS"]
            return [f"bench has no part {part}" for part in named if part not in PARTS]
        case ["-m", module, *_]:
            is_known = module in {"venv", "build"} or (ROOT / module.replace(".", "/")).exists()
            return [] if is_known else [f"there is no module {module}"]
        case _:
            return [f"python {' '.join(words)} is not understood"]


def _missing(words: list[str]) -> list[str]:
    """Return the project files among the arguments that do not exist."""
    ours = [word for word in words if re.match(r"(\./)?(deploy|tests|docs|requirements)\b", word)]
    return [f"{name} is not there" for name in ours if not list(ROOT.glob(name.removeprefix("./")))]
