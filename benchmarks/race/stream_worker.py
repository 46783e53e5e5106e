"""Detectors of frouros, run by an interpreter that has it and may lack this project.

``python stream_worker.py NAME IN.npz OUT.npz``: IN holds `streams`, shape (streams, rows), of 0/1
errors, `change` and `all`; OUT gets `alarms` of each stream with a restart after each alarm, all
of them or up to the first past the change, its `delays`, and the CPU seconds.
"""

import importlib
import sys
import time

import numpy as np

CLASSES = {
    "ecdd-wt": "ECDDWT",
    "rddm": "RDDM",
    "cusum": "CUSUM",
    "gma": "GeometricMovingAverage",
}


def main() -> None:
    """Read, measure, write."""
    name, source, target = sys.argv[1:]
    module = importlib.import_module("frouros.detectors.concept_drift")
    build = getattr(module, CLASSES[name])
    config = getattr(module, f"{CLASSES[name]}Config")
    data = np.load(source)
    change, every = int(data["change"]), bool(data["all"])
    counts, delays = [], []
    began = time.process_time()
    for stream in data["streams"].tolist():
        detector, count, delay = build(config=config()), 0, np.inf
        for row, value in enumerate(stream):
            detector.update(value=value)
            if detector.drift:
                count += 1
                detector.reset()
                if row >= change and not every:
                    delay = row + 1.0 - change
                    break
        counts.append(count)
        delays.append(delay)
    seconds = time.process_time() - began
    np.savez(target, alarms=np.array(counts), delays=np.array(delays), seconds=seconds)


if __name__ == "__main__":
    main()
