"""Laws of answers that several versions give together."""

import json
import struct
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.policies import parse
from serving.policies.base import Combined, MemberAnswer, Shortfall, Stage
from serving.policies.cascade import is_sure
from serving.policies.ensemble import WeightedCombination

CLASSES = (b"0", b"1", b"2")
LABELS = st.sampled_from(CLASSES)
NUMBERS = st.floats(-1e6, 1e6)
WEIGHTS = st.floats(0.01, 10)


def scored(scores: list[float]) -> MemberAnswer:
    total = sum(scores)
    shares = [score / total for score in scores]
    best = CLASSES[int(np.argmax(shares))]
    return MemberAnswer(best, struct.pack("<3d", *shares), CLASSES)


SCORED = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(scored)
VOTES = st.lists(st.tuples(LABELS, WEIGHTS), min_size=1, max_size=9)


def vote(votes: list[tuple[bytes, float]], **options: float) -> Combined:
    combination = WeightedCombination(tuple(w for _, w in votes), by_vote=True, **options)  # type: ignore[arg-type]  # numbers of both kinds
    return combination.combine([MemberAnswer(label) for label, _ in votes], numeric=False)


@given(VOTES)
def test_a_vote_is_won_by_the_most_weight_and_agreement_is_its_share(
    votes: list[tuple[bytes, float]],
) -> None:
    combined = vote(votes)
    weight = {one: sum(w for label, w in votes if label == one) for one in CLASSES}
    assert weight[combined.output] == pytest.approx(max(weight.values()))
    assert combined.agreement == pytest.approx(weight[combined.output] / sum(weight.values()))


@given(VOTES, st.randoms(use_true_random=False))
def test_the_order_of_members_decides_nothing_but_ties(
    votes: list[tuple[bytes, float]], random: Random
) -> None:
    shuffled = list(votes)
    random.shuffle(shuffled)
    assert vote(votes).agreement == pytest.approx(vote(shuffled).agreement)


@given(VOTES, st.floats(0, 1))
def test_below_the_stated_agreement_there_is_no_output(
    votes: list[tuple[bytes, float]], least: float
) -> None:
    agreement = vote(votes).agreement
    combined = vote(votes, min_agreement=least)
    assert agreement is not None
    assert (combined.shortfall is Shortfall.LOW_AGREEMENT) == (agreement < least)
    assert combined.agreement == agreement


@given(st.lists(st.none() | SCORED, min_size=1, max_size=8), st.integers(1, 8))
def test_who_is_missing_counts_for_nothing(answers: list[MemberAnswer | None], least: int) -> None:
    present = [one for one in answers if one is not None]
    rule = WeightedCombination(tuple(1.0 for _ in answers), min_members=least)
    combined = rule.combine(answers, numeric=False)
    if len(present) < least:
        assert combined.shortfall is Shortfall.TOO_FEW_MEMBERS
        return
    alone = WeightedCombination(tuple(1.0 for _ in present)).combine(present, numeric=False)
    assert (combined.output, combined.agreement) == (alone.output, alone.agreement)
    scores = struct.unpack("<3d", combined.scores or b"")
    mean = np.mean([struct.unpack("<3d", one.scores or b"") for one in present], axis=0)
    assert scores == pytest.approx(mean)
    assert combined.output == CLASSES[int(np.argmax(scores))]


@given(st.lists(st.tuples(NUMBERS, WEIGHTS), min_size=1, max_size=9), st.booleans())
def test_numbers_come_together_between_the_least_and_the_greatest(
    given_: list[tuple[float, float]], by_vote: bool
) -> None:
    rule = WeightedCombination(tuple(w for _, w in given_), by_vote=by_vote)
    answers = [MemberAnswer(json.dumps(value).encode()) for value, _ in given_]
    combined = rule.combine(answers, numeric=True)
    values = [value for value, _ in given_]
    room = 1e-9 * max(1.0, *map(abs, values))
    assert min(values) - room <= json.loads(combined.output) <= max(values) + room
    assert combined.agreement is not None
    assert 0 <= combined.agreement <= 1


def test_scores_over_other_classes_are_votes() -> None:
    one = MemberAnswer(b"0", struct.pack("<2d", 0.6, 0.4), (b"0", b"1"))
    other = MemberAnswer(b"1", struct.pack("<2d", 0.9, 0.1), (b"1", b"0"))
    combined = WeightedCombination((1.0, 2.0)).combine([one, other], numeric=False)
    assert (combined.output, combined.scores) == (b"1", None)


def test_a_whole_number_is_the_same_class_however_it_is_written() -> None:
    answers = [MemberAnswer(b"1.0"), MemberAnswer(b"1"), MemberAnswer(b"0")]
    combined = WeightedCombination((1.0, 1.0, 1.5)).combine(answers, numeric=False)
    assert combined.output == b"1"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(0, 1))
def test_a_stage_is_as_sure_as_its_highest_score(scores: list[float], least: float) -> None:
    answer = MemberAnswer(b"0", struct.pack(f"<{len(scores)}d", *scores))
    assert is_sure(Stage("m:1", least), answer) == (max(scores) >= least)
    assert is_sure(Stage("m:1"), answer)
    assert not is_sure(Stage("m:1", least), MemberAnswer(b"0"))


def test_all_members_and_all_stages_are_versions_of_the_route() -> None:
    members = ["m:1", "m:2", "n:1"]
    ensemble = parse({"kind": "ensemble", "members": members, "combine": "mean"})
    assert ensemble.versions() == ensemble.choose(None, 0.5).members == tuple(members)
    stages = [{"version": "m:1", "accept_at": 0.9}, {"version": "m:2"}]
    cascade = parse({"kind": "cascade", "stages": stages})
    assert cascade.versions() == ("m:1", "m:2")
    assert cascade.choose(None, 0.5).stages == (Stage("m:1", 0.9), Stage("m:2"))
