"""`python -m serving.launchers.replica_image`: the image that pods of a version get, for a build.

It prints the image's name and the image that it begins with; with `--context` it writes what the
build reads. Both depend on the packages of the service: ask the service's own image for them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from serving.launchers.environments import LIBRARIES, environment_for


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the names, or write the context."""
    parser = argparse.ArgumentParser(prog="serving.launchers.replica_image", description=__doc__)
    parser.add_argument("--framework", required=True, choices=sorted(LIBRARIES))
    parser.add_argument(
        "--requirement", action="append", default=[], help="as the version states it; repeatable"
    )
    parser.add_argument("--python", help="as the version states it")
    parser.add_argument(
        "--base", default="python:{python}-slim", help="as SERVING_KUBERNETES_BASE_IMAGE has it"
    )
    parser.add_argument("--context", type=Path, help="a file to write, or - for standard output")
    options = parser.parse_args(arguments)
    manifest = {"requirements": options.requirement or None, "python": options.python}
    environment = environment_for(options.framework, manifest, options.base)
    if options.context is None:
        print(environment.image, environment.base)
    elif str(options.context) == "-":
        sys.stdout.buffer.write(environment.context().getbuffer())
    else:
        options.context.write_bytes(environment.context().getbuffer())
    return 0


if __name__ == "__main__":
    sys.exit(main())
