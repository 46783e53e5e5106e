"""What counts as a faulty value: missing, of a wrong type, out of range, or never seen before."""

import pytest

from monitor.records import Feature
from monitor.signals.inputs import Profile, columns_of, faults, profile_of

FEATURES = (
    Feature("age", "number", low=0.0),
    Feature("visits", "integer"),
    Feature("city", "string"),
    Feature("member", "boolean"),
)
NORMAL = [[20.0, 1, "Bern", True], [60.0, 11, "Oslo", False]]
GOOD = [40.0, 5, "Oslo", True]


@pytest.mark.parametrize(
    ("place", "value", "faulty"),
    [
        (0, 64.0, False),  # a tenth of the reference's span lies between it and what is out of it
        (0, 64.1, True),
        (0, 15.9, True),
        (0, None, True),
        (0, "old", True),
        (1, 12, False),
        (1, 13, True),
        (1, {"a": 1}, True),
        (2, "Bern", False),
        (2, "Rome", True),
        (2, 7, True),
        (3, False, False),
        (3, None, True),
        (3, "yes", True),
    ],
)
def test_a_value_is_faulty_by_what_the_reference_holds(
    place: int, value: object, faulty: bool
) -> None:
    profile = profile_of(columns_of(NORMAL, FEATURES), FEATURES)
    row = [value if number == place else one for number, one in enumerate(GOOD)]
    found = faults(columns_of([GOOD, row], FEATURES), FEATURES, profile)
    assert not found[0].any()
    assert found[1].tolist() == [float(faulty and number == place) for number in range(4)]


def test_without_a_reference_the_schema_alone_says_what_is_faulty() -> None:
    rows = [[1000.0, 1000, "Rome", True], [-1.0, "many", None, 1]]
    found = faults(columns_of(rows, FEATURES), FEATURES, Profile())
    assert found.tolist() == [[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]]
