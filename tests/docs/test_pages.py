"""Every module, filter and role has a page that ansible-doc shows, with nothing left out."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.action.report import ARGUMENTS

ROOT = Path(__file__).parents[2]
COLLECTION = "nodeward.calico"
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
FILTERS = sorted(path.stem for path in (ROOT / "plugins/filter").glob("[!_]*.yml"))
ROLES = sorted(path.name for path in (ROOT / "roles").glob("[!_]*") if path.is_dir())


@cache
def ansible_doc(kind: str, *words: str) -> str:
    done = subprocess.run(
        ["ansible-doc", "--type", kind, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "[ERROR]" not in done.stderr, done.stderr
    return done.stdout


def page(kind: str, name: str, names: list[str]) -> dict[str, Any]:
    """Ask for all pages of a kind at once: ansible-doc takes a second to start."""
    full_names = [f"{COLLECTION}.{each}" for each in names]
    pages: dict[str, dict[str, Any]] = json.loads(ansible_doc(kind, "--json", *full_names))
    assert f"{COLLECTION}.{name}" in pages, "ansible-doc does not find it"
    return pages[f"{COLLECTION}.{name}"]


def undescribed(options: dict[str, dict[str, Any]], nested: str, above: str = "") -> Iterator[str]:
    """Name the options, or returned values, that say nothing, at every depth."""
    for name, option in options.items():
        if not option.get("description"):
            yield above + name
        yield from undescribed(option.get(nested) or {}, nested, f"{above}{name}.")


@pytest.mark.parametrize("name", MODULES)
def test_module_page(name: str) -> None:
    found = page("module", name, MODULES)
    doc = found["doc"]
    assert doc["short_description"]
    assert doc["description"]
    assert doc["author"]
    assert {"check_mode", "diff_mode"} <= set(doc["attributes"])
    assert list(undescribed(doc.get("options", {}), "suboptions")) == []
    assert list(undescribed(found["return"], "contains")) == []
    assert f"{COLLECTION}.{name}:" in found["examples"]
    assert COLLECTION in ansible_doc("module", f"{COLLECTION}.{name}")


@pytest.mark.parametrize("name", FILTERS)
def test_filter_page(name: str) -> None:
    found = page("filter", name, FILTERS)
    assert found["doc"]["short_description"]
    assert list(undescribed(found["doc"]["options"], "suboptions")) == []
    assert list(undescribed(found["return"], "contains")) == []
    assert f"{COLLECTION}.{name}" in found["examples"]


@pytest.mark.parametrize("name", ROLES)
def test_role_page(name: str) -> None:
    main = page("role", name, ROLES)["entry_points"]["main"]
    assert main["short_description"]
    assert main["description"]
    assert list(undescribed(main.get("options", {}), "options")) == []
    assert [option for option in main.get("options", {}) if not option.startswith(f"{name}_")] == []


def test_every_playbook_s_kind_of_report_is_known_everywhere() -> None:
    playbooks = "".join(path.read_text() for path in (ROOT / "playbooks").glob("*.yml"))
    kinds = set(re.findall(r"^ +report_kind: (\w+)$", playbooks, re.MULTILINE))
    assert kinds == set(page("module", "report", MODULES)["doc"]["options"]["kind"]["choices"])
    assert kinds == set(page("role", "report", ROLES)["entry_points"]["main"]["options"]["report_kind"]["choices"])
    assert kinds == set(json.loads((ROOT / "docs/report.schema.json").read_text())["properties"]["kind"]["enum"])
    assert kinds == set(ARGUMENTS["kind"]["choices"])
