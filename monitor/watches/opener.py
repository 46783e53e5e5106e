"""What may open a confirm gate: a detector of river's, its settings, and the rows that it takes."""

from collections.abc import Mapping
from dataclasses import dataclass

from drift.streaming.river_adapter import NAMES, OF_ERRORS
from monitor.errors import InvalidRequestError
from monitor.signals.base import LOSS
from monitor.watches.watch import CONFIRM_GATE, GUARANTEED, WatchForm, WatchSettings


@dataclass(frozen=True, slots=True)
class _Range:
    expected: str
    least: float
    most: float
    whole: bool = False

    def holds(self, value: object) -> bool:
        """Whether a value lies in it."""
        return (
            isinstance(value, int if self.whole else int | float)
            and not isinstance(value, bool)
            and self.least <= value <= self.most
        )


_SHARE = _Range("a number from 1e-12 to 0.999999", 1e-12, 0.999999)
_SIZE = _Range("a number from 0 to 1e6", 0.0, 1e6)
_COUNT = _Range("a whole number from 2 to 10000", 2, 10_000, whole=True)
"""At most what a window may hold that is saved with every turn."""

PARAMETERS: dict[str, dict[str, _Range]] = {
    "adwin": {
        "delta": _SHARE,
        "clock": _COUNT,
        "max_buckets": _COUNT,
        "min_window_length": _COUNT,
        "grace_period": _COUNT,
    },
    "kswin": {"alpha": _SHARE, "window_size": _COUNT, "stat_size": _COUNT},
    "page-hinkley": {
        "min_instances": _COUNT,
        "delta": _SIZE,
        "threshold": _SIZE,
        "alpha": _SHARE,
    },
    "ddm": {"warm_start": _COUNT, "drift_threshold": _SIZE},
    "eddm": {"warm_start": _COUNT, "alpha": _SHARE, "beta": _SHARE},
    "fhddm": {"sliding_window_size": _COUNT, "confidence_level": _SHARE},
    "hddm-a": {"drift_confidence": _SHARE},
    "hddm-w": {"drift_confidence": _SHARE, "lambda_val": _SHARE},
}
"""Settings of each opener by river's names, and what they may be: of a number that river takes and
stumbles over later, the monitor would learn in the middle of a turn."""


def check_opener(form: WatchForm, settings: WatchSettings, where: str) -> None:
    """Refuse a confirm gate whose opener is none, or does not fit its settings or the signal.

    Raises
    ------
    InvalidRequestError
        Naming the field below `where`.
    """
    if form.detector != CONFIRM_GATE:
        return
    opener, path = settings.opened_by, f"{where}/settings/opened_by"
    if opener not in NAMES:
        expected = f"a detector without a guarantee: {', '.join(NAMES)}"
        if opener in GUARANTEED:
            expected += f" ({opener} has one and may act by itself)"
        raise InvalidRequestError(path, expected, opener)
    known = PARAMETERS[opener]
    for name, value in settings.opener.items():
        if name not in known or not known[name].holds(value):
            expected = known[name].expected if name in known else f"one of {', '.join(known)}"
            raise InvalidRequestError(f"{where}/settings/opener/{name}", expected, value)
    _check_together(opener, settings.opener, f"{where}/settings/opener")
    if opener in OF_ERRORS:
        _check_errors(form, path, opener)


def _check_together(opener: str, given: Mapping[str, float], path: str) -> None:
    """Numbers that river takes one by one and not together."""
    if opener == "kswin" and given.get("window_size", 100) < 2 * given.get("stat_size", 30):
        expected = (
            "a window_size (100 when absent) of at least twice the stat_size (30 when absent)"
        )
        raise InvalidRequestError(path, expected, dict(given))
    if opener == "eddm" and given.get("alpha", 0.95) < given.get("beta", 0.9):
        expected = "an alpha (0.95 when absent) of at least beta (0.9 when absent)"
        raise InvalidRequestError(path, expected, dict(given))


def _check_errors(form: WatchForm, path: str, opener: str) -> None:
    """What counts single wrong rows takes no others."""
    told = f"adwin, kswin or page-hinkley: {opener} counts single wrong rows"
    if form.signal not in (LOSS, "metric.error") and not form.signal.startswith(
        ("quality.", "service.")
    ):
        raise InvalidRequestError(path, f"{told}, which {form.signal} has not", opener)
    for name in ("block", "unit", "clip", "metric"):
        if form.settings.get(name) not in (None, 1):
            raise InvalidRequestError(
                path, f"{told}, and {name} makes other values of them", opener
            )


def refused_for_numbers(settings: WatchSettings, signal: str, task: str) -> str | None:
    """Why an opener that counts wrong answers does not fit a regression; none where it fits."""
    if settings.opened_by in OF_ERRORS and signal == LOSS and task == "regression":
        return (
            f"{settings.opened_by} counts wrong answers, and a regression has none: let adwin "
            "open the gate."
        )
    return None
