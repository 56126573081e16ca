#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: calico_mtu
short_description: Keep Calico's own MTU within the smallest uplink of the cluster
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Computes the MTU of pods and tunnels from the uplinks that were seen on the nodes, the smallest minus what the
    largest enabled encapsulation adds (IP pools and FelixConfiguration are read), and sets it where it takes effect.
  - With Calico's manifest that is C(veth_mtu) of the ConfigMap C(calico-config), with the operator
    C(calicoNetwork.mtu) of the C(Installation), and the FelixConfiguration for what neither pins.
  - Calico's own detection is left alone where it sees the uplinks. Where it passes over their names,
    C(mtuIfacePattern) is set, and where that cannot be, a fixed value.
  - With part of the cluster's nodes seen it only lowers. Fewer than 5 % of the nodes never have the value of all
    lowered; they are named in RV(findings).
  - Every change restarts calico-node or Felix on all nodes, so it waits for the consent V(calico_rollout). Users'
    pods are never restarted; RV(findings) count those that keep the MTU they were made with.
options:
  uplinks:
    description:
      - The uplink of each node, with its C(name), its C(mtu) in bytes and the C(address) that the inventory has for
        the node. P(nodeward.calico.uplinks#filter) makes it from what M(nodeward.calico.node) returned.
      - A node is known by its name or by one of its addresses. Without any uplink nothing is changed.
    type: dict
  rollout:
    description:
      - Restart calico-node for a new C(veth_mtu). With V(false) M(nodeward.calico.calico_probes), which runs after
        it, does that together with its own changes, also with O(state=restored).
      - The operator restarts it by itself in any case.
    type: bool
    default: true
  raise_others:
    description:
      - Raise also a smaller value that somebody else has set. Without it only a value that this module has set is
        raised again, and RV(findings) name a smaller one, since a path between the nodes may carry less than their
        uplinks do.
    type: bool
    default: false
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - nodeward.calico.calico
  - nodeward.calico.calico.rollout
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
attributes:
  check_mode:
    support: full
    description: Asks the API server for a dry run of exactly the patches that the real run would send.
  diff_mode:
    support: full
    description: Shows what the API server answered to the dry run, where it differs from what is there.
  idempotent:
    support: full
    description: A second run sends no patch unless something else changed the objects or the uplinks in between.
seealso:
  - module: nodeward.calico.node
  - module: nodeward.calico.calico_probes
"""

EXAMPLES = r"""
- name: See the uplinks
  nodeward.calico.node_info:
    link_mtu: {}
  register: link_mtu_result

- name: Fit Calico's MTU to them
  nodeward.calico.calico_mtu:
    uplinks: "{{ ansible_play_hosts_all | nodeward.calico.uplinks(hostvars) }}"
    allow: [calico_rollout]
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  sample:
    - trap: calico_mtu
      target: ConfigMap kube-system/calico-config data.veth_mtu
      before: "1450"
      after: "1430"
      why: a full packet of a pod is larger than what the smallest uplink carries, and vanishes (incident C)
      disrupts: calico_rollout
pending:
  description: What is needed too and waits for consent, shaped like RV(changes).
  returned: success
  type: list
  elements: dict
  sample: []
findings:
  description: What a person should know, shaped as in M(nodeward.calico.node_info).
  returned: success
  type: list
  elements: dict
  sample: []
rollout:
  description: How the rollout went forward, one line for each step. They are in the machine's log as well.
  returned: success
  type: list
  elements: str
  sample: ["DaemonSet kube-system/calico-node: 3 of 60 pods are ready anew, next node4"]
facts:
  description:
    - What was seen. C(encapsulations) are those that are enabled, with the bytes that they add; C(uplinks) has the
      number of nodes for each MTU; C(pods_with_the_old_mtu) are by namespace and owner, after a change.
  returned: when O(state=hardened)
  type: dict
  sample:
    calico_mtu:
      install: manifest
      version: 3.19.0
      encapsulations: {IP-in-IP: 20}
      uplinks: {"1450": 53}
      nodes: 53
      missed_names: []
      pods_with_the_old_mtu: {default: {StatefulSet/consul: 3}}
"""

from ..module_utils._kube.api import AUTH_ARG_SPEC, AnsibleK8SModule, carry_out
from ..module_utils._kube.calico_mtu import ARGUMENTS, run


def main() -> None:
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **ARGUMENTS}, supports_check_mode=True)
    carry_out(module, run)


if __name__ == "__main__":
    main()
