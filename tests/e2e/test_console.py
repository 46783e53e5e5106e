"""The console in a real browser on the real monitor: what is shown, who may act, who can use it."""

import asyncio
import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import expect

from tests.support.browser import NEEDS_CHROMIUM, Visit, chromium, visit
from tests.support.consoles import CONSOLE, aside, bad_release, console_of, settings_of
from tests.support.monitor_api import add_keys, listening
from tests.support.postgres import execute
from tests.support.service import free_ports

VIEWS = (
    "#/", "#/applications/loans", "#/incidents/1", "#/settings", "#/webhooks/1", "#/models",
    "#/runbook", "#/nowhere",
)  # fmt: skip

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), NEEDS_CHROMIUM]


QUIET = (
    "INSERT INTO applications (id, name, task, latency_objective_ms)"
    " VALUES (1, 'quiet', 'binary', 100)"
)
ALERT = (
    "INSERT INTO alerts (application_id, subject, kind, tier, state, title, detail, opened_at)"
    " VALUES (1, '1', 'loss', 'page', 'firing', 'quiet: it errs', '{}', now())"
)


def _expect_alarm(one: Visit) -> None:
    expect(one.page.get_by_text("1 of 1 application is in alarm")).to_be_visible()


def test_an_alarm_is_seen_followed_decided_and_closed(database: str) -> None:
    asyncio.run(bad_release(database))
    with console_of(database) as (base, browser):
        with visit(browser, base, key="lsm_admin") as one:
            page = one.page
            _expect_alarm(one)
            page.get_by_role("link", name="loan:2 errs more").click()
            expect(page.get_by_role("heading", name="Evidence of the alarm")).to_be_visible()
            expect(page.get_by_role("img", name="Chart of evidence")).to_be_visible()

            # Nothing is done before a reason is given, and what hinders it is said where one is.
            page.get_by_role("button", name="Roll back…").click()
            dialog = page.get_by_role("dialog", name="Roll loans back")
            dialog.get_by_role("button", name="Roll back").click()
            expect(dialog).to_be_visible()
            dialog.get_by_label("Reason").fill("it errs")
            dialog.get_by_role("button", name="Roll back").click()
            expect(dialog.get_by_role("alert")).to_contain_text("erving")  # none runs here
            page.keyboard.press("Escape")
            expect(dialog).not_to_be_attached()

            page.get_by_role("button", name="Silence…").click()
            page.get_by_role("dialog").get_by_label("Reason").fill("known")
            page.get_by_role("dialog").get_by_role("button", name="Silence").click()
            expect(page.get_by_text("Silenced until")).to_be_visible()
            page.get_by_role("button", name="Acknowledge…").click()
            page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
            expect(page.get_by_text("acknowledged", exact=True)).to_be_visible()

            page.get_by_role("button", name="Approve…").click()
            page.get_by_role("dialog").get_by_role("button", name="Approve").click()
            expect(page.get_by_text("approved by admin").first).to_be_visible()
            expect(page.get_by_text("proposes to")).not_to_be_attached()

            # The link that the alert's text carries leads to the same view.
            one.open("?application=loans&alert=1")
            expect(page.get_by_role("heading", name="loan:2 errs more")).to_be_visible()

            one.open("#/applications/loans")
            for heading in ("Loss over time", "Evidence of the watches", "Watches", "Traffic"):
                expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
            expect(page.get_by_role("img", name="income: distance")).to_be_visible()
            # A stretch that is drawn over stands in the link.
            chart = page.locator("#h-loss + div + div .u-over").first
            box = chart.bounding_box()
            assert box is not None
            page.mouse.move(box["x"] + 60, box["y"] + 60)
            page.mouse.down()
            page.mouse.move(box["x"] + 260, box["y"] + 80)
            page.mouse.up()
            page.wait_for_url("**from=*&to=*")
            # The ledger tells what the watch was allowed and what came of it.
            one.open("#/settings")
            ledger = page.get_by_role("group", name="Watches of loans")
            account = ledger.get_by_role("row").filter(has_text="loss_difference")
            expect(account.get_by_role("cell").nth(6)).to_have_text("1")
        # Nobody is shut out, in any view: by axe's rules, in both schemes; nor is a page too wide.
        aside(database, "INSERT INTO webhooks (url, secret, tiers) VALUES ('https://a', 's', '[]')")
        for scheme, width in (("light", 1280), ("dark", 390)):
            with visit(browser, base, key="lsm_admin", scheme=scheme, width=width) as one:
                for view in VIEWS:
                    one.open(view)
                    assert one.barriers() == [], (view, scheme)
                    wide = one.page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width, view


