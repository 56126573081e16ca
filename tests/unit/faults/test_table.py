"""The table of faults says what was tried, and does not keep silent about what was not."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.faults.__main__ import main
from tests.faults.table import PROPERTY, Fault, table


def case(name: str, fault: Fault | None, trouble: str = "") -> ElementTree.Element:
    test = ElementTree.Element("testcase", classname="tests.faults", name=name)
    if fault:
        properties = ElementTree.SubElement(test, "properties")
        ElementTree.SubElement(properties, "property", name=PROPERTY, value=fault.property()[1])
    if trouble:
        ElementTree.SubElement(test, trouble, message="what\nwent wrong")
    return test


def tried(name: str, *outcomes: tuple[list[str], int | None], broke_off: int = 0) -> Fault:
    fault = Fault(name, tried=len(outcomes) + broke_off)
    for unlike, lost in outcomes:
        fault.outcome("task 1", unlike, lost)
    return fault


def rows(lines: list[str]) -> list[list[str]]:
    """Name, tried, survived and bytes lost, of each row up to the first empty line."""
    upto = lines.index("") if "" in lines else len(lines)
    return [line.rsplit(maxsplit=3) for line in lines[1:upto]]


def test_tests_of_one_name_are_one_row():
    parts = [case(f"killed[{part}]", tried("killed", ([], 0), ([], 64 * part))) for part in range(2)]
    lines = table([*parts, case("reboot", tried("a reboot", ([], None)))])
    assert rows(lines) == [["a reboot", "1", "1", "-"], ["killed", "4", "3", "64"]]
    assert "not as it should be:" not in lines


def test_what_differs_has_not_survived():
    lines = table([case("reboot", tried("reboot", (["node1: /etc/x"], 0)), "failure")])
    assert rows(lines) == [["reboot", "1", "0", "0"]]
    assert lines[-1] == "  tests.faults::reboot: failure: what went wrong"


def test_a_try_that_broke_off_is_one_whose_losses_nobody_knows():
    lines = table([case("full", tried("full", ([], 0), broke_off=1), "failure")])
    assert rows(lines) == [["full", "2", "1", "?"]]


def test_a_test_that_counted_nothing_is_named():
    interrupted = ElementTree.Element("testcase")
    tests = [case("set up badly", None, "error"), case("crashed", None), case("left out", None, "skipped"), interrupted]
    lines = table(tests)
    assert rows(lines) == []
    assert lines[-4:] == [
        "  tests.faults::set up badly: error: what went wrong",
        "  tests.faults::crashed: counted nothing",
        "  tests.faults::left out: skipped: what went wrong",
        "  a test that was interrupted: counted nothing",
    ]


def test_reports_are_read_and_a_missing_one_is_named(tmp_path: Path, capsys):
    suite = ElementTree.Element("testsuite")
    suite.append(case("reboot", tried("reboot", ([], 0))))
    report, missing = tmp_path / "alone.xml", tmp_path / "together.xml"
    ElementTree.ElementTree(suite).write(report)
    assert main([str(report), str(missing)]) == 0
    printed = capsys.readouterr().out
    assert "reboot" in printed
    assert f"{missing}: not there" in printed
    assert main([str(missing)]) == 1


def test_what_was_measured_stands_below_the_rows():
    parts = [tried("threads", ([], None)), tried("links", ([], None))]
    for part in parts:
        part.measured.append(f"with 5,000 {part.name} 1.3 times as long")
    lines = table([case(part.name, part) for part in parts])
    assert lines[-4:] == ["", "measured:", *(f"  with 5,000 {name} 1.3 times as long" for name in ("links", "threads"))]
