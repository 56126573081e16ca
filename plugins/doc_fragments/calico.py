# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options that the cluster's modules share; cni_token, which has no way back, only the first."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  allow:
    description:
      - Consent to changes that disrupt, one word for each kind. What is not allowed is in RV(pending).
      - All words, so that one list serves every module; M(nodeward.calico.calico_probes) and
        M(nodeward.calico.calico_mtu) ask for V(calico_rollout), M(nodeward.calico.cni_token) for V(calico_pod_restart),
        M(nodeward.calico.process_metrics) for V(exporter_rollout).
    type: list
    elements: str
    choices: [kubelet_restart, uplink_change, pod_veth_change, exporter_install, etcd_restart, etcd_outage,
      calico_rollout, calico_pod_restart, exporter_rollout]
    default: []
"""

    ROLLOUT = r"""
options:
  state:
    description:
      - With V(hardened) the trap is mended.
      - With V(restored) everything goes back to what it was before the first run; what someone else changed since is
        left and named in RV(findings).
    type: str
    choices: [hardened, restored]
    default: hardened
  pod_timeout:
    description:
      - Seconds in which each pod that was ready before has to be ready again after its restart. When one is not, what
        this run changed is put back, and the error says what Kubernetes says of that pod.
      - A pod whose own probes allow it more for its start gets that.
    type: int
    default: 600
"""
