from click.testing import CliRunner

from bench.__main__ import PARTS, main


def test_the_help_lists_every_part_with_what_it_measures() -> None:
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    for name in PARTS:
        assert [line for line in lines if line.split()[:1] == [name] and len(line.split()) > 3]


def test_an_unknown_part_is_rejected() -> None:
    assert CliRunner().invoke(main, ["sleep"]).exit_code == 2
