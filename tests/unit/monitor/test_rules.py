"""Rules as people write them."""

from typing import Any

import pytest

from monitor.errors import InvalidRequestError
from monitor.remedies.rules import parse


def test_a_kind_a_step_and_a_list_are_all_rules() -> None:
    assert parse("roll_back") == [{"kind": "roll_back"}]
    assert parse({"kind": "swap", "version": "fraud:1"}) == [{"kind": "swap", "version": "fraud:1"}]
    rule = ["roll_back", {"kind": "swap", "version": "fraud:1"}, {"kind": "page"}]
    assert [step["kind"] for step in parse(rule)] == ["roll_back", "swap", "page"]


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ("restart", "/remedy/0"),
        (["roll_back", {"kind": "swap"}], "/remedy/1/swap/version"),
        ([{"kind": "swap", "version": "fraud"}], "/remedy/0/swap/version"),
        ([{"kind": "change_share", "share": 1.5}], "/remedy/0/change_share/share"),
        (["notify", "roll_back"], "/remedy/0"),
        (["roll_back", "page", "promote"], "/remedy/1"),
        ([], "/remedy"),
        (["roll_back"] * 9, "/remedy"),
        ([{"kind": "roll_back", "speed": 1}], "/remedy/0/roll_back/speed"),
    ],
)
def test_a_wrong_step_is_named_by_its_place(rule: Any, place: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(rule)
    assert caught.value.errors[0]["path"].startswith(place)
