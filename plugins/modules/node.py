#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Keep a Kubernetes node with Calico from dying of known causes
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Observes the node, plans what the given traps need, and applies what disrupts nothing (and what O(allow) names), all
    in one round trip.
  - A trap runs only when its option is given; an empty dictionary means its defaults.
  - Before the first change a journal of the values before is kept on the node in C(/var/lib/nodeward/journal.json).
    Changes are read back; when one fails, those made before it are put back and the task fails.
  - When a trap cannot act on the node (bad input, a file that nobody can read), nothing at all is changed on it.
options:
  state:
    description:
      - With V(hardened) the given traps are mended.
      - With V(restored) every value of theirs goes back to what it was before the first run, as the journal tells.
        What someone else changed since is left and named in RV(findings). The policies of the traps do not matter then.
      - Nothing goes below twice what is in use now; such a node is refused.
    type: str
    choices: [hardened, restored]
    default: hardened
  allow:
    description:
      - Consent to changes that disrupt, one word for each kind. What is not allowed is in RV(pending).
      - On a node only V(kubelet_restart), V(uplink_change), V(pod_veth_change) and V(exporter_install) do something.
    type: list
    elements: str
    choices: [kubelet_restart, uplink_change, pod_veth_change, exporter_install, etcd_restart, etcd_outage,
      calico_rollout, calico_pod_restart, exporter_rollout]
    default: []
  plan:
    description:
      - Have the plan returned in RV(plan), to be saved, or apply one that was. Empty for neither.
      - M(nodeward.calico.saved_plans) writes the files.
    type: dict
    default: {}
    suboptions:
      node:
        description: The node's name, which a saved plan has to have. Without it no plan is returned.
        type: str
      saved:
        description:
          - A saved plan, the text of its file. The traps run with the policies in it, whatever else is given. Where a
            change of it that was not made since would be another one now, or one would come to it, nothing is changed
            and the task fails with what differs.
          - An empty text is refused; leave it out to have the plan returned.
        type: raw
extends_documentation_fragment:
  - nodeward.calico.traps
requirements:
  - Linux with systemd, Python 3.9 or newer, root on the node
  - pyroute2 0.7.2 or newer on the node for O(link_mtu)
attributes:
  check_mode:
    support: full
    description: Looks at everything the real run would look at, and reports exactly the changes it would make.
  diff_mode:
    support: full
    description: Shows every change with the value before and after.
  idempotent:
    support: full
    description: A second run changes nothing unless something else changed the node in between.
seealso:
  - module: nodeward.calico.node_info
"""

EXAMPLES = r"""
- name: Raise what limits the node's threads
  nodeward.calico.node:
    pid_limits: {}

- name: See what a higher limit for crowded nodes would change
  nodeward.calico.node:
    pid_limits:
      max_pods: 250
      pids_per_pod: 2048
  check_mode: true
  diff: true

- name: Apply a saved plan, or refuse
  nodeward.calico.node:
    pid_limits: {}
    plan:
      node: "{{ inventory_hostname }}"
      saved: "{{ lookup('ansible.builtin.file', 'plans/' ~ inventory_hostname ~ '.plan.json') }}"
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be, in the order of the changes.
  returned: success
  type: list
  elements: dict
  sample:
    - trap: pid_limits
      target: sysctl kernel.pid_max
      before: "49152"
      after: "4194304"
      why: every thread takes a process id; when they run out, nothing new can start on the node (incident B)
      disrupts: ""
pending:
  description: What is needed too but disrupts the node and waits for consent, shaped like RV(changes).
  returned: success
  type: list
  elements: dict
  sample: []
findings:
  description: What a person should know and this module does not mend, shaped as in M(nodeward.calico.node_info).
  returned: success
  type: list
  elements: dict
  sample: []
missing:
  description:
    - Python packages that the node has not, and without which a trap did nothing on it. The roles bring them from the
      controller and run again.
  returned: success
  type: list
  elements: str
  sample: [pyroute2]
plan:
  description:
    - The plan as it can be saved, that is the policies of the traps and every change with the state before and after,
      those in RV(pending) too.
  returned: when O(plan) is given without O(plan.saved)
  type: dict
  sample: {format: 1, version: 0.1.0, node: node1, policies: {pid_limits: {}}, changes: [], missing: []}
control_plane:
  description: Whether the node runs an API server, by its files and processes.
  returned: success
  type: bool
  sample: false
facts:
  description:
    - What was seen before any change, by trap.
    - In C(pid_limits), C(limits) has every limit that pods, kubelet and container runtime stand under, with the
      threads that count against it and their share, the one that would refuse a thread first at the top; that one
      is C(binding) as well.
  returned: success
  type: dict
  sample:
    pid_limits:
      kernel:
        parameters:
          kernel.pid_max: {value: 49152, writable: true}
      use: {threads: 46210}
      binding: {name: kernel.pid_max, limit: 49152, used: 46210, share: 0.9401}
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.errors import NodewardError
from ..module_utils._core.host import LocalHost
from ..module_utils._node.run import harden, restore
from ..module_utils._node.traps import TRAPS, acting_spec, argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={**argument_spec(), **acting_spec()},
        required_one_of=[list(TRAPS)],
        supports_check_mode=True,
    )
    run_command = partial(module.run_command, handle_exceptions=False)
    act = restore if module.params["state"] == "restored" else harden
    try:
        module.exit_json(**act(module.params, LocalHost(run_command=run_command), module.check_mode))
    except NodewardError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
