"""Keeps Python's garbage collector from stopping the event loop.

After its start a process holds some 150,000 objects that live as long as it does: modules, compiled
schemas, tables. The collector looks at all of them again and again while requests come and go; here
a pass took 160 ms, in which nobody got an answer, and all passes together an eighth of the time.
"""

import gc

YOUNG, MIDDLE, OLD = 10_000, 20, 50
"""Objects that are made before the young ones are looked at, young passes before a middle one, and
middle passes before an old one. A request leaves hardly any cycles: most of it goes without the
collector, at once."""


def spare_what_stays() -> None:
    """Leave alone from now on whatever is there now. For the end of a process's start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
