"""From the JSON of a route to its policy."""

from collections.abc import Callable, Mapping
from typing import Any

from serving.errors import FieldError, InvalidPolicyError, shown
from serving.policies import custom
from serving.policies.bandit import Learner
from serving.policies.base import Policy
from serving.policies.canary import Canary
from serving.policies.cascade import Cascade
from serving.policies.ensemble import Ensemble, WeightedCombination
from serving.policies.exp3 import Exp3
from serving.policies.exp4 import Exp4
from serving.policies.fields import MOST_VERSIONS, Fields
from serving.policies.shadow import Shadow
from serving.policies.single import Single

FLOOR = 0.02
"""Smallest probability of an arm unless stated; half of an even split where that is less."""


def _single(policy: Mapping[str, Any]) -> Policy:
    fields = Fields(policy, ("champion",))
    champion = fields.ref("champion")
    fields.done()
    return Single(champion)


def _canary(policy: Mapping[str, Any]) -> Policy:
    fields = Fields(policy, ("champion", "challenger", "share", "ramp", "sticky_by"))
    champion, challenger = fields.ref("champion"), fields.ref("challenger")
    fields.different("challenger", champion, (challenger,))
    share = fields.split(salt=challenger)
    fields.done()
    return Canary(champion, challenger, share)


def _shadow(policy: Mapping[str, Any]) -> Policy:
    fields = Fields(policy, ("champion", "challengers", "share", "ramp", "sticky_by"))
    champion, challengers = fields.ref("champion"), fields.refs("challengers")
    fields.different("challengers", champion, challengers)
    share = fields.split(salt=",".join(challengers), default=1.0)
    fields.done()
    return Shadow(champion, challengers, share)


def _ensemble(policy: Mapping[str, Any]) -> Policy:
    fields = Fields(
        policy, ("members", "combine", "weights", "min_agreement", "min_members", "tolerance")
    )
    members = fields.refs("members", least=2)
    combine = fields.one_of("combine", ("mean", "vote", "weighted"))
    weights = tuple(1.0 for _ in members)
    if combine == "weighted":
        weights = fields.weights("weights", members)
    elif "weights" in policy:
        fields.wrong("weights", 'no weights unless combine is "weighted"')
    combination = WeightedCombination(
        weights,
        by_vote=combine == "vote",
        min_members=fields.count("min_members", 1, len(members)),
        min_agreement=fields.share("min_agreement", 0.0),
        tolerance=fields.positive("tolerance"),
    )
    fields.done()
    return Ensemble(members, combination)


def _cascade(policy: Mapping[str, Any]) -> Policy:
    fields = Fields(policy, ("stages",))
    stages = fields.stages("stages")
    fields.done()
    return Cascade(stages)


def _learner(make: Callable[..., Learner]) -> Callable[[Mapping[str, Any]], Policy]:
    def parse_one(policy: Mapping[str, Any]) -> Policy:
        fields = Fields(policy, ("arms", "floor", "state_by", "loss_scale"))
        arms = fields.refs("arms", least=2)
        floor = fields.floor("floor", FLOOR, len(arms))
        state_by, loss_scale = fields.text("state_by"), fields.positive("loss_scale")
        fields.done()
        made = make(arms, floor, state_by, loss_scale)
        assert isinstance(made, Policy), "each learner chooses"
        return made

    return parse_one


def _thompson(*settings: Any) -> Learner:
    # Only a route of this kind pays for scipy, in the time to start and in the memory of a worker.
    from serving.policies.thompson import Thompson

    return Thompson(*settings)


def _custom(policy: Mapping[str, Any]) -> Policy:
    path = policy.get("class")
    if not isinstance(path, str) or ":" not in path:
        expected = 'a class as "package.module:Class"'
        raise InvalidPolicyError([FieldError("/policy/class", expected, shown(path))])
    options = {name: value for name, value in policy.items() if name not in ("kind", "class")}
    try:
        made = custom.load(path, options)
    except ValueError as error:
        expected = "a class that makes a policy"
        raise InvalidPolicyError([FieldError("/policy/class", expected, str(error))]) from error
    if (count := len(made.versions())) > MOST_VERSIONS:
        expected = f"a policy of at most {MOST_VERSIONS} versions"
        raise InvalidPolicyError([FieldError("/policy/class", expected, f"{count}")])
    return made


LEARNERS: dict[str, Callable[..., Learner]] = {"exp3": Exp3, "exp4": Exp4, "thompson": _thompson}
"""Kinds that learn from feedback."""

_KINDS: dict[str, Callable[[Mapping[str, Any]], Policy]] = {
    "single": _single, "canary": _canary, "shadow": _shadow, "ensemble": _ensemble,
    "cascade": _cascade, **{kind: _learner(make) for kind, make in LEARNERS.items()},
    "custom": _custom,
}  # fmt: skip


def parse(policy: Any) -> Policy:
    """Make a policy from its JSON.

    Raises
    ------
    InvalidPolicyError
        With every field that is wrong; paths begin with `/policy`.
    """
    if not isinstance(policy, Mapping):
        raise InvalidPolicyError([FieldError("/policy", "an object", shown(policy))])
    kind = policy.get("kind")
    make = _KINDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        received = shown(kind) if "kind" in policy else "nothing"
        expected = f"one of {', '.join(_KINDS)}"
        raise InvalidPolicyError([FieldError("/policy/kind", expected, received)])
    return make(policy)
