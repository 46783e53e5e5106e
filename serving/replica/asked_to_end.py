"""A replica that is the first process of its container ends at SIGTERM, whatever it is doing.

The kernel spares the first process of a namespace every signal that it has no handler for. Without
one a replica that is asked to end while it loads its model goes on until it is ended by force.
"""

import ctypes
import os
import signal
import sys


def end_when_asked() -> None:
    """Let SIGTERM end this process at once, with the signal's number as its status.

    It does so anyway where this is not a namespace's first process. What replaces it once the model
    is there answers the batch under way first.
    """
    if sys.platform != "linux" or os.getpid() != 1:
        return
    library = ctypes.CDLL(None)
    # Not a handler in Python: native code that reads a model runs no Python for minutes.
    library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    library.signal.restype = ctypes.c_void_p
    library.signal(signal.SIGTERM, ctypes.cast(library._exit, ctypes.c_void_p))
