"""Versions that cannot be used, started or probed."""

from serving.errors.base import ServingError


class ArtefactUnusableError(ServingError):
    """The artefact cannot be stored: absent, unsafe or broken."""

    status = 422
    code = "artefact_unusable"
    title = "The artefact cannot be used"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class VersionFailedToStartError(ServingError):
    """A version did not come up in time; the route before stands."""

    status = 422
    code = "version_failed_to_start"
    title = "The version did not start"

    def __init__(self, ref: str, reason: str, last_words: str) -> None:
        words = f" Its last words:\n{last_words}" if last_words.strip() else ""
        super().__init__(f"{ref}: {reason}.{words}")
        self.ref = ref
        self.reason = reason
        self.last_words = last_words


class ProbeFailedError(ServingError):
    """A version came up and did not answer a row; the route before stands."""

    status = 422
    code = "probe_failed"
    title = "The version started but does not answer"

    def __init__(self, ref: str, reason: str, last_words: str = "") -> None:
        words = f" Its last words:\n{last_words}" if last_words.strip() else ""
        super().__init__(f"{ref} did not answer the probe: {reason}.{words}")
        self.ref = ref
        self.reason = reason
        self.last_words = last_words
