"""A real Chromium for tests of the console; Debian: apt-get install chromium."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    Page,
    Request,
    expect,
    sync_playwright,
)
from playwright.sync_api import (
    TimeoutError as NotSeenError,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None,
    reason="NO CHROMIUM, SO THE CONSOLE IS NOT TESTED: apt-get install chromium (.ci/run does)",
)
WAIT_MS = 60_000
"""Longest wait for anything on a page: test machines are busy."""
expect.set_options(timeout=WAIT_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def drawn(page: Page) -> None:
    """Wait until a view stands on the page."""
    heading = page.locator("main h1")
    try:
        heading.wait_for(timeout=WAIT_MS / 3)
    except NotSeenError:
        # Chromium drops what it fetches where a network of the machine comes or goes, as those of
        # containers do.
        page.reload()
        heading.wait_for()


@dataclass
class Visit:
    """A page, and what went wrong on it."""

    page: Page
    base: str
    faults: list[str] = field(default_factory=list)
    """Errors of scripts, breaches of the policy, requests that left the origin."""

    def sign_in(self, key: str) -> None:
        """Type the key and go in."""
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()

    def open(self, view: str) -> None:
        """Go to a view by its link, as somebody does to whom the link was sent."""
        self.page.goto(f"{self.base}/{view}")
        drawn(self.page)

    def barriers(self) -> list[str]:
        """What axe finds that keeps people out: each with the first element that it is about."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found]


@contextmanager
def visit(
    browser: Browser,
    base: str,
    *,
    key: str | None = None,
    width: int = 1280,
    scheme: str = "light",
) -> Iterator[Visit]:
    """A fresh page at the console, signed in with a key if one is given; it must stay faultless."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    made = Visit(page, base)
    page.on("pageerror", lambda error: made.faults.append(error.stack or str(error)))
    page.on(
        "console",
        lambda said: made.faults.append(said.text) if "Content Security" in said.text else None,
    )

    def asked(request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(base).netloc:
            made.faults.append(f"asked {request.url}")

    page.on("request", asked)
    if key is not None:
        page.add_init_script(f"sessionStorage.setItem('leadsman-key', {json.dumps(key)})")
    page.goto(f"{base}/")
    drawn(page)
    try:
        yield made
    finally:
        context.close()
    assert not made.faults
