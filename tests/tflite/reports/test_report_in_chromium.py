"""The report page in a real browser, driven by its WebDriver: sorting, filter, keyboard, dark, narrow and printed."""

import base64
import itertools
import json

import pytest
from chromium import chromium, press, requests, resize
from report_samples import PHONE, host_beside_phone, hostile_run, layer_errors, make_run

from keras_mobilenets import tflite


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), "disable-gpu") as driver:
        yield driver


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A run with everything, a host and a phone in one page."""
    folder = tmp_path_factory.mktemp("report")
    host, run = host_beside_phone(folder / "demo"), make_run(folder / "v2_050")
    (host / "layer_errors.json").write_text(json.dumps({"m_int8": layer_errors()}))
    return tflite.report([host, PHONE, run], folder / "report.html").as_uri()


@pytest.fixture
def page(browser, address):
    """The page, freshly opened on a light screen."""
    show(browser, width=1200)
    browser.get(address)
    return browser


def show(browser, width, scheme="light", media=""):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    resize(browser, width)


def column(browser, title, table="#measurements"):
    """What stands in a column, from above, in the rows that are shown; the small print left out."""
    return browser.execute_script(
        """
        const table = document.querySelector(arguments[0]);
        const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
        const at = headings.findIndex((heading) => heading.textContent.trim() === arguments[1]);
        return [...table.tBodies[0].rows].filter((row) => row.offsetHeight)
          .map((row) => row.cells[at].textContent.trim().split("\\n")[0].trim());
        """,
        table,
        title,
    )


def heading(browser, title):
    return browser.find_element("xpath", f"//table[@id='measurements']//th[normalize-space()='{title}']")


def split(values):
    """Numbers in order, and what stands behind them."""
    known = [value for value in values if value[:1].isdigit()]
    return [float(value.split()[0]) for value in known], values[len(known) :]


def test_the_page_runs_without_an_error_and_asks_for_nothing_else(browser, address):
    browser.get_log("performance")
    browser.get(address)
    assert browser.get_log("browser") == []
    asked = {
        r["request"]["url"] for r in requests(browser) if r["documentURL"] == address
    }  # not the browser's own first page
    assert address in asked and all(url == address or url.startswith("data:") for url in asked)


def test_clicking_a_heading_sorts_both_ways_with_the_unknown_last(page):
    title = heading(page, "Median")
    button = title.find_element("tag name", "button")
    before = column(page, "Median")
    button.click()
    numbers, rest = split(column(page, "Median"))
    assert title.get_attribute("aria-sort") == "ascending"
    assert numbers == sorted(numbers) and len(numbers) == 13 and set(rest) == {"✗ failed"}
    button.click()
    numbers, rest = split(column(page, "Median"))
    assert title.get_attribute("aria-sort") == "descending"
    assert numbers == sorted(numbers, reverse=True) and len(rest) == 2
    assert sorted(before) == sorted(column(page, "Median"))
    heading(page, "Backend").find_element("tag name", "button").click()
    assert title.get_attribute("aria-sort") is None
    backends = column(page, "Backend")
    assert backends == sorted(backends) and backends[0] == "cpu"


def test_the_keyboard_sorts_and_a_screen_reader_hears_it(page):
    from selenium.webdriver.common.keys import Keys

    heading(page, "Top-1").find_element("tag name", "button").send_keys(Keys.ENTER)
    assert page.find_element("id", "status").get_property("textContent") == "Sorted by Top-1, ascending"
    assert page.find_element("id", "status").get_attribute("role") == "status"
    press(page, Keys.SPACE)  # the focus is still there
    assert page.find_element("id", "status").get_property("textContent") == "Sorted by Top-1, descending"
    shares = [float(text.split("%")[0]) for text in column(page, "Top-1") if text[:1].isdigit()]
    assert shares == sorted(shares, reverse=True) and len(shares) > 4
    press(page, Keys.TAB)
    assert page.switch_to.active_element.text == "Median"


def test_the_matrix_sorts_by_any_device_and_keeps_what_fell_back_at_the_end(page):
    matrix = page.find_element("css selector", "section table")
    (button,) = [each for each in matrix.find_elements("tag name", "button") if each.text.split()[0] == "nnapi"][1:]
    at = page.execute_script("return arguments[0].closest('th').cellIndex", button)
    for _ in range(2):
        button.click()
        values = [row.find_elements("css selector", "th, td")[at].text for row in page.find_elements(*MATRIX_ROWS)]
        assert values[0].startswith("0.625") and "fell back" in values[1] + values[2]


def test_tab_goes_to_the_skip_link_first_and_the_focus_is_seen(page):
    from selenium.webdriver.common.keys import Keys

    press(page, Keys.TAB)
    link = page.switch_to.active_element
    assert link.text == "Skip to the results" and link.rect["x"] >= 0
    for _ in range(30):
        outline = page.switch_to.active_element.value_of_css_property("outline")
        assert "solid" in outline and "3px" in outline, page.switch_to.active_element.get_attribute("outerHTML")
        press(page, Keys.TAB)
    link.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "main"


def test_the_filter_narrows_the_table_by_words_and_by_device(page):
    form = page.find_element("css selector", "form.filter")
    box, count = form.find_element("name", "words"), form.find_element("name", "count")
    assert form.is_displayed() and count.text == "15 of 15 rows"
    box.send_keys("NNAPI fell")
    assert count.text == "1 of 15 rows" and column(page, "Backend") == ["cpu"]
    box.clear()
    box.send_keys("int8")
    device = form.find_element("name", "device")
    device.find_element("xpath", "option[.='Google Pixel 8 Pro']").click()
    assert count.text == "5 of 15 rows" and set(column(page, "Device")) == {"Google Pixel 8 Pro"}
    heading(page, "Median").find_element("tag name", "button").click()
    assert split(column(page, "Median"))[0] == [0.441, 0.502, 0.625, 0.913, 1.14]


MATRIX_ROWS = ("css selector", "section:first-of-type tbody tr")
CONTRAST = """
const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = (rgb) => rgb.match(/[\\d.]+/g).slice(0, 3).map(Number).map(channel)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
};
return [...document.querySelectorAll("body *")].filter((e) => !e.closest(".skip, script, option") &&
  e.getClientRects().length && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())).map((e) => {
    const style = getComputedStyle(e), ink = e.closest("svg") ? style.fill : style.color;
    const pair = [light(ink), light(behind(e))].sort((a, b) => b - a);
    return [(pair[0] + 0.05) / (pair[1] + 0.05), e.tagName + "." + e.getAttribute("class") + " " + e.textContent];
  });
