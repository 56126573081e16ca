"""The page's text and its data; tests/browser opens it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.plugin_utils._report import compare, page
from ansible_collections.nodeward.calico.plugins.plugin_utils._report.charts import charts
from ansible_collections.nodeward.calico.plugins.plugin_utils._report.page_data import encoded, page_data
from ansible_collections.nodeward.calico.plugins.plugin_utils._report.texts import shortened, visible
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.report import fleets

hostile = st.text(st.characters(codec=None, exclude_categories=()))


def unpacked(model: dict[str, Any], longest: int = 400) -> list[dict[str, Any]]:
    """Read the data back as page.js does."""
    data = json.loads(encoded(page_data(model, longest)))

    def findings(flat: list[int]) -> list[dict[str, Any]]:
        read = []
        for at in range(0, len(flat), 4):
            id_, trap, severity, why, remedy, mended = data["kinds"][flat[at]]
            parts = zip(("where", "observed", "wanted"), flat[at + 1 : at + 4], strict=True)
            told = {"id": id_, "trap": data["traps"][trap], "severity": data["severities"][severity]}
            told |= {"why": data["texts"][why], "remedy": data["texts"][remedy], "mended": bool(mended)}
            read.append({**told, **{part: data["texts"][number] for part, number in parts}})
        return read

    return [
        {
            "name": name,
            "state": data["states"][state],
            "error": data["texts"][error],
            "traps": sorted(data["traps"][trap] for trap in data["sets"][seen]),
            "findings": findings(found),
            "mended": findings(mended),
            "changes": [data["texts"][number] for number in changes],
            "pending": [data["texts"][number] for number in pending],
        }
        for name, state, error, seen, found, mended, changes, pending in data["nodes"]
    ]


def test_nothing_is_lost_on_the_way_to_the_page():
    model = fleets.model(120)
    for node, read in zip(model["nodes"], unpacked(model), strict=True):
        assert [read[part] for part in ("name", "state", "error", "findings")] == [
            node[part] for part in ("name", "state", "error", "findings")
        ]
        assert read["traps"] == sorted(node["facts"])


CHANGES = [("audit", []), ("harden", ["sysctl a", "1", "2", ""])]


@pytest.mark.parametrize(("kind", "done"), CHANGES)
def test_changes_are_told_where_they_were_made(kind, done):
    model = fleets.model(1, kind=kind)
    model["nodes"][0]["changes"] = [fleets.change("pid_limits", "sysctl a", "1", "2")]
    model["nodes"][0]["pending"] = [fleets.change("pid_limits", "file b", "", "x", "kubelet_restart")]
    [read] = unpacked(model)
    assert read["changes"] == done
    assert read["pending"] == ["file b", "", "x", "kubelet_restart"]


def test_what_was_mended_is_told_with_its_node():
    audit, harden = fleets.model(2), fleets.model(2, kind="harden")
    harden["nodes"][1]["findings"] = []
    text = page.render(compare.with_before(harden, audit))
    assert "3 before, 1 of them left" in text
    mended = unpacked(compare.with_before(harden, audit))[1]["mended"]
    assert [finding["id"] for finding in mended] == [
        finding["id"] for finding in audit["nodes"][1]["findings"] if finding["trap"] == "pid_limits"
    ]


def test_the_page_needs_nothing_else():
    text = page.render(fleets.model(3))
    assert not re.search(r"(src|href)=\"(?!#)", text)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_texts_are_shortened_before_the_page_becomes_too_large():
    model = fleets.model(1000)
    for number, node in enumerate(model["nodes"]):
        node["findings"] = [
            fleets.finding(f"pid_limits.{n}", "high", observed=f"{number} {n} " + "x" * 390) for n in range(5)
        ]
    text = page.render(model)
    assert len(text.encode()) < page.LARGEST
    assert len(encoded(page_data(model, page.LONGEST[0]))) > page.LARGEST


def test_a_page_that_cannot_be_small_is_made_all_the_same(monkeypatch):
    monkeypatch.setattr(page, "LARGEST", 10)
    assert page.render(fleets.model(1)).endswith("</html>\n")


def test_hostile_texts_end_no_element():
    text = page.render(fleets.hostile())
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    assert 'onload="' not in text
    assert text.isascii() or "\u202e" not in text


@settings(max_examples=30)
@given(hostile, hostile)
def test_any_text_stays_in_the_data(name, text):
    model = fleets.model(2, {0: name})
    for node in model["nodes"]:
        node["findings"] = [fleets.finding("rules.x", "low", observed=text)]
    model["run"]["limit"] = text
    rendered = page.render(model)
    assert rendered.count("</script>") == 2
    told = fleets.finding("rules.x", "low", observed=shortened(visible(text), 400))
    read = {node["name"]: node["findings"] for node in unpacked(model)}
    assert read == {shortened(visible(name), 400): [told], "node0001": [told]}


TEXTS = [
    ("a b", "a b"), ("a\nb\tc", "a\nb\tc"), (7, "7"),
    ("\x1b[31m", "\ufffd[31m"), ("\u202e", "\ufffd"), ("\ud800", "\ufffd"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), TEXTS)
def test_visible(text, shown):
    assert visible(text) == shown


def test_shortened():
    assert (shortened("abc", 3), shortened("abcd", 3)) == ("abc", "ab\u2026")


# --- charts -----------------------------------------------------------------------------------------


def test_the_charts_say_what_matters():
    told = [re.findall(r"<figcaption>(.*?)</figcaption>", figure)[0] for figure in charts(fleets.model(100))]
    assert told == [
        "Highest: node0005 78.5 %, node0099 8.3 %, node0098 8.2 %. Of 98 nodes 1 from 50 % on, 0 from 80 % on.",
        "uplink: 1450 (78), 1500 (20); tunnel: 1430 (83), 1480 (15)",
        "Highest: node0009 99.0 %, node0059 99.0 %, node0008 4.0 %. Of 98 nodes 2 from 50 % on, 2 from 85 % on.",
        "Slowest: etcd2 fsync, 22 ms.",
    ]


def test_there_are_no_charts_without_facts():
    model = fleets.model(3)
    for node in model["nodes"]:
        node["facts"] = {}
    assert charts(model) == []
    assert 'id="charts"' not in page.render(model)


def test_many_members_and_many_values_are_counted():
    model = fleets.model(30)
    for number, node in enumerate(model["nodes"]):
        node["facts"] = {
            "link_mtu": {"uplink": {"mtu": 1400 + number}},
            "etcd_timing": {"members": [{"evidence": {"fsync_p99": number}}]},
        }
    mtu, etcd = charts(model)
    assert "and 24 more values" in mtu
    assert "6 more in the JSON." in etcd


NO_NUMBERS: list[object] = [None, True, "1", [1], {}, float("nan"), float("inf"), -1, 10**400]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=str)
def test_what_is_no_number_is_left_out(value):
    model = fleets.model(1)
    model["nodes"][0]["facts"] = {
        "pid_limits": {"binding": {"share": value}},
        "link_mtu": {"uplink": {"mtu": value}, "tunnels": [{"mtu": value}, value]},
        "bird_watchdog": {"birds": [{"share": value}, value]},
        "etcd_timing": {"members": [{"evidence": {"rtt_p99": value, "fsync_p99": value}}, value]},
    }
    assert charts(model) == []
