"""The Dockerfile's instructions in order, by stage."""

from dataclasses import dataclass

from tests.support.commands import ROOT


@dataclass(frozen=True)
class Instruction:
    """One instruction: its keyword and its arguments."""

    word: str
    rest: str


def instructions() -> list[Instruction]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    return [Instruction(*line.split(maxsplit=1)) for line in lines]


def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage, starting with its FROM."""
    found: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction.word == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found
