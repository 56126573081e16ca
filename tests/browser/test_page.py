"""The report's page in a real browser: it draws itself, filters, is silent, and runs nothing but its own script."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.plugin_utils._report import compare, page
from ansible_collections.nodeward.calico.plugins.plugin_utils._report.texts import visible

from tests.browser.chromium import Chromium
from tests.unit.report import fleets

SECTIONS = "[...document.querySelectorAll('.node')].filter(section => !section.hidden)"
NAMES = f"{SECTIONS}.map(section => section.querySelector('bdi').textContent)"
ROWS = f"{SECTIONS}.flatMap(section => [...section.querySelectorAll('tbody tr')]).filter(row => !row.hidden)"
TRAPS = "document.querySelectorAll('#by-trap option').length - 1"
FOCUSED = "document.activeElement.getAttribute('aria-label') || document.activeElement.id"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    browser = Chromium()
    yield browser
    browser.close()


def show(browser: Chromium, folder: Path, model: dict[str, Any]) -> float:
    path = folder / "page.html"
    path.write_text(page.render(model), encoding="utf-8")
    return browser.open(path)


def choose(browser: Chromium, select: str, value: str) -> None:
    browser.value(f"{{const s = document.getElementById('{select}'); s.value = {value!r};"
                  " s.dispatchEvent(new Event('input', {bubbles: true})); 1}")  # fmt: skip


def shown(browser: Chromium) -> str:
    return str(browser.value("document.getElementById('shown').textContent"))


def was_silent(browser: Chromium) -> None:
    assert browser.complaints == []
    assert [url for url in browser.requested if not url.startswith("file:")] == []


@pytest.mark.parametrize("nodes", [0, 3, 60])
def test_the_page_draws_every_node(browser, tmp_path, nodes):
    show(browser, tmp_path, fleets.model(nodes))
    assert len(browser.value(NAMES)) == nodes
    assert browser.value("document.querySelectorAll('#map .cell').length") == nodes * browser.value(TRAPS)
    assert shown(browser).startswith(f"{nodes} of {nodes} node")
    was_silent(browser)


def test_a_thousand_nodes_are_small_and_fast(browser, tmp_path):
    model = fleets.model(1000)
    begin = time.process_time()
    text = page.render(model)
    assert time.process_time() - begin < 2
    assert len(text.encode()) < page.LARGEST
    assert show(browser, tmp_path, model) < 2
    assert browser.value("document.querySelectorAll('.node').length") == 1000
    was_silent(browser)


# --- the filters --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page_of_hundred(browser: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Chromium:
    show(browser, tmp_path_factory.mktemp("page"), fleets.model(100))
    return browser


@pytest.fixture
def hundred(page_of_hundred: Chromium) -> Chromium:
    """A hundred nodes, unfiltered; the tests that open other pages come after those that use it."""
    page_of_hundred.press("Escape")
    return page_of_hundred


def test_filter_by_trap(hundred):
    choose(hundred, "by-trap", str(fleets.model(100)["traps"].index("bird_watchdog")))
    assert hundred.value(NAMES) == ["node0059"]
    assert hundred.value(f"{ROWS}.map(row => row.cells[1].textContent)") == ["bird_watchdog.spins"]
    assert shown(hundred) == "1 of 100 nodes, 1 finding"
    assert hundred.value("document.querySelectorAll('#map .cell:not(.dim)').length") == 1
    was_silent(hundred)


def test_filter_by_severity(hundred):
    choose(hundred, "by-severity", "0")
    assert len(hundred.value(NAMES)) == fleets.model(100)["severities"]["high"] == 11
    assert set(hundred.value(f"{ROWS}.map(row => row.cells[0].textContent)")) == {"high"}
    choose(hundred, "by-severity", "1")
    assert set(hundred.value(f"{ROWS}.map(row => row.cells[0].textContent)")) == {"high", "medium"}
    was_silent(hundred)


def test_filter_by_node_and_back(hundred):
    hundred.press("/", *"ODE001")
    assert set(hundred.value(NAMES)) == {f"node001{digit}" for digit in range(10)}
    hundred.press("Escape")
    assert shown(hundred).startswith("100 of 100 nodes")
    was_silent(hundred)


def test_filter_by_one_finding(hundred):
    button = "[...document.querySelectorAll('#kinds button')].find(b => b.textContent === 'link_mtu.link:tunl0')"
    hundred.value(f"{button}.click()")
    assert shown(hundred) == "10 of 100 nodes, 10 findings"
    assert hundred.value("[...document.querySelectorAll('#kinds tbody tr')].filter(row => !row.hidden).length") == 1
    was_silent(hundred)


def test_nothing_fits(hundred):
    choose(hundred, "by-node", "no such node")
    assert (hundred.value(NAMES), shown(hundred)) == ([], "0 of 100 nodes, 0 findings")
    hundred.value("document.getElementById('reset').click()")
    assert len(hundred.value(NAMES)) == 100
    was_silent(hundred)


# --- the keyboard, print, before and after ------------------------------------------------------------

MOVES = [
    ("rows of nodes", 5, [("ArrowDown", "node0001, bird_watchdog"), ("ArrowRight", "node0001, cni_token"),
                          ("End", "node0004, cni_token"), ("ArrowDown", "node0004, cni_token"),
                          ("Home", "node0000, cni_token"), ("ArrowLeft", "node0000, bird_watchdog")]),
    ("bands of traps", 61, [("ArrowRight", "node0001, bird_watchdog"), ("ArrowDown", "node0001, calico_probes"),
                            ("End", "node0060, calico_probes"), ("ArrowUp", "node0060, bird_watchdog"),
                            ("Home", "node0000, bird_watchdog"), ("ArrowLeft", "node0000, bird_watchdog")]),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "moves"), [case[1:] for case in MOVES], ids=[case[0] for case in MOVES])
def test_the_map_by_keyboard(browser, tmp_path, nodes, moves):
    model = fleets.model(nodes)
    if nodes == 5:  # a row is shorter to test without them
        for node in model["nodes"]:
            node["findings"] = [finding for finding in node["findings"] if finding["trap"] != "calico_probes"]
    show(browser, tmp_path, model)
    browser.value("document.querySelector('#map [tabindex=\"0\"]').focus()")
    for key, label in moves:
        browser.press(key)
        assert str(browser.value(FOCUSED)).startswith(f"{label}: "), key
    assert browser.value("document.querySelectorAll('#map [tabindex=\"0\"]').length") == 1
    browser.press("Enter")
    browser.value("new Promise(done => setTimeout(() => done(1), 50))")
    assert browser.value(FOCUSED) == "node-0"
    was_silent(browser)


def test_everything_is_reached_with_tab(browser, tmp_path):
    show(browser, tmp_path, fleets.model(3))
    reached = []
    for _step in range(8):
        browser.press("Tab")
        reached.append(browser.value("document.activeElement.id || document.activeElement.className"))
    assert reached[:6] == ["skip", "by-trap", "by-severity", "by-kind", "by-node", "reset"]
    assert reached[6].startswith("cell"), "the map is one stop"
    assert not reached[7].startswith("cell")


def test_print_has_every_node_that_is_shown(browser, tmp_path):
    show(browser, tmp_path, fleets.model(12))
    browser.call("Emulation.setEmulatedMedia", media="print")
    visible_in_print = "getComputedStyle(document.querySelector('{}')).display !== 'none'"
    try:
        assert browser.value(visible_in_print.format(".bar")) is None
        assert browser.value(visible_in_print.format(".node"))
        assert browser.value("getComputedStyle(document.querySelector('.node')).contentVisibility") == "visible"
        pdf = base64.b64decode(browser.call("Page.printToPDF")["data"])
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000
    was_silent(browser)


def test_before_and_after(browser, tmp_path):
    audit, harden = fleets.model(12), fleets.model(12, kind="harden")
    for node in harden["nodes"]:
        node["findings"] = [finding for finding in node["findings"] if not finding["mended"]]
    show(browser, tmp_path, compare.with_before(harden, audit))
    look = "[...document.querySelectorAll('#map .cell')].filter(c => c.matches('.medium, .high')).length"
    assert browser.value(look) == 0
    browser.value("document.querySelector('[value=before]').click()")
    assert browser.value(look) == 8
    assert browser.value("[...document.querySelectorAll('.node h4')].map(h => h.textContent)") == [
        "Mended since the audit"
    ] * 7  # fmt: skip
    was_silent(browser)


# --- hostile texts ------------------------------------------------------------------------------------


def test_hostile_texts_are_only_text(browser, tmp_path):
    model = fleets.hostile()
    show(browser, tmp_path, model)
    assert browser.value("document.title") == "nodeward audit: 12 nodes"
    assert set(browser.value(NAMES)) == {visible(node["name"]) for node in model["nodes"]}
    assert browser.value("document.querySelectorAll('img, iframe, object, [onload], [onerror], [onfocus]').length") == 0
    assert browser.value("document.scripts.length") == 2
    choose(browser, "by-node", "<script>")
    assert fleets.HOSTILE[0] in browser.value(NAMES)
    was_silent(browser)


def test_the_policy_stops_a_script_that_was_missed(browser, tmp_path):
    """Shows that the browser would tell: with a hole in the page the script is refused, and not run."""
    hole = page.render(fleets.model(3)).replace("</body>", "<script>document.title = 'stolen'</script></body>")
    (tmp_path / "hole.html").write_text(hole)
    browser.open(tmp_path / "hole.html")
    assert browser.value("document.title") == "nodeward audit: 3 nodes"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)
