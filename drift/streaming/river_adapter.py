"""River's drift detectors behind the common interface."""

import io
import pickle
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from drift.base import Alarm, Settings, Update, Values, checked_grants, checked_values
from drift.checkpoint import pack, unpack
from drift.errors import CheckpointError, InvalidObservationError, InvalidSettingError

_NUMERIC = {"adwin": "ADWIN", "kswin": "KSWIN", "page-hinkley": "PageHinkley"}
_BINARY = {"ddm": "DDM", "eddm": "EDDM", "fhddm": "FHDDM", "hddm-a": "HDDMA", "hddm-w": "HDDMW"}
NAMES = tuple(sorted(_NUMERIC | _BINARY))
"""Detectors offered, by the name used in the literature."""
OF_ERRORS = tuple(sorted(_BINARY))
"""Those that take nothing but 0/1 errors."""


class Streaming:
    """A detector of river. It alarms when river says so; grants buy nothing here.

    Parameters
    ----------
    name
        One of `NAMES`. "ddm", "eddm", "fhddm", "hddm-a" and "hddm-w" take 0/1 errors; the others
        any finite number.
    params
        Passed on to river's constructor.

    Notes
    -----
    Measured on 0/1 errors at a rate of 0.1 with river's default settings, false alarms in 50,000
    rows: ADWIN under 0.01, PageHinkley 1.15, DDM 0.83, EDDM 35, HDDM_A 0.06, HDDM_W 0.01. ADWIN's
    rate depends on the input: 309 in a million on lognormal values at the settings that give 0.07
    on 0/1 errors. FHDDM as published watches the share of *correct* answers, so it is fed those:
    fed with errors, as river documents, it alarms when errors fall.

    The statistic is river's estimate of the mean where it has one, else the mean of all values
    since its last alarm.
    """

    guaranteed: ClassVar[bool] = False
    assumption: ClassVar[str] = "None: river's detectors state no bound on false alarms a year."

    def __init__(self, name: str, **params: object) -> None:
        if name not in NAMES:
            raise InvalidSettingError("name", f"one of {', '.join(NAMES)}", name)
        if name == "kswin":
            # Its own default draws from the operating system, and a replay would differ.
            params = {"seed": 0, **params}
        self.name = name
        self._params = params
        self._detector = self._built()
        self._steps = 0
        self._since = 0
        self._sum = 0.0

    @property
    def steps(self) -> int:
        """Observations consumed so far."""
        return self._steps

    @property
    def settings(self) -> Settings:
        """What the detector was built with."""
        return {"name": self.name, **self._params}

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume observations; see `drift.base.Detector.update`. Alarms go to tier 0."""
        largest = float(np.finfo(np.float64).max)
        limits = (0.0, 1.0) if self.name in _BINARY else (-largest, largest)
        values = checked_values(values, lower=limits[0], upper=limits[1])
        if self.name in _BINARY and not ((values == 0.0) | (values == 1.0)).all():
            index = int(np.argmin((values == 0.0) | (values == 1.0)))
            raise InvalidObservationError("value", "0 or 1", float(values[index]), index)
        tiers = np.shape(grants)[1] if np.ndim(grants) == 2 else 1
        checked_grants(grants, len(values), tiers)
        statistic = np.empty(len(values))
        alarms = []
        for step, value in enumerate(values.tolist()):
            alarm = self._step(value)
            statistic[step] = self._estimate()
            if alarm:
                onset = max(int(getattr(self._detector, "width", 1)) - 1, 0)
                alarms.append(Alarm(step, 0, float(statistic[step]), 0.0, -1, onset))
                self._since, self._sum = 0, 0.0
        return Update(np.repeat(statistic[:, None], tiers, axis=1), tuple(alarms))

    def to_bytes(self) -> bytes:
        """Save the state: river's object as river pickles it, and our counts."""
        pickled = np.frombuffer(pickle.dumps(self._detector, protocol=5), dtype=np.uint8)
        counts = np.array([self._steps, self._since], dtype=np.int64)
        return pack("streaming", self.settings, [counts, np.array([self._sum]), pickled])

    def restore(self, data: bytes) -> None:
        """Take over a saved state; raises `CheckpointError` if it is not one of this detector."""
        counts, total, pickled = unpack("streaming", self.settings, data)
        detector = _RiverUnpickler(io.BytesIO(pickled.tobytes())).load()
        if type(detector) is not type(self._detector):
            raise CheckpointError(f"state holds a {type(detector).__name__}, not a {self.name}")
        self._detector = detector
        self._steps, self._since = int(counts[0]), int(counts[1])
        self._sum = float(total[0])

    def _step(self, value: float) -> bool:
        if self.name in _BINARY:
            error = value == 1.0
            self._detector.update(not error if self.name == "fhddm" else error)
        else:
            self._detector.update(value)
        self._steps += 1
        self._since += 1
        self._sum += value
        return bool(self._detector.drift_detected)

    def _estimate(self) -> float:
        estimate = getattr(self._detector, "estimation", None)
        return self._sum / self._since if estimate is None else float(estimate)

    def _built(self) -> Any:
        # River brings scikit-learn and pandas along: seconds and a hundred megabytes, which only a
        # process with such a detector pays.
        from river import drift as river_drift
        from river.drift import binary

        try:
            if self.name in _BINARY:
                return getattr(binary, _BINARY[self.name])(**self._params)
            return getattr(river_drift, _NUMERIC[self.name])(**self._params)
        except (TypeError, ValueError) as error:
            raise InvalidSettingError(self.name, "river's parameters", str(error)) from error


_PLAIN = {
    ("collections", "deque"),
    ("random", "Random"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "scalar"),
}


def _test_of(detector: object, name: str) -> object:
    """PageHinkley keeps a method of its own, which pickle looks up by name."""
    if not (type(detector).__module__.startswith("river.drift.") and name.startswith("_test_")):
        raise CheckpointError(f"state asks for {name!r} of a {type(detector).__name__}")
    return getattr(detector, name)


class _RiverUnpickler(pickle.Unpickler):
    """Builds river's own objects and nothing else: a pickle can otherwise run any code."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("builtins", "getattr"):
            return _test_of
        if (module, name) in _PLAIN or module.startswith(_RIVER_MODULES):
            return super().find_class(module, name)
        raise CheckpointError(f"state asks for {module}.{name}, which no detector holds")


_RIVER_MODULES = ("river.drift.", "river.stats.", "river._river_rust.")
