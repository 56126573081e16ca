# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plans of the nodes, saved on the control machine. Documented in plugins/modules/saved_plans.py."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils._core import saved_plan
from ..module_utils._core.files import make_folder, write_atomically
from ..plugin_utils._report.plain import plain

ARGUMENTS: dict[str, dict[str, Any]] = {"folder": {"type": "path", "required": True}}
MODE = 0o600  # whoever writes one decides what is done
ENDING = ".plan.json"


class ActionModule(ActionBase):
    """Runs on the control machine alone: no connection is opened and nothing on any node is touched."""

    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        results = {host: variables["hostvars"][host].get("node_result") for host in variables["ansible_play_hosts_all"]}
        try:
            paths = _saved(results, given["folder"])
        except OSError as error:
            told = f"The plans cannot be saved: {error.filename}: {error.strerror}"
            raise AnsibleActionFail(f"{told}. Mend it, or name another folder") from error
        return {"changed": False, "paths": paths, "without": sorted(set(results) - set(paths))}


def _saved(results: Mapping[str, Any], folder: str) -> dict[str, str]:
    """Write a file for each node with a plan, and leave none of an earlier time for the others. Raises OSError."""
    make_folder(os.path.abspath(folder))
    time = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    paths = {}
    for host, result in sorted(results.items()):
        path = os.path.join(folder, host.replace("/", "_") + ENDING)
        body = plain((result or {}).get("plan"))
        if body and not result.get("failed"):
            write_atomically(path, json.dumps(saved_plan.seal(body, time), indent=1) + "\n", MODE)
            paths[host] = path
        else:
            with suppress(FileNotFoundError):
                os.unlink(path)
    return paths
