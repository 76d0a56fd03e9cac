"""A headless Chromium for the tests of pages."""

import contextlib
import json
import os
import shutil

import pytest


@contextlib.contextmanager
def chromium(profile, *arguments):
    """Yields its WebDriver, with the logs of pages and network; skips where it is missing, but fails on CI."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        message = f"{' and '.join(missing)} not installed, so the page is not looked at in a browser"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    off = ["background-networking", "component-update", "sync", "dev-shm-usage"]
    own = ["headless", "no-sandbox", "no-first-run", f"user-data-dir={profile}", "window-size=1200,900"]
    for argument in [*own, *(f"disable-{feature}" for feature in off), *arguments]:
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options, Service(programs["chromedriver"]))
    try:
        yield driver
    finally:
        driver.quit()


def requests(browser):
    """The addresses that pages asked for since the last call."""
    found = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"] for event in found if event["method"] == "Network.requestWillBeSent"]


def resize(browser, width):
    """Gives the page a screen of so many CSS pixels."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def press(browser, *keys):
    """Presses keys where the focus is."""
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(*keys).perform()
