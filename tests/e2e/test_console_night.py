"""A night on call in a real browser: the alarm, the remedy that waits, each answer to it."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, expect

from monitor.alerts.detail import anchor
from monitor.alerts.kinds import KINDS
from tests.support.browser import NEEDS_CHROMIUM, Visit, visit
from tests.support.consoles import aside, bad_release, console_of
from tests.support.stories import REGIONS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def night(module_database: str) -> Iterator[tuple[str, str, Browser]]:
    """A record with an alarm and a remedy that waits: the database, the monitor, a browser."""
    asyncio.run(bad_release(module_database, segments="context.region"))
    with console_of(module_database) as (base, browser):
        yield module_database, base, browser


def _undecided(url: str) -> None:
    """Let the remedy wait again, and its alert fire."""
    aside(url, "UPDATE remedies SET state = 'proposed', state_reason = NULL WHERE id = 1")
    aside(url, "UPDATE alerts SET state = 'firing', resolved_at = NULL WHERE id = 1")


def test_a_remedy_that_is_rejected_is_not_done_and_its_alert_is_closed_by_hand(
    night: tuple[str, str, Browser],
) -> None:
    database, base, browser = night
    _undecided(database)
    with visit(browser, base, key="lsm_admin") as one:
        page = one.page
        one.open("#/incidents/1")
        expect(page.get_by_text("The monitor proposes to roll back from loan:2")).to_be_visible()
        page.get_by_role("button", name="Reject…").click()
        dialog = page.get_by_role("dialog", name="Reject remedy 1?")
        dialog.get_by_label("Reason").fill("the labels were wrong")
        dialog.get_by_role("button", name="Reject").click()
        expect(page.get_by_text("The monitor proposes")).not_to_be_attached()
        expect(page.get_by_role("cell").filter(has_text="rejected").first).to_be_visible()
        expect(page.get_by_text("the labels were wrong").first).to_be_visible()

        page.get_by_role("button", name="Resolve…").click()
        dialog = page.get_by_role("dialog", name="Resolve")
        dialog.get_by_role("button", name="Resolve").click()
        expect(dialog).to_be_visible()  # it asks for a reason
        dialog.get_by_label("Reason").fill("labels are mended")
        dialog.get_by_role("button", name="Resolve").click()
        expect(page.locator("h1 + p .pill.resolved")).to_be_visible()
        expect(page.get_by_role("button", name="Acknowledge…")).not_to_be_attached()
        # Whoever looks at the fleet sees that it is over.
        page.get_by_role("link", name="Fleet").first.click()
        expect(page.locator("#verdict")).to_contain_text("Nothing is wrong")


def test_by_keyboard_alone_from_the_door_to_an_approved_remedy(
    night: tuple[str, str, Browser],
) -> None:
    database, base, browser = night
    _undecided(database)
    with visit(browser, base) as one:
        page = one.page
        page.get_by_label("API key").wait_for()
        page.keyboard.type("lsm_admin")
        page.keyboard.press("Enter")
        expect(page.get_by_text("1 of 1 application is in alarm")).to_be_visible()
        _tab_to(one, "loan:2 errs more")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Approve…")).to_be_visible()
        _tab_to(one, "Approve…")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
        page.keyboard.type("it errs on every row")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text("approved by admin").first).to_be_visible()


def _tab_to(one: Visit, text: str) -> None:
    """Press Tab until a link or button that says this has the focus, and shows that it has."""
    for _ in range(60):
        one.page.keyboard.press("Tab")
        here = "document.activeElement.matches('a, button') && document.activeElement.textContent"
        if text in (one.page.evaluate(here) or ""):
            ring = one.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert ring == "solid"
            return
    raise AssertionError(f"expected {text!r} to be reached by Tab")


def test_parts_of_the_traffic_stand_apart_the_worst_first(
    night: tuple[str, str, Browser],
) -> None:
    _database, base, browser = night
    with visit(browser, base, key="lsm_reader") as one:
        one.open("#/applications/loans")
        rows = one.page.get_by_role("region", name="Segments").locator("tbody tr")
        expect(rows).to_have_count(6)  # three regions of each of the two versions
        told = [row.get_by_role("cell").all_inner_texts() for row in rows.all()]
        assert {cells[0] for cells in told} == {
            f"region = {region}\nloan:{version}" for version in (1, 2) for region in REGIONS
        }
        means = [float(cells[2].split()[0]) for cells in told]
        assert means == sorted(means, reverse=True)
        # Each with its interval, and as many labels as it was made from.
        assert all(" to " in cells[2] for cells in told)
        assert all(int(cells[5]) > 0 for cells in told)
        assert "loan:2" in told[0][0]


def test_a_link_that_was_sent_shows_what_its_sender_saw(
    night: tuple[str, str, Browser],
) -> None:
    _database, base, browser = night
    with visit(browser, base) as one:
        page = one.page
        # Whoever follows it signs in first, and is there.
        page.goto(f"{base}/#/?q=loan&state=alarm")
        one.sign_in("lsm_reader")
        expect(page.get_by_label("Filter applications")).to_have_value("loan")
        expect(page.locator(".tile[aria-current]")).to_have_text("1in alarm")
        one.open("#/?q=nobody")
        expect(page.get_by_text("No application is like that.")).to_be_visible()
        ranges = page.get_by_role("navigation", name="Stretch of time")
        one.open("#/applications/loans?range=6h&evidence=loss_difference")
        expect(ranges.locator("[aria-current]")).to_have_text("6h")
        expect(page.get_by_label("Of", exact=True)).to_have_value("loss_difference")
        whole = page.evaluate(
            "fetch('/v1/applications/loans/plots/loss', {headers: {Authorization:"
            " `Bearer ${sessionStorage.getItem('leadsman-key')}`}}).then(a => a.json())"
        )
        start = datetime.fromisoformat(whole["start"]) + timedelta(hours=1)
        stretch = [start, start + timedelta(minutes=30)]
        link = "&".join(
            f"{name}={at:%Y-%m-%dT%H:%M:%S}Z"
            for name, at in zip(("from", "to"), stretch, strict=True)
        )
        one.open(f"#/applications/loans?{link}")
        told = f"{stretch[0]:%Y-%m-%d %H:%M} to {stretch[1]:%Y-%m-%d %H:%M} UTC"
        expect(page.get_by_text(told)).to_be_visible()
        expect(ranges.locator("[aria-current]")).to_have_count(0)
        one.open("#/settings?application=loans")
        expect(page.get_by_role("group", name="Watches of loans")).to_be_visible()
        one.open("#/runbook/alert-loss")
        expect(page.locator("#alert-loss")).to_be_focused()


def test_an_alarm_on_the_axis_of_time_leads_to_its_incident(
    night: tuple[str, str, Browser],
) -> None:
    _database, base, browser = night
    with visit(browser, base, key="lsm_reader") as one:
        page = one.page
        one.open("#/applications/loans")
        chart = page.get_by_role("region", name="Loss over time").locator(".u-over")
        box = chart.bounding_box()
        assert box is not None
        for x in range(2, int(box["width"]), 4):
            page.mouse.move(box["x"] + x, box["y"] + 50)
            if chart.evaluate("over => over.style.cursor") == "pointer":
                break
        expect(page.locator(".readout").first).to_contain_text("(incident ")
        page.mouse.down()
        page.mouse.up()
        expect(page.get_by_role("heading", name="Evidence of the alarm")).to_be_visible()
        number = page.url.rpartition("/")[2]
        # The same without a mouse.
        one.open("#/applications/loans")
        page.get_by_text("on the axis of time").click()
        page.locator(f"#marks a[href='#/incidents/{number}']").first.press("Enter")
        expect(page.get_by_role("heading", name="Evidence of the alarm")).to_be_visible()


def test_commands_in_an_alerts_text_are_typed_and_its_runbook_is_a_link_away(
    night: tuple[str, str, Browser],
) -> None:
    database, base, browser = night
    _undecided(database)
    with visit(browser, base, key="lsm_reader") as one:
        page = one.page
        one.open("#/incidents/1")
        told = page.get_by_role("region", name="What people were told")
        expect(told.locator("code", has_text="leadsman remedies approve 1")).to_be_visible()
        assert "`" not in told.inner_text()
        told.get_by_role("link", name="What to do about loss difference").click()
        expect(page.get_by_role("heading", name="Alert loss difference")).to_be_focused()
        assert page.url.endswith("#/runbook/alert-loss-difference")
        # Every kind of alert has its place there.
        for kind in KINDS:
            place = page.locator(f"#{anchor(kind)}")
            expect(place).to_be_attached()


def test_a_chart_and_its_legend_agree_and_no_label_is_cut(
    night: tuple[str, str, Browser],
) -> None:
    _database, base, browser = night
    with visit(browser, base, key="lsm_reader") as one:
        one.page.evaluate(DRAWN)
        one.open("#/applications/loans")
        section = one.page.get_by_role("region", name="Loss over time")
        section.locator(".u-over").wait_for()
        drawn = {tuple(line) for line in one.page.evaluate("window.drawn")}
        keys = section.locator(".legend li").evaluate_all(
            "all => all.map(li => { const line = li.querySelector('path:first-child');"
            " return line && [li.textContent, line.getAttribute('stroke').toLowerCase(),"
            " line.getAttribute('stroke-dasharray') ?? ''] }).filter(Boolean)"
        )
        levels = [key for key in keys if key[0].startswith(("mean of the reference", "limit"))]
        assert len(levels) >= 2
        for text, colour, pattern in levels:
            assert (colour, pattern) in drawn, (text, drawn)
        # Labels of the axes, from their middle, end before the canvas does.
        cut = one.page.evaluate("window.labels.filter(([right, width]) => right > width)")
        assert cut == []


DRAWN = """() => {
window.drawn = []; window.labels = [];
const made = CanvasRenderingContext2D.prototype;
const {stroke, fillText} = made;
made.stroke = function (...rest) {
  const pattern = this.getLineDash().map((d) => d / devicePixelRatio).join(' ');
  if (typeof this.strokeStyle === 'string') window.drawn.push([this.strokeStyle, pattern]);
  return stroke.apply(this, rest);
};
made.fillText = function (text, x, ...rest) {
  const half = this.textAlign === 'center' ? 0.5 : this.textAlign === 'right' ? 0 : 1;
  const at = this.getTransform().e + x;
  window.labels.push([at + this.measureText(text).width * half, this.canvas.width]);
  return fillText.call(this, text, x, ...rest);
};
}"""
"""Notes what is drawn on a canvas: colour and pattern of lines, where texts end."""
