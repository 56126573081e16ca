# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report, made and kept on the control machine. Documented in plugins/modules/report.py."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..filter.report import report
from ..filter.report_lines import report_lines
from ..plugin_utils._report import compare, keep
from ..plugin_utils._report.findings import SEVERITIES, failures
from ..plugin_utils._report.plain import plain
from ..plugin_utils._rules import entry
from ..plugin_utils._rules.errors import RuleError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "kind": {"type": "str", "required": True, "choices": ["audit", "harden", "restore", "defrag"]},
    "folder": {"type": "path", "required": True},
    "rules": {"type": "list", "elements": "path", "default": []},
    "fail_on": {"type": "str", "choices": list(SEVERITIES)},
}


class ActionModule(ActionBase):
    """Runs on the control machine alone: no connection is opened and nothing on any node is touched."""

    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(argument_spec=ARGUMENTS)
        model = self._model(task_vars or {}, given)
        fail_on = given["fail_on"] or ""
        result: dict[str, Any] = {"changed": False, "failures": failures(model, fail_on) if fail_on else {}}
        try:
            paths = keep.keep(model, given["folder"], fail_on)
        except OSError as error:
            lines = report_lines(model, "not kept, see above")
            told = f"The report cannot be kept: {error.filename}: {error.strerror}. Mend it, or name another folder"
            return {**result, "failed": True, "msg": told, "lines": lines, "paths": {}}
        return {**result, "lines": report_lines(model, *paths.values()), "paths": paths}

    def _model(self, variables: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        check_mode = bool(self._task.check_mode)
        model: Any = report(
            variables["ansible_play_hosts_all"],
            variables["hostvars"],
            given["kind"],
            check_mode,
            time=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H%M%SZ"),
            limit=variables.get("ansible_limit", ""),
            tags=list(variables.get("ansible_run_tags", [])),
            skip_tags=list(variables.get("ansible_skip_tags", [])),
        )
        try:
            model = entry.found(plain(model), given["rules"])
        except RuleError as error:
            raise AnsibleActionFail(str(error)) from error
        audit = keep.last_audit(given["folder"]) if given["kind"] == "harden" and not check_mode else None
        return compare.with_before(model, audit) if audit else dict(model)