"""


@pytest.mark.parametrize(("scheme", "media"), [("light", ""), ("dark", ""), ("dark", "print")])
def test_every_word_is_readable_on_its_ground(page, scheme, media):
    """Contrast of 4.5:1 or more (WCAG 2.2, 1.4.3), the words in the figures included; paper is white."""
    show(page, width=1200, scheme=scheme, media=media)
    contrasts = page.execute_script(CONTRAST)
    assert len(contrasts) > 200 and any(name.startswith("text") for _, name in contrasts)
    assert min(contrasts)[0] >= 4.5, min(contrasts)
    ground = page.find_element("tag name", "body").value_of_css_property("background-color")
    assert ("255, 255, 255" in ground) == (scheme == "light" or media == "print")


@pytest.mark.parametrize("width", [1200, 600, 320])
def test_only_tables_scroll_sideways_also_on_a_phone_or_at_400_percent(page, width):
    """320 CSS pixels are 1280 at 400 % (WCAG 2.2, 1.4.10)."""
    show(page, width=width)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    boxes = page.find_elements("class name", "scroll")
    assert all(box.get_attribute("tabindex") == "0" and box.get_attribute("aria-labelledby") for box in boxes)
    wide = "return [...document.querySelectorAll(':not(.scroll) > table')].filter(t => t.offsetWidth > innerWidth)"
    assert page.execute_script(wide) == []


def test_print_leaves_out_the_controls(page):
    show(page, width=1200, media="print")
    for name in ("filter", "contents", "skip"):
        assert not page.find_element("class name", name).is_displayed()
    assert page.find_element("id", "measurements").is_displayed()
    printed = page.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    pdf = base64.b64decode(printed)
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page\n") >= 3


def test_words_of_figures_can_be_selected_and_figures_are_named(page):
    script = """
        const svg = document.querySelector("svg"), text = svg.querySelector("text");
        getSelection().selectAllChildren(text);
        return [getSelection().toString().trim(), text.textContent.trim()];
    """
    selected, text = page.execute_script(script)
    assert selected == text != ""
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    names = [n["name"]["value"] for n in tree if n.get("role", {}).get("value") in ("image", "img")]
    assert "Top-1 accuracy over median latency on Google Pixel 8 Pro" in names and all(names)


def test_headings_go_down_one_level_at_a_time_and_ids_are_unique(page):
    levels = page.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    ids = page.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_without_javascript_the_tables_are_plain(browser, address):
    show(browser, width=1200)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address)
        root = browser.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]

        def matches(selector):
            found = browser.execute_cdp_cmd("DOM.querySelectorAll", {"nodeId": root, "selector": selector})
            return len(found["nodeIds"])

        assert matches("#measurements tbody tr") == 15
        assert matches("button") == 0 and matches("form.filter[hidden]") == 1
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_hostile_file_runs_nothing(browser, tmp_path):
    browser.get(tflite.report(hostile_run(tmp_path / "run")).as_uri())
    assert browser.execute_script("return [typeof window.hacked, document.scripts.length]") == ["undefined", 1]
    assert browser.get_log("browser") == []
    heading(browser, "Median").find_element("tag name", "button").click()
    assert browser.execute_script("return typeof window.hacked") == "undefined"
