#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: calico_probes
short_description: Keep calico-node from being restarted under load and before it has started
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Raises the probes of calico-node to floors, and gives its start the time that it needs in this cluster. Nothing is
    ever lowered, and a probe that is enough already stays as it is.
  - Finds out how Calico was installed. With the manifest the DaemonSet is changed. With the operator, which reverts
    that, the C(Installation) is, where the one that the API server serves has a field for probes; where it has none
    nothing is changed and RV(findings) name the versions that do.
  - What GitOps tools keep (Argo CD, Flux, Fleet, the addon manager) is not changed; RV(findings) say what to set there.
  - Every change restarts calico-node on all nodes, one after another, so it waits for the consent V(calico_rollout).
  - What was there before is kept in the ConfigMap C(nodeward-journal) in C(kube-system).
  - Runs once, where the API server is reached, usually on the control machine.
options:
  timeout:
    description: Floor of C(timeoutSeconds) of calico-node's probes, in seconds.
    type: int
    default: 60
  initial_delay:
    description: Floor of C(initialDelaySeconds) of calico-node's liveness probe, in seconds.
    type: int
    default: 60
  failure_threshold:
    description: Floor of C(failureThreshold) of calico-node's liveness probe.
    type: int
    default: 10
  other_timeout:
    description: Floor of C(timeoutSeconds) of the probes of calico-typha and calico-kube-controllers, in seconds.
    type: int
    default: 10
  startup_probe:
    description:
      - Give calico-node a C(startupProbe) that runs what its liveness probe runs, where the API server supports it
        (Kubernetes 1.18). Where it does not, or with V(false), the liveness probe itself waits long enough.
    type: bool
    default: true
  round_trip:
    description:
      - Milliseconds that one request to the datastore takes from the most distant node. The start of calico-node needs
        10 s and nine of these for each node of the cluster.
      - When not given, it is measured from where the module runs. Then it counts only where the start has less than its
        floor, and asks for ten minutes at most; later a longer one is a finding, and changes nothing.
    type: float
  startup_loglevel:
    description: C(CALICO_STARTUP_LOGLEVEL) of calico-node; V(absent) removes it. When not given it stays as it is.
    type: str
    choices: [DEBUG, INFO, WARNING, ERROR, FATAL, absent]
  containers:
    description: A JMESPath expression that selects containers, or their names, from the DaemonSet's list of containers.
    type: str
    default: "[?name=='calico-node']"
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - nodeward.calico.calico
  - nodeward.calico.calico.rollout
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
  - jmespath
  - PyYAML >= 3.11
attributes:
  check_mode:
    support: full
    description: Asks the API server for a dry run of exactly the patch that the real run would send.
  diff_mode:
    support: full
    description: Shows what the API server answered to the dry run, where it differs from what is there.
  idempotent:
    support: full
    description: A second run sends no patch unless something else changed the objects in between.
seealso:
  - module: nodeward.calico.node
"""

EXAMPLES = r"""
- name: Show what would be changed
  nodeward.calico.calico_probes:
    allow: [calico_rollout]
  check_mode: true
  diff: true
  run_once: true
  delegate_to: localhost

- name: Give calico-node the time that it needs where the datastore is 230 ms away
  nodeward.calico.calico_probes:
    round_trip: 230
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
    - trap: calico_probes
      target: DaemonSet kube-system/calico-node calico-node.livenessProbe.timeoutSeconds
      before: "1"
      after: "60"
      why: a probe that answers late on a loaded node counts as failed, and calico-node is restarted (incident A2)
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
    - What was seen before any change. C(startup_needed) and C(startup_budget) are in seconds, C(round_trip) too;
      C(managers) are those that set the probes, as managedFields tell.
  returned: when O(state=hardened)
  type: dict
  sample:
    calico_probes:
      install: manifest
      version: 3.19.0
      managers: [kubectl-client-side-apply]
      installation_managers: []
      nodes: 53
      round_trip: 0.23
      startup_needed: 120
      startup_budget: 70
"""

import traceback
from functools import partial

from ansible.module_utils.basic import missing_required_lib

try:
    import jmespath

    _NO_JMESPATH = None
except ImportError:
    _NO_JMESPATH = traceback.format_exc()

from ..module_utils._kube.api import AUTH_ARG_SPEC, AnsibleK8SModule, carry_out
from ..module_utils._kube.calico_probes import ARGUMENTS, run


def main() -> None:
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **ARGUMENTS}, supports_check_mode=True)
    if _NO_JMESPATH:
        module.fail_json(msg=missing_required_lib("jmespath"), exception=_NO_JMESPATH)
    carry_out(module, partial(run, search=jmespath.search))


if __name__ == "__main__":
    main()
