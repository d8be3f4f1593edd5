"""`python -m releasing`: what `make release-check`, `audit`, `licences` and `test-upgrade` run."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from releasing.checking import faults
from releasing.project import ROOT, git, locked, releases, version
from releasing.supplies import is_unreachable, read_audit, unexpected
from releasing.upgrading import run_tests_of


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gather the commands."""


@main.command("check")
def check() -> None:
    """Tell what stands between this source and a release; exits 1 if anything does."""
    unsaved = [line[3:] for line in git(ROOT, "status", "--porcelain").splitlines()]
    found = faults(version(ROOT), (ROOT / "CHANGELOG.md").read_text(), releases(ROOT), unsaved)
    for fault in found:
        click.echo(f"release: {fault}", err=True)
    if found:
        sys.exit(1)
    click.echo(f"release: {version(ROOT)} can be tagged v{version(ROOT)}")


@main.command("audit")
def audit() -> None:
    """Ask whether anything is known against what requirements.lock names; exits 1 if so."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = ["pip-audit", "--require-hashes", "--disable-pip", "--progress-spinner=off"]
        command += ["--requirement", str(ROOT / "requirements.lock"), "--format=json", f"--output={report}"]
        done = _tool(command)
        if not report.exists():
            _tell_unasked(done.stderr)
            return
        found = read_audit(report.read_text())
    if not found.audited:
        click.echo("audit: skipped: the service that answers knows none of the packages")
        return
    for line in found.vulnerable:
        click.echo(f"audit: {line}", err=True)
    click.echo(f"audit: {found.audited} packages looked at; not known there: {', '.join(found.unknown) or 'none'}")
    if found.vulnerable:
        sys.exit(1)


@main.command("licences")
def licences() -> None:
    """List the licences of what requirements.lock names; exits 1 if there is one that nobody has thought about."""
    listed = _tool(["pip-licenses", "--format=json", "--packages", *locked(ROOT)], is_checked=True)
    by_name = {package["Name"]: package["License"] for package in json.loads(listed.stdout)}
    for name, words in by_name.items():
        click.echo(f"{name:<28}{words}")
    found = unexpected(by_name)
    for line in found:
        click.echo(f"licences: {line}", err=True)
    if found:
        sys.exit(1)


@main.command("upgrade")
@click.argument("tests", nargs=-1)
@click.option("--source", type=click.Path(path_type=Path), default=ROOT, help="Whose schema; by default this one's.")
@click.option("--python", type=click.Path(path_type=Path), help="An interpreter with what the release needs.")
def upgrade(tests: tuple[str, ...], source: Path, python: Path | None) -> None:
    """Run the previous release's TESTS, or all that use the database, on this source's schema."""
    try:
        found = [tag for tag in releases(source) if tag != f"v{version(source)}"]
    except (OSError, subprocess.CalledProcessError):
        click.echo("upgrade: skipped: without its history the source knows no releases")
        return
    if not found:
        click.echo("upgrade: skipped: there is no earlier release to upgrade from")
        return
    click.echo(f"upgrade: the tests of {found[0]} on the schema of {source}")
    if not run_tests_of(found[0], source, tests, python):
        click.echo(
            f"upgrade: {found[0]} does not work on this schema: it could not serve while it is migrated", err=True
        )
        sys.exit(1)


def _tell_unasked(words: str) -> None:
    """Say why there is no answer; exits 1 unless it is that the service cannot be reached."""
    last = (words.strip().splitlines() or ["it said nothing"])[-1]
    if not is_unreachable(last):
        click.echo(f"audit: pip-audit failed: {last}", err=True)
        sys.exit(1)
    click.echo("audit: skipped: the service cannot be reached")


def _tool(command: list[str], *, is_checked: bool = False) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).parent / command[0]
    return subprocess.run([program, *command[1:]], capture_output=True, text=True, check=is_checked)  # noqa: S603 - our own


if __name__ == "__main__":
    main()
