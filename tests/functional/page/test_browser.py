# SPDX-License-Identifier: Apache-2.0
"""The pages in Chromium: legible, accessible, live, and of use without a script."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.page import listening
from tests.installation import npm_package
from tests.length import FULL
from tests.servers import patient, until
from tests.unit.page.content import Content, realistic

selenium = pytest.importorskip("selenium", reason="selenium: pip install 'holdfast[browser]'")

from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

PROGRAMS = ("chromium", "chromedriver")
AXE = "4.14.1"

SCREENS = [(1600, "light"), (360, "dark"), *([(1600, "dark"), (360, "light")] if FULL else [])]
"""Widths and schemes of colours in which every page is looked at."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        pytest.skip(f"there is no {' and no '.join(absent)}: tox -e browser")
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    driver = Chrome(options=options, service=ChromeService(str(shutil.which("chromedriver"))))
    driver.set_page_load_timeout(patient(60))
    driver.set_script_timeout(patient(60))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Content]:
    made = Content(tmp_path_factory.mktemp("browser"))
    made.ids = realistic(made)
    yield made
    made.close()


@pytest.fixture(scope="module")
def site(content: Content) -> Iterator[str]:
    """The address of a listener over the content."""
    with listening.listener(content) as address:
        yield address


def look(browser: Any, address: str, width: int = 1600, scheme: str = "light") -> None:
    """Open a page on a screen of a width, with light or dark colours."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    wanted = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})
    browser.get(address)


def pages(content: Content) -> list[str]:
    ids = content.ids
    return [
        *("/", "/operations?state=all", "/backups", "/rejected", "/nothing", "/find?id=req-"),
        *(f"/operations/{ids[name]}" for name in ("running", "unreverted")),
        f"/resources/volume/{ids['volume']}",
    ]


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_every_page_is_legible_and_accessible(
    browser: Any, site: str, content: Content, width: int, scheme: str
) -> None:
    axe = npm_package("axe-core", AXE)
    script = (axe / "axe.min.js").read_text(encoding="utf-8") if axe else None
    found = {}
    for page in pages(content):
        look(browser, site + page, width, scheme)
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, f"{page} is wider than the screen"
        if script is not None:
            browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
            browser.execute_script(script)
            found[page] = browser.execute_async_script(
                "axe.run(document).then(found => arguments[0](found.violations.map("
                "one => [one.id, one.nodes.map(node => node.html).slice(0, 3)])))"
            )
            browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})

    assert {page: faults for page, faults in found.items() if faults} == {}
    if script is None:
        pytest.skip("nothing but the width was tested: axe-core cannot be installed from npm")


def test_a_page_follows_the_journal_until_it_is_paused(
    browser: Any, site: str, content: Content
) -> None:
    look(browser, f"{site}/")
    until(lambda: "follows" in status(browser), 60, "the stream")
    link = browser.find_element(By.CSS_SELECTOR, "#operations tbody a")
    focused = link.get_attribute("href")
    browser.execute_script("arguments[0].focus()", link)
    flow = content.running(content.volume(status="creating"), 0.5)

    until(lambda: flow in browser.page_source, 60, "the operation to be shown")
    active = browser.execute_script("return document.activeElement.href")
    assert active == focused, "the focus stays where it was"

    button = browser.find_element(By.CSS_SELECTOR, "#live button")
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-pressed") == "true"
    assert status(browser) == "Updates are paused."
    faults = [one for one in browser.get_log("browser") if "favicon" not in one["message"]]
    assert [one for one in faults if "/nothing" not in one["message"]] == []


def test_the_keyboard_reaches_the_content_at_once(browser: Any, site: str) -> None:
    look(browser, f"{site}/backups")
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert "Skip to the content" in browser.switch_to.active_element.text
    browser.switch_to.active_element.send_keys(Keys.ENTER)

    until(lambda: browser.switch_to.active_element.get_attribute("id") == "main", 30, "the focus")


def test_a_page_is_of_use_without_a_script(browser: Any, site: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        look(browser, f"{site}/operations?state=failed")
        text = browser.find_element(By.TAG_NAME, "body").text
        assert "insufficient free space" in text
        assert "Live updates need JavaScript" in text
        assert not browser.find_element(By.ID, "live").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def status(browser: Any) -> str:
    return str(browser.find_element(By.CSS_SELECTOR, "#live [role=status]").text)
