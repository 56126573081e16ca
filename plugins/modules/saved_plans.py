#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: saved_plans
short_description: Save the plans of the nodes, to be applied later
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Writes what M(nodeward.calico.node) returned as its plan (O(nodeward.calico.node#module:plan)) on the hosts of the
    play, one JSON file for each node, in a folder on the control machine. The role P(nodeward.calico.node#role) leaves
    it in C(node_result).
  - A file has the node's name, the time, the release of the collection, the policies of the traps, every change with
    the state before and after (of long texts their sums), and a sum over all of it.
  - A host without a plan, since it failed or was not reached, has no file afterwards, not one of an earlier time
    either.
  - Runs on the control machine only; use it with C(run_once).
options:
  folder:
    description: The folder on the control machine, made when it is not there.
    type: path
    required: true
attributes:
  action:
    support: full
    description: Runs on the control machine.
  check_mode:
    support: full
    description: The plans are saved in check mode too, which is what they are for. Nothing on any node changes.
  diff_mode:
    support: N/A
    description: The module changes nothing on any node.
seealso:
  - module: nodeward.calico.node
"""

EXAMPLES = r"""
- name: Save the plans
  nodeward.calico.saved_plans:
    folder: /var/plans
  run_once: true
  register: plans
"""

RETURN = r"""
paths:
  description: The file of each node.
  returned: success
  type: dict
  sample: {node1: /var/plans/node1.plan.json}
without:
  description: The hosts of the play that have no plan.
  returned: success
  type: list
  elements: str
  sample: []
"""
