"""The demo's first act as somebody on call sees it: the whole service, its real data, a browser."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from leadsman.demo.stage import staged
from tests.support.browser import NEEDS_CHROMIUM, chromium, visit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_CHROMIUM]

PROPOSE = {"MONITOR_REMEDY_MODE": "propose"}


def test_from_the_bad_release_to_the_rollback_and_into_the_record(tmp_path: Path) -> None:
    with (
        staged(tmp_path / "demo", speed=300, until=10_400, extra=PROPOSE) as stage,
        chromium() as browser,
    ):
        where = stage.service.connection
        with visit(browser, where.monitor_url) as one:
            page = one.page
            one.sign_in(str(where.key))
            expect(page.get_by_role("link", name="electricity")).to_be_visible()
            stage.begin()
            # The page is not touched: it tells of the alarm by itself.
            expect(page.get_by_text("is in alarm.")).to_be_visible(timeout=90_000)
            expect(page.locator("#verdict")).to_contain_text("1 remedy waits for your approval")
            page.get_by_role("link", name="market:v2 errs more than market:v1").first.click()
            expect(page.get_by_text("roll back from market:v2 to market:v1")).to_be_visible()
            page.get_by_role("button", name="Approve…").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_label("Reason").fill("v2 reads the price in another unit")
            dialog.get_by_role("button", name="Approve").click()
            expect(dialog).not_to_be_attached()
            expect(page.get_by_text("acted", exact=True).first).to_be_visible(timeout=60_000)

            # It acts by itself from here on; the application tells when traffic is back.
            page.get_by_role("link", name="electricity").first.click()
            expect(page.get_by_text("Revision 3: market:v1 answers")).to_be_visible(timeout=60_000)
            stage.finish()
            marks = page.get_by_text("on the axis of time")
            marks.click()
            for title in ("revision 3 (rollback)", "remedy 1: roll_back acted"):
                expect(page.get_by_text(title)).to_be_visible()

            # Act again by hand: traffic goes to what answered before, and the reason is kept.
            page.get_by_role("button", name="Roll back…").click()
            page.get_by_role("dialog").get_by_label("Reason").fill("a drill")
            page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
            told = page.locator(".toast, dialog .error").filter(has_text="roll").first
            expect(told).to_be_visible(timeout=60_000)
            page.keyboard.press("Escape")

            page.get_by_role("link", name="Models").click()
            expect(page.get_by_role("link", name="market", exact=True)).to_be_visible()
            page.get_by_label("Id of the prediction").fill(stage.traffic.ids[0])
            page.get_by_role("button", name="Look up").click()
            expect(page.get_by_role("link", name="market:v1")).to_be_visible()
            expect(page.get_by_role("heading", name="Label")).to_be_visible()
            expect(page.get_by_text("nsw_demand")).to_be_visible()
            expect(page.get_by_text("No label came yet.")).not_to_be_attached()
            page.get_by_label("Id of the prediction").fill("01a21303-0000-7000-8000-000000000000")
            page.get_by_role("button", name="Look up").click()
            expect(page.get_by_role("alert").filter(has_text="rediction")).to_be_visible()

            # A key is shown once, and one that may only read signs in with it.
            one.open("#/settings")
            page.get_by_label("Name of a new key").fill("a visitor")
            page.get_by_role("button", name="Make key").click()
            key = page.locator("#secret").inner_text()
            page.reload()
            expect(page.get_by_text("a visitor")).to_be_visible()
            expect(page.get_by_text(key)).not_to_be_attached()
        with visit(browser, where.monitor_url, key=key) as reader:
            reader.open("#/applications/electricity")
            expect(reader.page.get_by_text("a visitor, reads")).to_be_visible()
            expect(reader.page.get_by_role("button", name="Roll back…")).not_to_be_attached()
