"""The live picture: progress, error curves, events."""

from collections.abc import Callable

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from leadsman.demo.events import Event, Story
from leadsman.demo.ledger import Floats, Ledger

BLOCKS = "▁▂▃▄▅▆▇█"
HIGHEST = 0.6
"""Error rate that fills a curve's height."""

COLOURS = ("green", "red", "cyan", "magenta", "yellow", "blue")
EVENTS = 10
NEWS_ROWS = 2_000
"""Rows between two lines of progress where there is no terminal."""


def curve(errors: Floats, width: int) -> str:
    """Draw error rates over all rows in `width` steps; a blank where nothing is known."""
    drawn = []
    for part in np.array_split(errors, width):
        known = part[~np.isnan(part)]
        if len(known) == 0:
            drawn.append(" ")
            continue
        level = min(float(known.mean()) / HIGHEST, 1.0)
        drawn.append(BLOCKS[round(level * (len(BLOCKS) - 1))])
    return "".join(drawn)


class Picture:
    """Drawn a few times a second on a terminal; lines of text anywhere else.

    Parameters
    ----------
    console
        Where to draw.
    ledger
        Errors by version and row.
    story
        Events.
    row
        Row at present.
    """

    def __init__(
        self, console: Console, ledger: Ledger, story: Story, row: Callable[[], int]
    ) -> None:
        self.route = ""
        """The route in force, in one line."""
        self._console = console
        self._ledger = ledger
        self._story = story
        self._row = row
        self._told = ledger.first
        self._progress = Progress(
            TextColumn("half hours of the market"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            expand=True,
            console=console,
        )
        self._task = self._progress.add_task("rows", total=ledger.last - ledger.first)
        self._live: Live | None = None

    def __enter__(self) -> "Picture":
        """Begin to draw."""
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        else:
            self._story.listen(self._line)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self.draw()
            self._live.stop()

    def draw(self) -> None:
        """Show the present state."""
        row = self._row()
        if self._live is None:
            if row - self._told >= NEWS_ROWS:
                self._told = row
                self._console.print(f"row {row}: {self.route}")
            return
        self._progress.update(self._task, completed=row - self._ledger.first)
        self._live.update(Group(self._progress, self._curves(), self._events()), refresh=True)

    def _curves(self) -> Panel:
        width = max(self._console.width - 34, 20)
        table = Table.grid(padding=(0, 1))
        for number, version in enumerate(sorted(self._ledger.answers)):
            errors = self._ledger.errors(version)
            known = errors[~np.isnan(errors)]
            newest = f"{known[-500:].mean():.3f}" if len(known) else ""
            colour = COLOURS[number % len(COLOURS)]
            table.add_row(Text(version), Text(newest), Text(curve(errors, width), style=colour))
        title = f"error rate by row, newest 500 in figures · {self.route}"
        return Panel(table, title=Text(title), title_align="left")

    def _events(self) -> Panel:
        lines = [_line(event) for event in self._story.last(EVENTS)]
        return Panel(Group(*lines), title="events", title_align="left", height=EVENTS + 2)

    def _line(self, event: Event) -> None:
        self._console.print(_line(event))


def _line(event: Event) -> Text:
    where = "" if event.row is None else f"row {event.row}"
    style = "bold red" if event.grave else ""
    return Text(f"{event.seconds:6.1f} s  {where:>9}  {event.text}", style=style)
