"""A program that runs an embedded Postgres until it is killed.

Usage: `python -m tests.support.owner_of_postgres FOLDER`; prints the URL and the server's pid.
"""

import sys
import time
from pathlib import Path

from leadsman.embedded_postgres import EmbeddedPostgres

if __name__ == "__main__":
    server = EmbeddedPostgres(Path(sys.argv[1]))
    print(server.start(), server.pid, flush=True)
    while True:
        time.sleep(60)
