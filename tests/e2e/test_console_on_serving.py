"""The console beside a real serving process: models, replicas, predictions, keys, rollbacks."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.browser import NEEDS_CHROMIUM, chromium, visit
from tests.support.serving import FEATURES
from tests.support.watched import Watched, watched

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def service(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(module_database, tmp_path_factory.mktemp("service")) as made:
        made.traffic(requests=20)
        yield made


@pytest.fixture(scope="module")
def browser(service: Watched) -> Iterator[Browser]:
    # Asked for after the service: while there is a browser this thread has a running event loop.
    with chromium() as made:
        yield made


def base(service: Watched) -> str:
    """Where the console is."""
    return str(service.monitor.base_url).rstrip("/")


def test_views_of_what_serving_knows_shut_nobody_out(service: Watched, browser: Browser) -> None:
    row = dict.fromkeys(FEATURES, 0.5)
    asked = service.serving.post("/v1/applications/fraud/predictions", json={"input": row})
    views = {
        "#/models": "m",
        "#/models/m": "slow",
        f"#/predictions/{asked.json()['id']}": "always, by this route",
        "#/predictions/01a21303-22eb-7f68-ab61-405492a3fbd4": "Look up",
        "#/settings": "Name of a new key",
        "#/runbook/alert-loss": "Alert loss difference",
        "#/applications/fraud": "Traffic",
    }
    for scheme, width in (("light", 1280), ("dark", 390)):
        with visit(browser, base(service), key="lsm_admin", scheme=scheme, width=width) as one:
            for view, said in views.items():
                one.open(view)
                expect(one.page.get_by_text(said).first).to_be_visible()
                assert one.barriers() == [], (view, scheme)
                wide = one.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (view, wide)


def test_what_a_replica_wrote_last_is_read_beside_its_version(
    service: Watched, browser: Browser
) -> None:
    with visit(browser, base(service), key="lsm_admin") as one:
        one.open("#/models/m")
        row = one.page.get_by_role("row").filter(has=one.page.get_by_text("slow", exact=True))
        expect(row.get_by_text("ready", exact=True)).to_be_visible()
        expect(row.get_by_text("hasty")).to_be_visible()
        row.get_by_text("last words").click()
        expect(row.get_by_text("weights were read")).to_be_visible()


def test_a_key_is_shown_once_and_one_that_reads_sees_and_cannot_act(
    service: Watched, browser: Browser
) -> None:
    with visit(browser, base(service), key="lsm_admin") as one:
        page = one.page
        one.open("#/settings")
        page.get_by_label("Name of a new key").fill("night shift")
        page.get_by_role("button", name="Make key").click()
        made = page.locator("#secret").inner_text()
        assert made.startswith("lsm_")
        page.get_by_role("button", name="I have kept it").click()
        expect(page.get_by_role("button", name="Revoke night shift")).to_be_visible()
        page.reload()
        expect(page.get_by_role("button", name="Revoke night shift")).to_be_visible()
        assert made not in page.content()

        with visit(browser, base(service), key=made) as reader:
            for view in ("#/applications/market", "#/incidents/1", "#/models/m", "#/settings"):
                reader.open(view)
                expect(reader.page.get_by_text("night shift, reads")).to_be_visible()
                assert reader.page.get_by_role("button").all_inner_texts() == ["Sign out"], view
            # The wire refuses what the page does not offer.
            refused = reader.page.evaluate(
                "fetch('/v1/alerts/1/acknowledge', {method: 'POST', headers: {Authorization:"
                " `Bearer ${sessionStorage.getItem('leadsman-key')}`}}).then(a => a.status)"
            )
            assert refused == 403

            page.get_by_role("button", name="Revoke night shift").click()
            page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
            expect(page.get_by_text("night shift was revoked.").first).to_be_attached()
            reader.page.reload()
            expect(reader.page.get_by_text("This key is not in force.")).to_be_visible()


def test_a_rollback_needs_a_reason_which_stays_in_the_history(
    service: Watched, browser: Browser
) -> None:
    with visit(browser, base(service), key="lsm_admin") as one:
        page = one.page
        one.open("#/applications/fraud")
        expect(page.get_by_text("Revision 2: m:2 answers, m:1 in its shadow")).to_be_visible()
        page.get_by_role("button", name="Roll back…").click()
        dialog = page.get_by_role("dialog", name="Roll fraud back")
        dialog.get_by_role("button", name="Roll back").click()
        expect(dialog).to_be_visible()
        dialog.get_by_label("Reason").fill("it answers the other way round")
        # The first answer is lost on its way: asked again, it does not go one step further.
        page.route("**/rollback", _lose_the_answer, times=1)
        dialog.get_by_role("button", name="Roll back").click()
        expect(dialog.get_by_text("No connection")).to_be_visible()
        dialog.get_by_role("button", name="Roll back").click()
        expect(dialog.get_by_role("alert")).to_contain_text("revision 3")
        dialog.get_by_role("button", name="Cancel").click()
        # The page draws itself anew: nobody reloads it.
        expect(page.get_by_text("Revision 3: m:1 answers alone")).to_be_visible()
        page.get_by_text("on the axis of time").click()
        expect(page.get_by_text("revision 3 (rollback) by admin: m:1")).to_be_visible()
    told = service.serving.get("/v1/applications/fraud/revisions").json()["revisions"]
    assert {one["revision"]: one["reason"] for one in told}[3] == "it answers the other way round"
    assert len(told) == 3


def _lose_the_answer(route: Route) -> None:
    route.fetch()
    route.abort()
