"""Windowed drift by another package, run by an interpreter that has it and may lack this project.

``python window_worker.py evidently|nannyml IN.npz OUT.npz``: IN holds `reference`, shape (rows,
columns), and `stream`, shape (windows * size, columns), and `size`; OUT gets `alarms`, shape
(windows, columns), and the CPU seconds it took.
"""

import importlib
import sys
import time
import warnings

import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # comes with the packages compared
from numpy.typing import NDArray


def evidently(reference: pd.DataFrame, stream: pd.DataFrame, size: int) -> NDArray[np.bool_]:
    """Value drift of each column with default method and threshold."""
    drift = importlib.import_module("evidently.metrics").ValueDrift
    whole = importlib.import_module("evidently").Report
    report = whole([drift(column=column) for column in reference.columns])
    rows = []
    for start in range(0, len(stream), size):
        window = stream.iloc[start : start + size].reset_index(drop=True)
        metrics = report.run(window, reference).dict()["metrics"]
        row = []
        for metric in metrics:
            config, value = metric["config"], float(metric["value"])
            distance = "distance" in config["method"] or "divergence" in config["method"]
            row.append(value >= config["threshold"] if distance else value < config["threshold"])
        rows.append(row)
    return np.array(rows)


def nannyml(reference: pd.DataFrame, stream: pd.DataFrame, size: int) -> NDArray[np.bool_]:
    """Univariate drift of each column with default method and thresholds."""
    columns = list(reference.columns)
    build = importlib.import_module("nannyml").UnivariateDriftCalculator
    calculator = build(column_names=columns, chunk_size=size)
    calculator.fit(reference)
    result = calculator.calculate(stream).filter(period="analysis").to_df()
    return np.column_stack(
        [result[(column, "jensen_shannon", "alert")].to_numpy() for column in columns]
    )


def main() -> None:
    """Read, measure, write."""
    warnings.simplefilter("ignore")
    package, source, target = sys.argv[1:]
    data = np.load(source)
    names = [f"c{index}" for index in range(data["stream"].shape[1])]
    reference = pd.DataFrame(data["reference"], columns=names)
    stream = pd.DataFrame(data["stream"], columns=names)
    began = time.process_time()
    alarms = {"evidently": evidently, "nannyml": nannyml}[package](
        reference, stream, int(data["size"])
    )
    np.savez(target, alarms=alarms.astype(bool), seconds=time.process_time() - began)


if __name__ == "__main__":
    main()
