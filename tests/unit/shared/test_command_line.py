"""What all programs share."""

from importlib import import_module
from importlib.metadata import version

import pytest
from click.testing import CliRunner

from tests.support.commands import PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_prints_its_version(program: str) -> None:
    module, _, name = PROGRAMS[program].partition(":")
    result = CliRunner().invoke(getattr(import_module(module), name), ["--version"], prog_name=program)
    assert (result.exit_code, result.output) == (0, f"{program} {version('signpost')}\n")
