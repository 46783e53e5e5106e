"""The demo's first act as somebody on call sees it: the whole service, its real data, a browser,
and what a real Prometheus and Grafana's role for the record were told of it."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from dashboards import rules
from leadsman.demo.stage import Stage, staged
from tests.support.browser import NEEDS_CHROMIUM, chromium, visit
from tests.support.http_server import http_server
from tests.support.panels import empty_panels, empty_statements
from tests.support.prometheus import Prometheus, needed, prometheus
from tests.support.service import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), NEEDS_CHROMIUM]

SETTINGS = {"MONITOR_REMEDY_MODE": "propose", "MONITOR_FIGURES_PAUSE": "PT1S"}
PROGRAMS = ("prometheus", "prometheus-alertmanager")
VERSIONS = ("market:v1", "market:v2")
NOT_PLAYED = {
    "Leadsman / Fleet / Labels in time",
    "Leadsman / Application / Labels in time",
    "Leadsman / Application / Default answers by reason",
    "Leadsman / Serving health / Default answers by reason",
    "Leadsman / Serving health / Answers kept",
    "Leadsman / Serving health / Memory of kept answers",
    "Leadsman / Serving health / Answers together",
    "Leadsman / Serving health / Agreement of ensembles",
    "Leadsman / Drift / Faulty values",
    "Leadsman / Monitor health / Attempts to deliver",
    "Leadsman / Monitor health / Remedies that wait",
    "Leadsman / Monitor health / Watches that cannot alarm",
    "Leadsman / Monitor health / Budget of an application",
}
"""What half a minute with one model does not bring about: an hour of labels, default answers, a
cache, ensembles, webhooks, a budget of its own. `tests/integration/dashboards` does."""


@contextmanager
def scraped(stage: Stage, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus beside the demo."""
    folder.mkdir()
    where = stage.service.connection
    targets = {
        rules.SERVING_JOB: where.serving_url.removeprefix("http://").rstrip("/"),
        rules.MONITOR_JOB: where.monitor_url.removeprefix("http://").rstrip("/"),
    }
    with (
        http_server(lambda _call: (200, {})) as receiver,
        prometheus(folder, targets, receiver.url) as made,
    ):
        wait_until(lambda: len(made.query("up == 1")) == len(targets))
        yield made


def test_from_the_bad_release_to_the_rollback_and_into_the_record(tmp_path: Path) -> None:
    with (
        ExitStack() as stack,
        staged(tmp_path / "demo", speed=300, until=10_400, extra=SETTINGS) as stage,
    ):
        asked = None
        if all(map(shutil.which, PROGRAMS)):
            asked = stack.enter_context(scraped(stage, tmp_path / "prometheus"))
        _act(stage)
        if asked is None:
            needed(*PROGRAMS)
            return
        # Every panel and every statement finds what the act made, but for what it never does. Its
        # alert may be over by now.
        empty = empty_panels(asked, ["electricity"], VERSIONS, within="10m")
        database = (stage.service.data_dir / "database_url").read_text().strip()
        empty += asyncio.run(empty_statements(database, ["electricity"], VERSIONS))
        assert [one for one in empty if one[0] not in NOT_PLAYED] == []


def _act(stage: Stage) -> None:
    where = stage.service.connection
    with chromium() as browser:
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