def test_the_page_hears_of_an_alert_by_itself(database: str) -> None:
    execute(database, QUIET)
    with console_of(database) as (base, browser), visit(browser, base, key="lsm_reader") as one:
        expect(one.page.get_by_text("Nothing is wrong")).to_be_visible()
        expect(one.page.get_by_text("live", exact=True)).to_be_visible()
        aside(database, ALERT)
        expect(one.page.get_by_text("1 of 1 application is in alarm")).to_be_visible()
        expect(one.page.get_by_role("link", name="it errs")).to_be_visible()
        # Only what the filter names stays, and the link says it.
        one.page.get_by_label("Filter applications").fill("nobody")
        expect(one.page.get_by_text("No application is like that.")).to_be_visible()
        assert one.page.url.endswith("#/?q=nobody")


def test_a_monitor_that_was_away_is_heard_again_and_what_happened_meanwhile_is_shown(
    database: str,
) -> None:
    execute(database, QUIET)
    asyncio.run(add_keys(database))
    settings, port = settings_of(database), free_ports(1)[0]
    with ExitStack() as stack, chromium() as browser:
        base = stack.enter_context(listening(settings, port))
        with visit(browser, base, key="lsm_reader") as one:
            expect(one.page.get_by_text("Nothing is wrong")).to_be_visible()
            expect(one.page.get_by_text("live", exact=True)).to_be_visible()
            stack.close()
            expect(one.page.get_by_text("no connection", exact=True)).to_be_visible()
            expect(one.page.locator("#banner")).to_contain_text("No connection to the monitor")
            aside(database, ALERT)
            stack.enter_context(listening(settings, port))
            # Nobody touches the page.
            expect(one.page.get_by_text("live", exact=True)).to_be_visible()
            _expect_alarm(one)
            expect(one.page.locator("#banner")).not_to_contain_text("No connection")


def test_every_application_of_a_large_fleet_is_there_also_when_it_is_drawn_anew(
    database: str,
) -> None:
    execute(
        database,
        "INSERT INTO applications (id, name, task, latency_objective_ms)"
        " SELECT n, format('app-%s', n), 'binary', 100 FROM generate_series(1, 60) n",
    )
    with console_of(database) as (base, browser), visit(browser, base, key="lsm_reader") as one:
        rows = one.page.locator("tbody tr")
        expect(rows).to_have_count(60)
        aside(database, ALERT)
        expect(one.page.get_by_text("1 of 60 applications is in alarm")).to_be_visible()
        expect(rows).to_have_count(60)
        one.page.get_by_label("Filter applications").fill("app-7")
        expect(rows).to_have_count(1)


def test_a_monitor_that_stands_still_is_noticed_although_it_answers(database: str) -> None:
    stood = (datetime.now(UTC) - timedelta(minutes=20)).isoformat()
    with console_of(database) as (base, browser), visit(browser, base, key="lsm_reader") as one:
        one.page.clock.install()
        now = {"last_turn_at": datetime.now(UTC).isoformat()}
        one.page.route("**/readyz", lambda route: route.fulfill(json=now))
        one.page.reload()
        expect(one.page.get_by_text("live", exact=True)).to_be_visible()
        expect(one.page.locator("#banner")).to_be_hidden()
        now["last_turn_at"] = stood
        one.page.clock.fast_forward(31_000)
        expect(one.page.locator("#banner")).to_contain_text("it sees no new alarm")


