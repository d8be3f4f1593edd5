"""The Dockerfile, read: its instructions in their order, stage by stage."""

from dataclasses import dataclass

from tests.support.commands import ROOT


@dataclass(frozen=True)
class Instruction:
    """One line of it: the word it begins with, and the rest."""

    word: str
    rest: str


def instructions() -> list[Instruction]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    return [Instruction(*line.split(maxsplit=1)) for line in lines]


def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage, its FROM first."""
    found: list[list[Instruction]] = []
    for said in instructions():
        if said.word == "FROM":
            found.append([])
        if found:
            found[-1].append(said)
    return found
