"""What the tests of bird_watchdog share: a run with its options, and what the daemon has told."""

from __future__ import annotations

import json
from typing import Any

from tests.fleet.fleet import Fleet, Run
from tests.lab import Lab

IDENTIFIER = "nodeward-bird-watchdog"
UNIT = f"{IDENTIFIER}.service"
DAEMON, CONFIG = "/usr/local/lib/nodeward/bird_watchdog.py", "/etc/nodeward/bird_watchdog.json"


def harden(fleet: Fleet, *words: str, **options: object) -> Run:
    """Run harden.yml for this trap only; options without the prefix of the role's variables."""
    variables = {f"bird_watchdog_{name}": value for name, value in options.items()}
    return fleet.play("harden", "--tags", "bird_watchdog", "-e", json.dumps(variables), *words)


def events(lab: Lab, node: str) -> list[dict[str, Any]]:
    """What the daemon told the journal of systemd: its fields in lower case without their prefix, and `at` (s)."""
    told = lab.run(node, f"journalctl --identifier={IDENTIFIER} --output=json").stdout
    found = []
    for entry in map(json.loads, told.splitlines()):
        own = {key[9:].lower(): value for key, value in entry.items() if key.startswith("NODEWARD_")}
        if own:
            found.append({**own, "at": int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6, "text": entry["MESSAGE"]})
    return found
