"""Labels that come late or not at all raise alerts that say so; a release raises none."""

import asyncio
from datetime import datetime, timedelta

from tests.support.stories import Story, World

HALF_AN_HOUR, LATER = timedelta(minutes=30), timedelta(hours=2)


def test_later_labels_are_told_and_a_release_is_not_taken_for_them(database: str) -> None:
    async def tell() -> tuple[list[str], datetime, dict[str, str]]:
        story = Story(database)
        await story.begin(reference=1000)
        await story.live(9, World(label_delay=HALF_AN_HOUR))
        # The first labels of the new version are the quick ones, the last of the old the slow ones.
        await story.release(2)
        await story.live(9, World(label_delay=HALF_AN_HOUR))
        steady, since = list(await story.texts()), story.at
        armed = await story.rows(STATES)
        assert [(one["subject"], one["status"]) for one in armed] == [
            ("1", "armed"),
            ("2", "armed"),
        ]
        await story.live(5, World(label_delay=LATER))
        return steady, since, await story.texts()

    steady, since, texts = asyncio.run(tell())
    assert not [kind for kind in steady if kind.startswith("label")]
    lines = texts["label.delay|2"].splitlines()
    assert lines[0] == "INFO: loans: labels of loan:2 come later than before."
    told = datetime.fromisoformat(lines[1].removeprefix("Since when: about ")[:19] + "+00:00")
    assert abs(told - since) < timedelta(minutes=15)
    assert "exchangeable" in lines[2]
    assert lines[3].startswith("How bad: the mean delay in seconds of labels that came within ")
    # Half an hour before; afterwards what came of two hours within the time that is waited for.
    was, now = (float(part.partition(" is " if " is " in part else " was ")[2].split()[0])
                for part in lines[3].split(";"))  # fmt: skip
    assert 1700 < was < 1900
    assert 4000 < now < 7200
    assert not [kind for kind in texts if kind.startswith("label") and not kind.endswith("|2")]


def test_an_alert_about_missing_labels_ends_once_labels_come_again(database: str) -> None:
    async def tell() -> list[list[str]]:
        story, states = Story(database), []
        await story.begin(reference=1000)
        for hours, world in ((8, World()), (3, World(labels=False)), (15, World())):
            await story.live(hours, world)
            alerts = await story.rows("SELECT state FROM alerts WHERE kind = 'label.coverage'")
            states.append([one["state"] for one in alerts])
        assert not await story.rows("SELECT FROM signal_points WHERE signal = 'label.coverage'")
        return states

    assert asyncio.run(tell()) == [[], ["firing"], ["resolved"]]


STATES = """
    SELECT s.subject, s.status FROM watch_states s JOIN watches w ON w.id = s.watch_id
     WHERE w.signal = 'label.delay' ORDER BY 1
"""
