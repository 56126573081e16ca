#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cni_token
short_description: Give a node a new CNI token where its own is refused
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Where the token of Calico's CNI plugin is refused on a node, or is about to expire, deletes calico-node's pod
    there and waits until a new one is ready, which writes a new token. That helps in every release of Calico.
  - Where the node got neither yes nor a refusal from the API server nothing is restarted, however soon the token
    expires.
  - First a fresh token of the same service account is asked for and tried. Where that is refused as well nothing is
    restarted, as calico-node itself would not start again.
  - For one node at a time. Where more than three nodes are refused it only reports, since then the cause is the
    cluster's.
  - Whether the node's own new token is accepted is for M(nodeward.calico.node_info) to say, on the node.
options:
  seen:
    description:
      - What M(nodeward.calico.node_info) saw on the node, C(facts.cni_token).
    type: dict
    required: true
  refused:
    description: How many nodes of the cluster have a token that is refused.
    type: int
    default: 1
  pod_timeout:
    description: Seconds in which the new pod has to be ready, or those that its own probes allow, if that is more.
    type: int
    default: 600
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - nodeward.calico.calico
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
attributes:
  check_mode:
    support: full
    description: Tries a fresh token as the real run does, and says which pod it would delete.
  diff_mode:
    support: full
    description: Names the pod.
  idempotent:
    support: full
    description: A node whose token is accepted and not about to expire is left alone.
seealso:
  - module: nodeward.calico.node_info
"""

EXAMPLES = r"""
- name: See the token
  nodeward.calico.node_info:
    cni_token: {}
  register: audit

- name: Have a new one made where it is refused
  nodeward.calico.cni_token:
    seen: "{{ audit.facts.cni_token }}"
    allow: [calico_pod_restart]
  delegate_to: localhost
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  sample:
    - trap: cni_token
      target: Pod kube-system/calico-node-x7k2p
      before: its node's CNI token is refused
      after: a new pod, which writes a new one
      why: no pod can be made or removed on the node without a good token (incident A4)
      disrupts: calico_pod_restart
pending:
  description: What is needed too and waits for consent, shaped like RV(changes).
  returned: success
  type: list
  elements: dict
  sample: []
issued_before:
  description: When the node's old token was issued, in seconds since 1970; the new one has another time.
  returned: when a pod was deleted
  type: int
  sample: 1700000000
findings:
  description: What a person should know, shaped as in M(nodeward.calico.node_info).
  returned: success
  type: list
  elements: dict
  sample: []
rollout:
  description: How it went forward, one line for each step. They are in the machine's log as well.
  returned: success
  type: list
  elements: str
  sample: ["node1: a new pod of calico-node is ready"]
"""

from ..module_utils._kube.api import AUTH_ARG_SPEC, AnsibleK8SModule, carry_out
from ..module_utils._kube.cni_token import ARGUMENTS, run


def main() -> None:
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **ARGUMENTS}, supports_check_mode=True)
    carry_out(module, run)


if __name__ == "__main__":
    main()
