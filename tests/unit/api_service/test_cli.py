import pytest
from click.testing import CliRunner

from api_service.cli import main


@pytest.mark.parametrize("command", [(), ("serve",), ("migrate",), ("check-settings",)])
def test_each_command_shows_its_help(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*command, "--help"])

    assert done.exit_code == 0
    assert "Usage:" in done.output


def test_wrong_usage_exits_with_status_2() -> None:
    assert CliRunner().invoke(main, ["serve", "--twice"]).exit_code == 2
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2
