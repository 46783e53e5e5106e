"""What feedback taught so far, as this process knows it."""

from collections import OrderedDict

from serving.policies.base import NOTHING, Experience

KEYS_KEPT = 100_000
"""States kept in memory, those that feedback touched last; another begins anew until it does."""


class Learned:
    """Experience by application, policy and key; replaced piece by piece, read at any time."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[int, str, str], Experience] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def experience(self, application_id: int, name: str, key: str) -> Experience:
        """What is known; nothing before any feedback."""
        return self._found.get((application_id, name, key), NOTHING)

    def replace(self, application_id: int, name: str, key: str, experience: Experience) -> None:
        """Take what the database has of one key."""
        place = (application_id, name, key)
        self._found[place] = experience
        self._found.move_to_end(place)
        if len(self._found) > KEYS_KEPT:
            self._found.popitem(last=False)
