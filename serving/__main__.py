"""`python -m serving`: one serving process, set up by `SERVING_*`."""

import sys

from pydantic import ValidationError

from serving.app import serve
from serving.settings import Settings


def main() -> int:
    """Serve; a wrong setting stops the start with one line for each."""
    try:
        settings = Settings()
    except ValidationError as error:
        for one in error.errors():
            name = "_".join(map(str, one["loc"])).upper()
            print(f"SERVING_{name}: {one['msg']}", file=sys.stderr)
        return 2
    serve(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
