"""One answered request, and its form on the wire."""

import time

import msgspec

from serving.active_route import ActiveRoute
from serving.batch import Outcome
from serving.ids import text_of
from serving.members import Told


class Prediction(msgspec.Struct, frozen=True):
    """One answered request."""

    id: bytes
    route: ActiveRoute
    version: str
    """The version that was chosen, as `model:version`."""
    output: bytes
    """JSON text."""
    scores: bytes | None
    """Little-endian float64."""
    reason: Outcome
    """Why the output is the default; `ANSWERED` where it is not."""
    latency_us: int
    predicted_at_us: int
    cached: bool = False
    """Whether the output was kept from an equal input."""
    told: Told | None = None
    """What several versions said, where several were asked for this answer."""

    def to_json(self) -> bytes:
        """The body of the answer."""
        seconds, micros = divmod(self.predicted_at_us, 1_000_000)
        parts = [
            b'{"id":"', text_of(self.id).encode(), self.route.heads[self.version], self.output,
        ]  # fmt: skip
        if self.scores is not None:
            numbers = memoryview(self.scores).cast("d").tolist()
            parts += (b',"scores":', msgspec.json.encode(numbers))
        if self.reason is Outcome.ANSWERED:
            parts.append(b',"default":false')
        else:
            name = self.reason.name.lower()
            parts.append(b',"default":true,"default_reason":"%s"' % name.encode())
        if self.told is not None:
            parts.append(_of_members(self.told))
        parts.append(
            b',"cached":%s,"latency_ms":%.3f,"predicted_at":"%s.%06dZ"}'
            % (
                b"true" if self.cached else b"false",
                self.latency_us / 1000, _moment(seconds), micros,
            )
        )  # fmt: skip
        return b"".join(parts)


def _of_members(told: Told) -> bytes:
    """How many answered together, and how far they agreed."""
    counts = b',"members":{"asked":%d,"answered":%d}' % (len(told.voices), told.took_part)
    if told.agreement is None:
        return counts
    return b'%s,"agreement":%.6g' % (counts, told.agreement)


class _Clock:
    """The text of the second that most answers of a moment share."""

    second = -1
    text = b""


def _moment(second: int) -> bytes:
    if _Clock.second != second:
        _Clock.text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        _Clock.second = second
    return _Clock.text
