"""The unit files in deploy/systemd, as systemd reads them."""

import shutil
import subprocess
from configparser import RawConfigParser
from datetime import timedelta
from pathlib import Path

import pytest

from api_service.server import STOP_SECONDS
from outbox_relay.bootstrap import STOPPING_MARGIN
from outbox_relay.settings import RelaySettingsSchema
from tests.support.processes import SCRIPTS

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
INSTALLED = "/opt/signpost/.venv/bin"


def settings_of(unit: str, section: str = "Service") -> dict[str, str]:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment] # the documented way to keep names as written
    parser.read(UNITS / unit)
    return dict(parser[section])


@pytest.mark.parametrize("unit", sorted(path.name for path in UNITS.glob("*.service")))
def test_systemd_finds_nothing_wrong(unit: str, tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("this machine has no systemd-analyze")
    # Verifying looks for the program, which here lies in this checkout's own environment.
    copy = tmp_path / unit.replace("@.", "@1.")
    copy.write_text((UNITS / unit).read_text().replace(INSTALLED, str(SCRIPTS)))
    done = subprocess.run([verify, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if str(copy) in line or unit in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_no_relay_is_killed_while_it_finishes_what_it_has_in_hand() -> None:
    send_seconds = RelaySettingsSchema().fields["send_seconds"].load_default
    longest = 2 * timedelta(seconds=send_seconds) + STOPPING_MARGIN
    for unit in ("outbox-relay.service", "outbox-relay@.service"):
        assert timedelta(seconds=int(settings_of(unit)["TimeoutStopSec"])) > longest
    assert int(settings_of("api-service.service")["TimeoutStopSec"]) > STOP_SECONDS


def test_several_relays_differ_from_one_in_their_name_and_environment_only() -> None:
    one, several = (UNITS / "outbox-relay.service", UNITS / "outbox-relay@.service")
    lines = set(several.read_text().splitlines()) - set(one.read_text().splitlines())
    assert {line for line in lines if not line.startswith("#")} == {
        "Description=Signpost outbox relay %i",
        "EnvironmentFile=/etc/signpost/relay-%i.env",
    }
