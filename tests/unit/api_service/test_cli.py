import pytest
from click.testing import CliRunner

from api_service.cli import main


@pytest.mark.parametrize("command", [(), ("serve",), ("migrate",), ("check-settings",)])
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, [*command, "--help"])

    assert done.exit_code == 0
    assert "Usage:" in done.output


def test_wrong_usage_ends_with_2() -> None:
    assert CliRunner().invoke(main, ["serve", "--twice"]).exit_code == 2
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2
