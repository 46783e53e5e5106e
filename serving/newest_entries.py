"""The journal's newest entries, kept in memory, so that shipping need not read them back."""

from collections import deque

from serving.journal_file import Entry

KEPT_BYTES = 4 * 2**20
"""Most bytes that are kept: enough for some shipments at full load. With Postgres away the file
alone has the rest."""


class NewestEntries:
    """An unbroken end of what the file holds.

    Parameters
    ----------
    before
        Number of the last entry that the file held when this was made.
    """

    def __init__(self, before: int) -> None:
        self._entries: deque[Entry] = deque()
        self._size = 0
        self._before = before
        """Every entry with a higher number is here."""

    def add(self, entry: Entry) -> None:
        """Take in an entry that the file has just got."""
        self._entries.append(entry)
        self._size += entry.size
        while self._size > KEPT_BYTES and self._entries:
            self._drop_first()

    def drop(self, upto: int, *, after: int) -> tuple[int, int] | None:
        """Forget the entries up to a number.

        Returns
        -------
        tuple
            Rows and bytes of the entries in (after, upto]; none if some of them are not here.
        """
        is_whole = self._before <= after
        rows = size = 0
        while self._entries and self._entries[0].number <= upto:
            entry = self._drop_first()
            rows += entry.rows
            size += entry.size
        return (rows, size) if is_whole else None

    @property
    def oldest_us(self) -> int | None:
        """Time of the earliest record of the first entry; as `JournalFile.oldest_us`."""
        return self._entries[0].oldest_us if self._entries else None

    def _drop_first(self) -> Entry:
        entry = self._entries.popleft()
        self._size -= entry.size
        self._before = entry.number
        return entry

    def after(self, number: int, *, max_rows: int, max_bytes: int) -> list[Entry] | None:
        """Entries after one, as `JournalFile.read` gives them; None if only the file has all."""
        if number < self._before:
            return None
        found: list[Entry] = []
        rows = size = 0
        for entry in self._entries:
            if entry.number <= number:
                continue
            rows += entry.rows
            size += entry.size
            if found and (rows > max_rows or size > max_bytes):
                break
            found.append(entry)
        return found
