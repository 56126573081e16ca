#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Keep and show what a run saw and did
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Makes one report of what the roles of this collection left on the hosts of the play, and keeps it on the control
    machine as JSON, as one HTML page that needs nothing else, and as JUnit XML. Nodes that failed or were not reached
    are part of it.
  - Runs on the control machine only; use it with C(run_once). The role P(nodeward.calico.report#role) does that.
  - The report of a run of harden also tells what of the newest audit in the same folder was mended.
  - The shape of the JSON is in C(docs/report.schema.json).
options:
  kind:
    description: What was run.
    type: str
    required: true
    choices: [audit, harden, restore, defrag]
  folder:
    description:
      - The folder on the control machine, made when it is not there.
      - A relative one is below the folder that Ansible was started in.
    type: path
    required: true
  rules:
    description:
      - Folders on the control machine with rules of an audit in YAML files (C(docs/rules.md)). What they find is part
        of the report.
    type: list
    elements: path
    default: []
  fail_on:
    description:
      - The least severity that RV(failures) tells of. Without it there are no failures.
      - In the JUnit file findings below it do not fail; without it only mere information does not.
    type: str
    choices: [high, medium, low, info]
attributes:
  action:
    support: full
    description: Runs on the control machine.
  check_mode:
    support: full
    description: The report is kept in check mode too, under a name of its own. Nothing on any node changes.
  diff_mode:
    support: N/A
    description: The module changes nothing on any node.
"""

EXAMPLES = r"""
- name: Keep the report
  nodeward.calico.report:
    kind: audit
    folder: /var/reports
    fail_on: high
  run_once: true
  register: report
"""

RETURN = r"""
lines:
  description: The report as lines for a terminal.
  returned: always
  type: list
  elements: str
  sample: ["audit: 3 nodes (3 findings); traps: link_mtu, pid_limits"]
paths:
  description: The dated files by their endings; empty when they could not be written.
  returned: always
  type: dict
  sample: {json: /var/reports/audit-2026-11-26T043236Z.json}
failures:
  description:
    - For each node with findings of the severity O(fail_on) or worse, what they are. The name is empty for those of the
      cluster.
  returned: always
  type: dict
  sample: {node1: "node1: 1 of severity high or worse: link_mtu.link:tunl0 (high)"}
"""
