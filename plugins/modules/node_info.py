#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: See which known causes a Kubernetes node with Calico could die of
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Makes the same observations and the same plan as M(nodeward.calico.node) with the same options, and never writes.
  - Whatever M(nodeward.calico.node) would change, or refuse, is phrased as a finding.
  - With O(probe_paths) it measures the paths to other nodes instead.
options:
  probe_paths:
    description:
      - Measure the largest packet that really passes on the paths of O(paths_to), and do nothing else. The result has
        them as RV(facts.paths), and findings for those that carry less than both of their ends are set to.
      - Sends ICMP echo requests that may not be cut into pieces. Two where the path is well, up to 46 where
        an unusual size passes (36 where O(paths_to[].mtu) is 1500, 40 where it is 9000), twice as many where packets
        are lost by chance, too; at most 50 a second. Up to 24 paths are measured, and none is begun after 45 seconds;
        the last one may take 19 more, or 38 where packets are lost by chance.
      - Without it, or a trap, there is nothing to do, and that is an error.
    type: bool
  paths_to:
    description: The paths, as P(nodeward.calico.path_targets#filter) returns them. Needs O(probe_paths).
    type: list
    elements: dict
    suboptions:
      node:
        description: The node at the other end.
        type: str
        required: true
      over:
        description: The link that packets leave by, for the words of findings.
        type: str
        required: true
      address:
        description: The address that is asked, one of another node.
        type: str
        required: true
      mtu:
        description: The size that should pass, in bytes with the header of IP, from 64 to 65535.
        type: int
        required: true
      carries:
        description:
          - What the uplinks of both ends carry, in bytes, of a tunnel minus what that adds. Less than the MTU of an
            uplink where it stands on something smaller.
          - Where as much passes, it is the link that is too large, and nothing in between that carries less.
        type: int
extends_documentation_fragment:
  - nodeward.calico.traps
requirements:
  - Linux with systemd, Python 3.9 or newer, root on the node
  - pyroute2 0.7.2 or newer on the node for O(link_mtu)
attributes:
  check_mode:
    support: full
    description: The module only reads.
  diff_mode:
    support: N/A
    description: The module changes nothing.
  idempotent:
    support: full
    description: The module changes nothing.
seealso:
  - module: nodeward.calico.node
"""

EXAMPLES = r"""
- name: Audit the node against the defaults
  nodeward.calico.node_info:
    pid_limits: {}
  register: audit
"""

RETURN = r"""
findings:
  description: What a person should know, the worst first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The trap and what was found, the same in every release.
      type: str
    trap:
      description: The trap.
      type: str
    severity:
      description: How bad it is; C(info), C(low), C(medium) or C(high).
      type: str
    where:
      description: The parameter, file or cgroup.
      type: str
    observed:
      description: What is there.
      type: str
    wanted:
      description: What should be there.
      type: str
    why:
      description: Why it matters, with the incident or the upstream source.
      type: str
    remedy:
      description: What to do or run.
      type: str
    mended:
      description: Whether M(nodeward.calico.node) mends it.
      type: bool
  sample:
    - id: pid_limits.sysctl:kernel.pid_max
      trap: pid_limits
      severity: high
      where: sysctl kernel.pid_max
      observed: "49152"
      wanted: "4194304"
      why: every thread takes a process id; when they run out, nothing new can start on the node (incident B)
      remedy: ansible-playbook nodeward.calico.harden --tags pid_limits
      mended: true
changes:
  description: What M(nodeward.calico.node) would change, or plan and leave pending, shaped as it returns it.
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
facts:
  description:
    - What was seen, by trap, shaped as M(nodeward.calico.node) returns it.
    - With O(probe_paths) only C(paths). C(measured) has for each path what was asked for, what C(passes) (none where
      nothing was answered), the C(packets) that it took, and whether the node's own kernel refused the smallest size
      that failed (C(not_sent)); C(left) is how many paths were not measured, C(packets) the sum, and C(per_second) how
      many left the node in a second at most.
  returned: success
  type: dict
  sample: {}
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.errors import NodewardError
from ..module_utils._core.host import LocalHost
from ..module_utils._node import paths
from ..module_utils._node.run import inform, probe
from ..module_utils._node.traps import TRAPS, argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={**argument_spec(), **paths.OPTIONS},
        required_one_of=[[*TRAPS, "probe_paths"]],
        required_if=[("probe_paths", False, list(TRAPS), True)],
        required_by={"paths_to": ["probe_paths"]},
        supports_check_mode=True,
    )
    try:
        run_command = partial(module.run_command, handle_exceptions=False)
        look = probe if module.params["probe_paths"] else inform
        module.exit_json(**look(module.params, LocalHost(run_command=run_command)))
    except NodewardError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
