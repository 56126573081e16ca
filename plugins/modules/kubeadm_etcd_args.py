#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_etcd_args
short_description: Keep etcd's timing through kubeadm's upgrades
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - C(kubeadm upgrade) writes the manifest of every member of etcd from C(etcd.local.extraArgs) of the
    C(ClusterConfiguration) in the ConfigMap C(kubeadm-config) in C(kube-system). What M(nodeward.calico.etcd_member)
    sets on the nodes belongs there too, or the next upgrade takes it back.
  - Knows the mapping (up to v1beta3) and the list (from v1beta4 on). Comments, order and other keys stay.
  - Runs once, on a control-plane node. What was there before is kept in the ConfigMap C(nodeward-journal) in
    C(kube-system). Changes nothing on any node, and restarts nothing.
options:
  state:
    description:
      - With V(hardened) the arguments are set.
      - With V(restored) they go back to what they were before the first run; what someone else changed since is left
        and named in RV(findings).
    type: str
    choices: [hardened, restored]
    default: hardened
  arguments:
    description: Flags of etcd without dashes, and their values.
    type: dict
    default: {}
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
    description: Shows the arguments before and after.
  idempotent:
    support: full
    description: A second run changes nothing unless something else changed the ConfigMap in between.
seealso:
  - module: nodeward.calico.etcd_member
"""

EXAMPLES = r"""
- name: Keep the timing through upgrades
  nodeward.calico.kubeadm_etcd_args:
    arguments: {heartbeat-interval: 250, election-timeout: 5000}
  run_once: true
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  sample:
    - trap: etcd_timing
      target: ConfigMap kube-system/kubeadm-config etcd.local.extraArgs heartbeat-interval
      before: null
      after: "250"
      why: the next kubeadm upgrade writes the members' manifests from it
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
from ..module_utils._kube.kubeadm_etcd import ARGUMENTS, run, wanted


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    restore = given["state"] == "restored"
    try:
        arguments = wanted(given["arguments"])
        module.exit_json(**run(LocalHost(), given["kubeconfig"], arguments, restore, module.check_mode))
    except NodewardError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
