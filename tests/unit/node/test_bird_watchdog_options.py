"""The options of bird_watchdog: one place for each default and each bound, and what makes no sense is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.doc_fragments.traps import ModuleDocFragment
from ansible_collections.nodeward.calico.plugins.module_utils._node import bird_watchdog
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog import OPTIONS, Facts, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import BOUNDS

CHECKOUT = Path(__file__).parents[3]


def test_the_defaults_stand_once():
    assert {name: spec.get("default") for name, spec in OPTIONS.items()} == vars(Policy())


def rows() -> dict[str, list[str]]:
    """Return the cells of the page's table of options by their names."""
    lines = (CHECKOUT / "docs/bird_watchdog.md").read_text().splitlines()
    lines = [line for line in lines if line.startswith("| `bird_watchdog_")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cell[0].strip("`").replace("bird_watchdog_", "", 1): cell for cell in cells}


def test_the_page_tells_the_defaults():
    told = {name: yaml.safe_load(cells[1]) for name, cells in rows().items()}
    assert told == {name: spec.get("default", "found") for name, spec in OPTIONS.items()}


BOUNDED = sorted(BOUNDS.keys() & OPTIONS.keys())


def described(text: str, prefix: str, *path: str) -> dict[str, str]:
    """Return the descriptions of options by their names without a prefix."""
    options: Any = yaml.safe_load(text)
    for each in path:
        options = options[each]
    return {name.replace(prefix, "", 1): str(spec["description"]) for name, spec in options.items()}


@pytest.mark.parametrize("option", BOUNDED)
def test_every_bound_is_told_where_the_option_is_described(option):
    least, most = BOUNDS[option]
    specs = (CHECKOUT / "roles/bird_watchdog/meta/argument_specs.yml").read_text()
    for place, text in {
        "module": described(ModuleDocFragment.DOCUMENTATION, "", "options", "bird_watchdog", "suboptions")[option],
        "role": described(specs, "bird_watchdog_", "argument_specs", "main", "options")[option],
        "page": rows()[option][2],
    }.items():
        assert f"{least} to {most}" in text, place


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no share", {"threshold": 0}, "threshold", "from 50 to 95"),
    ("more than a core", {"threshold": 101}, "threshold", "from 50 to 95"),
    ("a truth", {"daily_limit": True}, "daily_limit", "True is no int"),
    ("no number", {"cooldown": float("nan")}, "cooldown", "from 0"),
    ("an unknown mode", {"mode": "off"}, "mode", "enforce, observe"),
    ("a busy loop", {"interval": 0}, "interval", "from 1 to 20"),
    ("as long as systemd waits", {"interval": 60}, "interval", "from 1 to 20"),
    ("no window", {"window": 5}, "window", "two intervals"),
    ("a negative delay", {"random_delay": -1}, "random_delay", "from 0"),
    ("a folder that is none", {"textfile_folder": "metrics"}, "textfile_folder", "absolute path"),
    ("a folder that is a truth", {"textfile_folder": True}, "textfile_folder", "absolute path"),
    ("a folder of devices", {"textfile_folder": "/dev/shm"}, "textfile_folder", "the system itself"),
    ("the system's own", {"textfile_folder": "/etc"}, "textfile_folder", "the system itself"),
    ("a folder for everything", {"textfile_folder": "/var/lib"}, "textfile_folder", "for everything"),
    ("the same", {"textfile_folder": "/var/lib/"}, "textfile_folder", "for everything"),
    ("one that is cleared", {"textfile_folder": "/tmp/metrics"}, "textfile_folder", "clears"),
    ("the kubelet's", {"textfile_folder": "/var/lib/kubelet/pods"}, "textfile_folder", "the system itself"),
    ("a way out", {"textfile_folder": "/srv/../etc"}, "textfile_folder", "absolute path"),
    ("a roundabout way", {"textfile_folder": "/./etc/"}, "textfile_folder", "absolute path"),
    ("a folder that a unit reads otherwise", {"textfile_folder": "/srv/%h x"}, "textfile_folder", "absolute path"),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "option", "words"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refusals(policy, option, words):
    assert bird_watchdog.plan(Facts(), Policy(**policy, state="absent")).refusals == (), "it can go all the same"
    made = bird_watchdog.plan(Facts(), Policy(**policy))
    assert made.changes == ()
    [refusal] = made.refusals
    assert refusal.where == f"bird_watchdog_{option}"
    assert words in str(refusal)
