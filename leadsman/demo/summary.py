"""The end of the demo in a few lines for people."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from leadsman.demo.record import Json


def summary(told: Json) -> RenderableType:
    """Tell a report in words."""
    lines = [
        *_bad_release(told["acts"][0]),
        "",
        *_changed_world(told["acts"][1]),
        *_refusals(told["watches"]),
        "",
        *_record(told),
    ]
    return Panel(Group(*(Text(line) for line in lines)), title="what happened", title_align="left")


def _bad_release(act: Json) -> list[str]:
    lines = [f"Act 1, a bad release, from row {act['onset_row']}:"]
    if act["alarm"] is None:
        return [*lines, "  no alarm"]
    alarm = act["alarm"]
    return [
        *lines,
        f"  alarm at row {act['alarm_row']} after {act['labels_to_alarm']} labels "
        f"({act['rows_to_alarm']} rows), by {alarm['watch']}, unit {alarm['unit']}",
        f"  promise: {_promise(alarm)}",
        f"  remedy: {_remedy(act['remedy'])}; last answer by v2 "
        f"{_figure(act['decision_to_last_bad_answer_ms'])} ms after the decision",
        f"  error before {_figure(act['error_before'])}, during {_figure(act['error_during'])} "
        f"(v1 in the shadow: {_figure(act['error_of_shadow_during'])}), "
        f"after {_figure(act['error_after'])}",
    ]


def _changed_world(act: Json) -> list[str]:
    lines = [f"Act 2, the world changes, from about row {act['onset_row']}:"]
    if act["alarm"] is None:
        return [*lines, "  no alarm yet"]
    alarm = act["alarm"]
    lines += [
        f"  alarm at row {act['alarm_row']} after {act['labels_to_alarm']} labels, by "
        f"{alarm['watch']}, unit {alarm['unit']}; onset estimated at row "
        f"{alarm['onset_row_estimated']}",
        f"  promise: {_promise(alarm)}",
    ]
    for attempt, same in zip(act["attempts"], act["same_rows"], strict=True):
        evidence = attempt["evidence"]
        labels = f" after {evidence['labels']} labels" if evidence else ""
        lines.append(
            f"  {attempt['version']}, trained at row {attempt['trained_at_row']}: "
            f"{attempt['outcome']}{labels}; on the same {same['rows']} rows it errs on "
            f"{_figure(same['error'])}, v1 on {_figure(same['error_of_v1'])}"
        )
    lines += [
        f"  remedy: {_remedy(act['remedy'])}",
        f"  error before {_figure(act['error_before'])}, during {_figure(act['error_during'])}, "
        f"after {_figure(act['error_after'])}",
    ]
    return lines


def _refusals(watches: list[Json]) -> list[str]:
    """What does not watch, and why: the same unit may do to tell people and not to act."""
    reasons = {
        (one["watch"], one["status_reason"]) for one in watches if one["status"] == "refused"
    }
    return [f"  {watch} refuses to arm: {reason}" for watch, reason in sorted(reasons)]


def _record(told: Json) -> list[str]:
    budgets = told["budgets"]
    allowed = budgets["false_alarms_a_market_year"]
    return [
        f"{told['predictions_sent']} answers sent, {told['predictions_recorded']} recorded, "
        f"{told['predictions_lost']} lost, {told['default_answers']} by default; "
        f"{told['feedback_sent']} labels sent, {told['feedback_recorded']} recorded",
        f"{told['false_alarms']} false alarms with a promise before row "
        f"{told['acts'][1]['onset_row']} "
        f"(allowed a market year: {allowed['rollback']:g} rollbacks, {allowed['page']:g} pages; "
        f"{budgets['market_years_played']:g} years played), {told['informing_alarms']} alarms of "
        "detectors without one, which inform only",
        budgets["note"],
        f"{told['wall_seconds']:g} s in all",
    ]


def _promise(alarm: Json) -> str:
    return (
        f"at most {_figure(alarm['budget_a_market_year'])} false alarms a year of the market, and "
        f"{_figure(alarm['head_start'])} once a version, if: {alarm['assumption']}"
    )


def _remedy(remedy: Json | None) -> str:
    if remedy is None:
        return "none"
    outcome = f", {remedy['outcome']}" if remedy["outcome"] else ""
    held = f" ({remedy['state_reason']})" if remedy["state_reason"] else ""
    return f"{remedy['kind']} {remedy['state']}{held}{outcome}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
