"""Tables on a terminal, or blocks where it has no room for one."""

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from operator_console.cli.named import GAP, named

ID_WIDTH = 36
"""Of what is copied. Only what is wider, such as a provider's words, is folded in a table."""


def draw(cells: Sequence[Mapping[str, str]], columns: Sequence[str]) -> None:
    """Draw some rows, each with a cell for every column."""
    console = Console(highlight=False)
    widths = {name: max(cell_len(row[name]) for row in [*cells, {name: name}]) for name in columns}
    if sum(min(width, ID_WIDTH) + GAP for width in widths.values()) <= console.width:
        console.print(_table(cells, widths))
    else:
        for row in cells:
            _print_block(console, row, columns)


def _table(rows: Iterable[Mapping[str, str]], widths: Mapping[str, int]) -> Table:
    columns = [Column(name, no_wrap=width <= ID_WIDTH, overflow="fold") for name, width in widths.items()]
    table = Table(*columns, box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for row in rows:
        # As text: a provider's words in brackets are none of rich's marks.
        table.add_row(*map(Text, row.values()))
    return table


def _print_block(console: Console, row: Mapping[str, str], columns: Sequence[str]) -> None:
    """Print the first value whole on a line of its own, since it is what one copies, and the others below it."""
    first, *others = columns
    console.print(Text(row[first], style="bold"), soft_wrap=True)
    console.print(Padding(Text(named({name: row[name] for name in others})), (0, 0, 0, GAP)))
