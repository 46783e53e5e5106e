"""The console in a real browser, on the real monitor and a made record."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

import dashboards
from monitor.settings import Mode, Settings
from tests.support.monitor_api import monitor_api
from tests.support.stories import Model, Story

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CONSOLE = Path(dashboards.__file__).parent / "console"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


@contextmanager
def page_of(url: str, key: str = "admin") -> Iterator[Page]:
    """A browser that is signed in at a monitor of the record; faults of the page fail the test."""
    settings = Settings(database_url=url, console_dir=CONSOLE, remedy_mode=Mode.PROPOSE)
    with monitor_api(settings) as client, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(error.stack or str(error)))
        page.goto(str(client.base_url))
        page.get_by_label("API key").fill(f"lsm_{key}")
        page.get_by_role("button", name="Sign in").click()
        yield page
        browser.close()
        assert not faults


async def _bad_release(url: str) -> None:
    story = Story(url, mode=Mode.PROPOSE)
    story.models = {1: Model(0.05), 2: Model(0.3)}
    await story.begin(reference=3000)
    await story.live(6)
    await story.release(2, 1)
    await story.live(4)


def test_from_the_alarm_in_the_fleet_to_an_approved_remedy(database: str) -> None:
    asyncio.run(_bad_release(database))
    with page_of(database) as page:
        expect(page.get_by_text("1 application of 1 in alarm")).to_be_visible()
        page.get_by_role("link", name="loans").click()
        expect(page.get_by_role("heading", name="Loss over time")).to_be_visible()
        page.get_by_role("link", name="loan:2 errs more").click()
        page.get_by_role("button", name="Approve").click()
        page.get_by_role("dialog").get_by_role("button", name="Approve").click()
        expect(page.get_by_text("Approve: done")).to_be_attached()
        told = page.get_by_text("approved by admin").first
        expect(told).to_be_visible()
        # The link that the alert's text carries leads to the same view.
        page.goto(page.url.split("#")[0] + "?application=loans&alert=1")
        expect(page.get_by_role("heading", name="loan:2 errs more")).to_be_visible()


def test_a_read_key_sees_and_cannot_act_and_a_wrong_one_is_refused(database: str) -> None:
    with page_of(database, "reader") as page:
        expect(page.get_by_text("No application yet.")).to_be_visible()
        page.get_by_role("link", name="Settings").click()
        expect(
            page.get_by_text("Webhooks and keys are shown to keys with scope admin")
        ).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("API key").fill("lsm_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("This key is not in force.")
