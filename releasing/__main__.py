"""`python -m releasing`: the commands behind `make release-check`, `audit`, `licences` and `test-upgrade`."""

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
    """Run a command."""


@main.command("check")
def check() -> None:
    """Report what prevents a release of this source. Exits with 1 if anything does."""
    unsaved = [line[3:] for line in git(ROOT, "status", "--porcelain").splitlines()]
    found = faults(version(ROOT), (ROOT / "CHANGELOG.md").read_text(), releases(ROOT), unsaved)
    for fault in found:
        click.echo(f"release: {fault}", err=True)
    if found:
        sys.exit(1)
    click.echo(f"release: {version(ROOT)} can be tagged v{version(ROOT)}")


@main.command("audit")
def audit() -> None:
    """Report known vulnerabilities of the packages in requirements.lock. Exits with 1 if there are any."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = ["pip-audit", "--require-hashes", "--disable-pip", "--progress-spinner=off"]
        command += ["--requirement", str(ROOT / "requirements.lock"), "--format=json", f"--output={report}"]
        done = _tool(command)
        if not report.exists():
            _report_failure(done.stderr)
            return
        found = read_audit(report.read_text())
    if not found.audited:
        click.echo("audit: skipped: the service knows none of the packages")
        return
    for line in found.vulnerable:
        click.echo(f"audit: {line}", err=True)
    click.echo(f"audit: {found.audited} packages checked; unknown to the service: {', '.join(found.unknown) or 'none'}")
    if found.vulnerable:
        sys.exit(1)


@main.command("licences")
def licences() -> None:
    """List the licences of the packages in requirements.lock. Exits with 1 if one has not been accepted."""
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
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    default=ROOT,
    help="The new schema's source; this one by default.",
)
@click.option("--python", type=click.Path(path_type=Path), help="An interpreter with that release's dependencies.")
def upgrade(tests: tuple[str, ...], source: Path, python: Path | None) -> None:
    """Run the previous release's TESTS, or all of its database tests, on this source's schema."""
    try:
        found = [tag for tag in releases(source) if tag != f"v{version(source)}"]
    except (OSError, subprocess.CalledProcessError):
        click.echo("upgrade: skipped: the source has no git history")
        return
    if not found:
        click.echo("upgrade: skipped: there is no earlier release to upgrade from")
        return
    click.echo(f"upgrade: the tests of {found[0]} on the schema of {source}")
    if not run_tests_of(found[0], source, tests, python):
        click.echo(f"upgrade: {found[0]} fails on this schema, so it cannot serve during the migration", err=True)
        sys.exit(1)


def _report_failure(words: str) -> None:
    """Report why pip-audit failed. Exits with 1 unless the service is unreachable."""
    last = (words.strip().splitlines() or ["no error message"])[-1]
    if not is_unreachable(last):
        click.echo(f"audit: pip-audit failed: {last}", err=True)
        sys.exit(1)
    click.echo("audit: skipped: the service is unreachable")


def _tool(command: list[str], *, is_checked: bool = False) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).parent / command[0]
    return subprocess.run([program, *command[1:]], capture_output=True, text=True, check=is_checked)  # noqa: S603 - our own


if __name__ == "__main__":
    main()
