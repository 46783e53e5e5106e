"""What can go wrong in a detector.

DriftError
├── InvalidSettingError        a detector cannot be built with these settings
├── InvalidObservationError    a value or a grant is outside what the detector promises about
├── InsufficientDataError      too few values to say anything
└── CheckpointError            saved state does not belong to this detector

Whatever is raised, the state of the detector is what it was before the call.
"""


class DriftError(ValueError):
    """Any error of the statistics."""


class InvalidSettingError(DriftError):
    """A detector cannot be built with these settings."""

    def __init__(self, setting: str, expected: str, received: object) -> None:
        super().__init__(f"{setting}: expected {expected}, received {received!r}")
        self.setting = setting
        self.expected = expected
        self.received = received


class InvalidObservationError(DriftError):
    """A value or a grant is outside what the detector promises about."""

    def __init__(
        self, what: str, expected: str, received: object, index: int | None = None
    ) -> None:
        where = "" if index is None else f" at index {index}"
        super().__init__(f"{what}{where}: expected {expected}, received {received}")
        self.what = what
        self.expected = expected
        self.received = received
        self.index = index


class InsufficientDataError(DriftError):
    """Too few values to say anything."""

    def __init__(self, what: str, needed: int, received: int) -> None:
        super().__init__(f"{what}: {received} given, at least {needed} needed")
        self.what = what
        self.needed = needed
        self.received = received


class CheckpointError(DriftError):
    """Saved state does not belong to this detector."""
