"""`python -m serving.replica.learn`: let an online model learn labelled rows; write its next state.

A program of its own, in the model's environment: neither the service nor a replica that answers
runs the model's code to learn.
"""

import argparse
import json
import os
import pickle
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from serving.replica.frameworks.river import read
from serving.replica.main import die_with

TOLD = 5
"""Rows that could not be learned, of which the reason is told."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn all rows in order; prints how many as JSON."""
    parser = argparse.ArgumentParser(prog="serving.replica.learn", description=main.__doc__)
    parser.add_argument("--artefact", type=Path, required=True, help="the state to begin with")
    parser.add_argument("--rows", type=Path, required=True, help='lines of {"row", "label"}')
    parser.add_argument("--out", type=Path, required=True, help="where the next state goes")
    parser.add_argument("--parent", type=int, default=0, help="process to die with")
    options = parser.parse_args(arguments)
    if options.parent:
        die_with(options.parent)
    model = read(options.artefact)
    learned = failed = 0
    with options.rows.open() as lines:
        for line in lines:
            lesson = json.loads(line)
            try:
                model.learn_one(lesson["row"], lesson["label"])
                learned += 1
            except Exception:
                # One label that makes no sense must not keep the model from the others.
                failed += 1
                if failed <= TOLD:
                    traceback.print_exc()
    with options.out.open("wb") as file:
        pickle.dump(model, file)
        file.flush()
        os.fsync(file.fileno())
    print(json.dumps({"learned": learned, "failed": failed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
