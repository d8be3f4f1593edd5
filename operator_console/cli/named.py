"""Values behind their names, as people read them in a line."""

from collections.abc import Mapping

GAP = 2
JOINED_BY = " · "


def named(cells: Mapping[str, str]) -> str:
    """Write what there is, each value behind its name."""
    return JOINED_BY.join(f"{name} {cell}" for name, cell in cells.items() if cell)
