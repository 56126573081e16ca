#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_config_map
short_description: Keep the kubelet's limits on process ids through kubeadm's upgrades
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - C(kubeadm upgrade) writes the kubelet's configuration of every node from the ConfigMap C(kubelet-config) in
    C(kube-system) (C(kubelet-config-1.N) before Kubernetes 1.24). What M(nodeward.calico.node) sets on the nodes
    belongs there too, or the next upgrade takes it back.
  - Runs once, on a control-plane node. Only the keys named here are edited; comments, order and other keys stay.
  - What was there before is kept in the ConfigMap C(nodeward-journal) in C(kube-system).
  - Changes nothing on any node, and restarts nothing.
options:
  state:
    description:
      - With V(hardened) the keys are set.
      - With V(restored) they go back to what they were before the first run; what someone else changed since is left
        and named in RV(findings).
    type: str
    choices: [hardened, restored]
    default: hardened
  pod_pids_limit:
    description:
      - C(podPidsLimit), set only where there is none. Give the largest of the nodes' values
        (C(facts.pid_limits.kubelet.wanted) of M(nodeward.calico.node)).
    type: int
  system_reserved_pids:
    description: Floor of C(systemReserved.pid).
    type: int
  kube_reserved_pids:
    description: Floor of C(kubeReserved.pid).
    type: int
  kubeconfig:
    description:
      - A kubeconfig on the node, whose user may change ConfigMaps in C(kube-system).
      - Where it is not there, nothing is done and RV(findings) say so.
    type: path
    default: /etc/kubernetes/admin.conf
requirements:
  - Python 3.9 or newer on the node; neither kubectl nor a Kubernetes library
attributes:
  check_mode:
    support: full
    description: Reads everything the real run would read, and reports exactly the changes it would make.
  diff_mode:
    support: full
    description: Shows the kubelet's configuration before and after.
  idempotent:
    support: full
    description: A second run changes nothing unless something else changed the ConfigMap in between.
seealso:
  - module: nodeward.calico.node
"""

EXAMPLES = r"""
- name: Keep the limits through upgrades
  nodeward.calico.kubelet_config_map:
    pod_pids_limit: 4096
    system_reserved_pids: 1024
    kube_reserved_pids: 1024
  run_once: true

- name: Take them back
  nodeward.calico.kubelet_config_map:
    state: restored
  run_once: true
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  sample:
    - trap: pid_limits
      target: ConfigMap kube-system/kubelet-config podPidsLimit
      before: null
      after: "4096"
      why: the next kubeadm upgrade writes the nodes' configuration from it
      disrupts: ""
findings:
  description: What a person should know, shaped as in M(nodeward.calico.node_info).
  returned: success
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.errors import NodewardError
from ..module_utils._core.host import LocalHost
from ..module_utils._kube.kubelet_config_map import ARGUMENTS, OPTIONS, run


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    wanted = {key: given[option] for key, option in OPTIONS.items()}
    restore = given["state"] == "restored"
    try:
        module.exit_json(**run(LocalHost(), given["kubeconfig"], wanted, restore, module.check_mode))
    except NodewardError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
