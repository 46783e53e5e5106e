"""Windowed drift by another package, run by an interpreter that has it and may lack this project.

``python window_worker.py evidently|nannyml|frouros IN.npz OUT.npz``: IN holds `reference`, shape
(rows, columns), and `stream`, shape (windows * size, columns), and `size`; OUT gets `values`, the
distances, and `alarms` by default thresholds, shape (windows, columns) both, and the CPU seconds.
"""

import importlib
import sys
import time
import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Found = tuple[NDArray[np.float64], NDArray[np.bool_]]


def evidently(reference: pd.DataFrame, stream: pd.DataFrame, size: int) -> Found:
    """Value drift of each column with default method and threshold."""
    drift = importlib.import_module("evidently.metrics").ValueDrift
    whole = importlib.import_module("evidently").Report
    report = whole([drift(column=column) for column in reference.columns])
    values, alarms = [], []
    for start in range(0, len(stream), size):
        window = stream.iloc[start : start + size].reset_index(drop=True)
        row, said = [], []
        for metric in report.run(window, reference).dict()["metrics"]:
            config, value = metric["config"], float(metric["value"])
            distance = "distance" in config["method"] or "divergence" in config["method"]
            # A p-value is small where a distance is large.
            row.append(value if distance else -value)
            said.append(value >= config["threshold"] if distance else value < config["threshold"])
        values.append(row)
        alarms.append(said)
    return np.array(values), np.array(alarms)


def nannyml(reference: pd.DataFrame, stream: pd.DataFrame, size: int) -> Found:
    """Univariate drift of each column with default method and thresholds."""
    columns = list(reference.columns)
    build = importlib.import_module("nannyml").UnivariateDriftCalculator
    calculator = build(column_names=columns, chunk_size=size)
    calculator.fit(reference)
    result = calculator.calculate(stream).filter(period="analysis").to_df()
    value, alert = (
        np.column_stack([result[(column, "jensen_shannon", what)].to_numpy() for column in columns])
        for what in ("value", "alert")
    )
    return value, alert.astype(bool)


def frouros(reference: pd.DataFrame, stream: pd.DataFrame, size: int) -> Found:
    """Two-sample KS test of each column; the level is the usual .05, as it has no default."""
    build = importlib.import_module("frouros.detectors.data_drift").KSTest
    pvalues = []
    for column in reference.columns:
        test = build()
        test.fit(X=reference[column].to_numpy())
        windows = stream[column].to_numpy().reshape(-1, size)
        pvalues.append([float(test.compare(X=window)[0].p_value) for window in windows])
    found = np.array(pvalues).T
    return -found, found < 0.05


def main() -> None:
    """Read, measure, write."""
    warnings.simplefilter("ignore")
    package, source, target = sys.argv[1:]
    data = np.load(source)
    names = [f"c{index}" for index in range(data["stream"].shape[1])]
    reference = pd.DataFrame(data["reference"], columns=names)
    stream = pd.DataFrame(data["stream"], columns=names)
    compare = {"evidently": evidently, "nannyml": nannyml, "frouros": frouros}[package]
    began = time.process_time()
    values, alarms = compare(reference, stream, int(data["size"]))
    seconds = time.process_time() - began
    np.savez(target, values=values, alarms=alarms, seconds=seconds)


if __name__ == "__main__":
    main()
