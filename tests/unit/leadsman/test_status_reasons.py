"""`leadsman status` says why a watch does not test."""

from leadsman.commands.status import merged_segments, not_testing

LEARNING = "learning: 75 of 500 rows"


def watch(
    name: str, subject: str, status: str, reason: str | None, **more: object
) -> dict[str, object]:
    told = {"watch": name, "subject": subject, "versions": "v2", "in_service": True}
    return told | {"status": status, "status_reason": reason} | more


def test_each_reason_is_told_once_with_the_watches_that_give_it() -> None:
    told = not_testing(
        [
            watch("loss", "7", "armed", None),
            watch("loss", "7|region=LI", "learning", LEARNING),
            watch("score", "7", "learning", LEARNING),
            watch("loss_rollback", "7", "refused", "Set block to 1440."),
            watch("loss", "6", "learning", LEARNING, in_service=False),
        ]
    )
    assert list(told) == [
        "  learning, loss of v2 (region=LI), score of v2: 75 of 500 rows",
        "  refused, loss_rollback of v2: Set block to 1440.",
    ]


def test_where_segments_are_merged_segments_is_told_of_versions_in_service() -> None:
    told = {"watch": "loss_by_shop", "versions": "v2 where shop=OTHER", "note": "Tested together."}
    lines = [told | {"in_service": True}, told | {"in_service": False}]
    assert list(merged_segments([*lines, told | {"in_service": True, "note": None}])) == [
        "  loss_by_shop of v2 where shop=OTHER: Tested together."
    ]
