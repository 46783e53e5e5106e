"""What counts as a difference between an object as it should be and as it is."""

from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.launchers.differences import WHOLE, differences

NAMES = st.sampled_from(["metadata", "spec", "labels", "image", *WHOLE])
PLAIN = st.recursive(
    st.integers() | st.text(max_size=4) | st.booleans(),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=12,
)


@given(PLAIN)
def test_an_object_does_not_differ_from_itself(one: Any) -> None:
    assert differences(one, deepcopy(one)) == []


@given(st.dictionaries(NAMES, PLAIN), PLAIN)
def test_what_a_server_adds_is_no_difference(one: dict[str, Any], added: Any) -> None:
    assert differences(one, {**one, "added by the server": added}) == []


def test_what_is_missing_or_other_is_named_by_its_path() -> None:
    wanted = {"spec": {"replicas": 2, "ports": [{"port": 1}, {"port": 2}]}}
    found = {"spec": {"replicas": 3, "ports": [{"port": 1}, {}]}}
    assert differences(wanted, found) == ["spec.replicas", "spec.ports[1].port"]
    assert differences(wanted, {}) == ["spec"]
    assert differences({"a": [1]}, {"a": [1, 2]}) == ["a"]


def test_one_entry_more_is_a_difference_where_entries_exclude() -> None:
    wanted = {"spec": {"nodeSelector": {"pool": "a"}, "labels": {"b": "1"}}}
    found = {"spec": {"nodeSelector": {"pool": "a", "zone": "z"}, "labels": {"b": "1", "c": "2"}}}
    assert differences(wanted, found) == ["spec.nodeSelector.zone"]
