"""Take the pictures in docs/screenshots anew: ``make screenshots`` (about three minutes).

The whole service runs with the demo's real data; a bad version is released, the alarm comes, the
remedy that is proposed is approved on the page, and a real Chromium (Debian: apt-get install
chromium) takes the pictures on the way. The pictures of many applications, and of none, are of
records that were made up.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fleet_pages
import httpx
from playwright.sync_api import Browser, Error, Page, sync_playwright

from leadsman.connection import Connection
from leadsman.demo.stage import Stage, staged

FOLDER = Path(__file__).parent / "screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
SPEED = 40
"""Rows a second: half a minute of quiet before the bad version, and as much after it."""
UNTIL = 10_800
SETTINGS = {"MONITOR_REMEDY_MODE": "propose", "MONITOR_SERIES_STEP": "PT2S"}
PATIENCE_MS = 120_000
SETTLED_MS = 900
"""Until charts are drawn and fonts are there."""
MOST_BYTES, MOST_OF_ONE = 3_000_000, 400_000
"""Of all pictures together, and of one: they are part of every clone."""
SEGMENTS = {
    "application": "electricity",
    "name": "loss_by_time_of_day",
    "signal": "loss",
    "detector": "bounded-mean",
    "tier": "info",
    "settings": {
        "segments": {"by": "feature.period", "edges": [0.25, 0.5, 0.75]},
        "block": 8,
        "limit": 0.5,
    },
}
"""A watch of the loss by quarter of the day, as `leadsman watches apply` would make it; its limit
is wide, since an alarm about the version before would hold the rollback back."""
WIDE, PHONE = 1280, 390
"""Pixels across."""


class Camera:
    """Opens views of the console and takes pictures of them."""

    def __init__(self, browser: Browser, where: Connection) -> None:
        self._browser = browser
        self._where = where

    def page(
        self, *, width: int = WIDE, height: int = 800, dark: bool = False, key: bool = True
    ) -> Page:
        """A page that is signed in, unless without a key."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE_MS)
        made = context.new_page()
        if key:
            made.add_init_script(f"sessionStorage.setItem('leadsman-key', '{self._where.key}')")
        return made

    def open(self, page: Page, view: str) -> None:
        """Go to a view and wait until it is drawn."""
        # Chromium drops what it fetches where a network of the machine comes or goes: once more.
        for patience in (15_000, 15_000, PATIENCE_MS):
            try:
                page.goto(f"{self._where.monitor_url}/livez")
                page.goto(f"{self._where.monitor_url}/{view}")
                page.locator("main h1").wait_for(timeout=patience)
                break
            except Error:
                if patience == PATIENCE_MS:
                    raise

    def shoot(self, page: Page, name: str, part: str | None = None) -> None:
        """Take a picture of what a page shows, or of the part that a selector names."""
        page.wait_for_timeout(SETTLED_MS)
        target = FOLDER / f"{name}.png"
        (page if part is None else page.locator(part)).screenshot(path=target)
        print(f"{name}.png {target.stat().st_size // 1000} kB", file=sys.stderr)

    def take(
        self,
        name: str,
        view: str,
        *,
        width: int = WIDE,
        height: int = 800,
        dark: bool = False,
        key: bool = True,
        part: str | None = None,
    ) -> None:
        """Take a picture of a view, or of the part of it that a selector names."""
        page = self.page(width=width, height=height, dark=dark, key=key)
        self.open(page, view)
        self.shoot(page, name, part)
        page.context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SystemExit("expected chromium on the path; Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def act(stage: Stage, camera: Camera) -> None:
    """Let the first act happen, and take its pictures."""
    # One page all along: what is seen moves on within seconds.
    onlooker = camera.page(height=440)
    camera.open(onlooker, "#/")
    stage.begin()
    onlooker.get_by_text("is in alarm.").wait_for()
    camera.shoot(onlooker, "fleet")
    onlooker.get_by_role("link", name="errs more than market:v1").first.click()
    onlooker.get_by_role("button", name="Approve…").wait_for()
    onlooker.set_viewport_size({"width": WIDE, "height": 1000})
    camera.shoot(onlooker, "incident")
    onlooker.set_viewport_size({"width": PHONE, "height": 844})
    onlooker.emulate_media(color_scheme="dark")
    camera.shoot(onlooker, "incident-narrow-dark")
    onlooker.set_viewport_size({"width": WIDE, "height": 800})
    onlooker.emulate_media(color_scheme="light")
    onlooker.wait_for_timeout(SETTLED_MS)
    onlooker.get_by_role("button", name="Approve…").click()
    dialog = onlooker.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("v2 reads the price in another unit")
    camera.shoot(onlooker, "approve")
    dialog.get_by_role("button", name="Approve").click()
    onlooker.get_by_text("recovered", exact=True).first.wait_for()
    stage.finish()
    onlooker.wait_for_timeout(3_000)
    onlooker.context.close()


def look(stage: Stage, camera: Camera) -> None:
    """Take the pictures of what the act left behind."""
    camera.take("application", "#/applications/electricity", height=1300)
    camera.take("application-dark", "#/applications/electricity", height=1300, dark=True)
    camera.take("application-narrow", "#/applications/electricity", width=PHONE, height=844)
    for name, part in (("watches", "h-watches"), ("segments", "h-segments")):
        section = f"section[aria-labelledby={part}]"
        camera.take(name, "#/applications/electricity", part=section)
    camera.take("features-dark", "#/applications/electricity", dark=True,
                part="section[aria-labelledby=h-features]")  # fmt: skip
    camera.take("models", "#/models", height=440)
    camera.take("prediction", f"#/predictions/{stage.traffic.ids[1_000]}", height=900)
    camera.take("settings", "#/settings", height=1000)
    camera.take("settings-narrow-dark", "#/settings", width=PHONE, height=844, dark=True)
    camera.take("runbook", "#/runbook/alert-loss-difference", height=560)


def demo() -> None:
    """Play on the whole service."""
    with (
        tempfile.TemporaryDirectory(prefix="leadsman-screenshots-") as folder,
        staged(Path(folder) / "demo", speed=SPEED, until=UNTIL, extra=SETTINGS) as stage,
    ):
        where = stage.service.connection
        url = f"{where.monitor_url}/v1/watches"
        headers = {"Authorization": f"Bearer {where.key}"}
        httpx.post(url, json=SEGMENTS, headers=headers, trust_env=False).raise_for_status()
        with chromium() as browser:
            camera = Camera(browser, where)
            act(stage, camera)
            look(stage, camera)


def fleets() -> None:
    """Look at fleets that were made up: none, 200 applications, all of them in alarm."""
    with fleet_pages.postgres() as url:
        fleet_pages.fill(url, fleet_pages.none)
        with fleet_pages.console(url) as where, chromium() as browser:
            camera = Camera(browser, where)
            camera.take("sign-in", "#/", height=480, key=False)
            camera.take("fleet-empty", "#/", height=540)
            camera.take("fleet-empty-narrow-dark", "#/", width=PHONE, height=844, dark=True)
        fleet_pages.fill(url, fleet_pages.many)
        with fleet_pages.console(url) as where, chromium() as browser:
            camera = Camera(browser, where)
            camera.take("fleet-200", "#/")
            camera.take("fleet-200-dark", "#/", dark=True)
            camera.take("fleet-200-narrow", "#/", width=PHONE, height=844)
        fleet_pages.fill(url, fleet_pages.all_in_alarm)
        with fleet_pages.console(url) as where, chromium() as browser:
            camera = Camera(browser, where)
            camera.take("fleet-in-alarm", "#/")
            camera.take("fleet-in-alarm-narrow-dark", "#/", width=PHONE, height=844, dark=True)


def main() -> None:
    """Take all pictures, or those of one part, and see that they stay small."""
    FOLDER.mkdir(exist_ok=True)
    parts = {"demo": demo, "fleets": fleets}
    for name in sys.argv[1:] or parts:
        parts[name]()
    sizes = {one.name: one.stat().st_size for one in FOLDER.glob("*.png")}
    print(f"{sum(sizes.values()) / 1e6:.2f} MB in all", file=sys.stderr)
    large = [name for name, size in sizes.items() if size > MOST_OF_ONE]
    if large or sum(sizes.values()) > MOST_BYTES:
        raise SystemExit(
            f"expected at most {MOST_BYTES:,} bytes of pictures and {MOST_OF_ONE:,} of one, made "
            f"{sum(sizes.values()):,}; too large: {', '.join(large) or 'none'}"
        )


if __name__ == "__main__":
    main()
