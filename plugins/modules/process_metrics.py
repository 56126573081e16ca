#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: process_metrics
short_description: Have the node-exporter of a DaemonSet count the nodes' processes
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Finds every DaemonSet that runs a node-exporter, as kube-prometheus-stack does, in all namespaces, and gives it
    what it lacks, in one patch - the flag C(--collector.processes), C(hostPID), and a folder of the nodes for its
    textfile collector. Nothing else of it is changed. A node-exporter that a unit of systemd runs is the matter of
    M(nodeward.calico.node).
  - What GitOps tools keep (Argo CD, Flux, Fleet, the addon manager), or an operator owns, is not changed;
    RV(findings) say what to set there. What the next C(helm upgrade) would put back is changed, and told of.
  - Every change restarts the DaemonSet's pods, one node after another, so it waits for the consent V(exporter_rollout).
  - What was there before is kept in the ConfigMap C(nodeward-journal) in C(kube-system).
  - Runs once, where the API server is reached, usually on the control machine.
options:
  textfile:
    description:
      - Give a DaemonSet whose textfile collector reads no folder C(/var/lib/node_exporter) of its nodes; one that it
        has stays. The kubelet makes the folder where it is not there.
    type: bool
    default: true
  scrape_timeout:
    description:
      - How long Prometheus waits for the exporter (its C(scrape_timeout)), in seconds. Where the quickest of three
        scrapes of a pod takes more than half of it after the rollout, everything is put back, an annotation of the
        DaemonSet says why and keeps later runs from trying again, and the module does not fail.
      - Up to 20 pods are asked, through the API server's proxy (C(get) on C(pods/proxy)). One that does not answer
        there before the change is not measured.
    type: int
    default: 10
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
  nodeward.calico.process_metrics:
    allow: [exporter_rollout]
  check_mode: true
  diff: true
  run_once: true
  delegate_to: localhost

- name: Count the processes of all nodes
  nodeward.calico.process_metrics:
    allow: [exporter_rollout]
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
    - trap: process_metrics
      target: DaemonSet monitoring/prometheus-node-exporter node-exporter.args.--collector.processes
      before: null
      after: --collector.processes
      why: every thread takes a process id, and what nobody counts runs out unseen (incident B)
      disrupts: exporter_rollout
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
  sample: ["DaemonSet monitoring/prometheus-node-exporter: 3 of 60 pods are ready anew, next node4"]
facts:
  description:
    - What was seen before any change. C(textfile_folder) is the folder of the nodes that is read, empty for none.
  returned: when O(state=hardened)
  type: dict
  sample:
    process_metrics:
      daemon_sets:
        - name: monitoring/prometheus-node-exporter
          pods: 60
          processes: false
          host_pid: true
          textfile_folder: ""
"""

from ..module_utils._kube.api import AUTH_ARG_SPEC, AnsibleK8SModule, carry_out
from ..module_utils._kube.process_metrics import ARGUMENTS, run


def main() -> None:
    carry_out(AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **ARGUMENTS}, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
