"""`python -m serving.replica`."""

import sys

from serving.replica.asked_to_end import end_when_asked


def run() -> int:
    """From the first moment on it can be asked to end, also while the model is loaded."""
    end_when_asked()
    # This takes numpy and the framework, which may be a second.
    from serving.replica.main import main

    return main()


sys.exit(run())