def test_a_read_key_sees_and_cannot_act_and_a_wrong_one_is_refused(
    database: str,
) -> None:
    with console_of(database) as (base, browser), visit(browser, base) as one:
        assert one.barriers() == []
        one.sign_in("lsm_wrong")
        expect(one.page.get_by_role("alert")).to_have_text("This key is not in force.")
        one.sign_in("lsm_other")
        expect(one.page.get_by_role("alert")).to_contain_text("needs the scope read")
        one.sign_in("lsm_reader")
        expect(one.page.get_by_text("No application yet.")).to_be_visible()
        one.page.get_by_role("link", name="Settings").click()
        expect(one.page.get_by_text("are shown to keys with scope admin")).to_be_visible()
        assert one.page.get_by_role("button").all_inner_texts() == ["Sign out"]
        one.page.get_by_role("button", name="Sign out").click()
        expect(one.page.get_by_label("API key")).to_be_focused()
        assert one.page.evaluate("sessionStorage.length") == 0


def test_webhooks_are_made_tested_and_sent_to_again(database: str) -> None:
    with console_of(database) as (base, browser), visit(browser, base, key="lsm_admin") as one:
        one.open("#/settings")
        page = one.page
        page.get_by_label("Address").fill("http://127.0.0.1:9/alerts")
        page.get_by_role("button", name="Add webhook").click()
        expect(page.locator("#secret")).to_contain_text("whsec_")
        page.get_by_role("button", name="I have kept it").click()
        expect(page.locator("#secret")).not_to_be_attached()
        page.get_by_role("button", name="Test http://127.0.0.1:9").click()
        page.get_by_role("link", name="Deliveries").click()
        expect(page.get_by_text("webhook.test")).to_be_visible()
        aside(database, "UPDATE deliveries SET state = 'dead'")
        page.reload()
        page.get_by_role("button", name="Redeliver webhook.test").click()
        expect(page.get_by_text("waiting", exact=True)).to_be_visible()


def test_it_is_used_by_keyboard_alone(database: str) -> None:
    with console_of(database) as (base, browser), visit(browser, base) as one:
        page = one.page
        page.keyboard.type("lsm_admin")
        page.keyboard.press("Enter")
        expect(page.get_by_text("No application yet.")).to_be_visible()
        page.locator("body").press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        one.open("#/settings")
        turn = page.get_by_role("button", name="Switch everything off…")
        turn.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
        page.keyboard.press("Escape")
        expect(turn).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.type("a drill")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Turned by admin")).to_be_visible()
        expect(page.get_by_text("a drill")).to_be_visible()


def test_the_page_runs_only_its_own_files_and_says_when_the_monitor_is_away(
    database: str,
) -> None:
    with console_of(database) as (base, browser):
        policy = httpx.get(base, trust_env=False).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        with visit(browser, base, key="lsm_admin") as one:
            one.page.get_by_text("No application yet.").wait_for()
            # An inline script is refused by the browser itself.
            ran = one.page.evaluate(
                "new Promise(done => { const s = document.createElement('script');"
                " s.onerror = () => done('refused'); try { s.text = 'window.ran = 1';"
                " document.head.append(s); } catch { } done(window.ran ? 'ran' : 'refused'); })"
            )
            assert ran == "refused"
            # Every file is read by it without an error.
            names = [path.name for path in (CONSOLE / "js").glob("*.js")]
            read = one.page.evaluate(
                "names => Promise.all(names.map(name => import(`/console/js/${name}`)"
                ".then(made => Object.keys(made).length)))",
                [name for name in names if name != "main.js"],
            )
            assert min(read) > 0
            assert one.faults == []
            one.page.route("**/v1/**", lambda route: route.abort())
            one.page.route("**/readyz", lambda route: route.abort())
            one.page.get_by_role("link", name="Settings").click()
            expect(one.page.get_by_role("heading", name="No connection")).to_be_visible()
            expect(one.page.get_by_role("button", name="Try again")).to_be_visible()
            one.page.unroute_all()
            one.page.get_by_role("button", name="Try again").click()
            expect(one.page.get_by_role("heading", name="Settings")).to_be_visible()
            assert json.loads(one.page.evaluate("JSON.stringify(Object.keys(localStorage))")) == []
