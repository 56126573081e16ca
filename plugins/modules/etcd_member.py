#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Give one member of etcd its timing, and restart it without the cluster losing a write
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Writes what was decided for all members of a cluster into the configuration of the one on this node, where it stands
    (see M(nodeward.calico.node), trap C(etcd_timing)), restarts it, and waits until it is well.
  - Run it from a play with C(serial=1), as C(harden.yml) does. A lock in etcd keeps every other run, and
    defragmentation, away meanwhile.
  - Before anything is written, every member has to be well and caught up, with no learner, alarm or defragmentation,
    and the others have to be a quorum. The leader hands over first.
  - When anything fails after the writing, the configuration of before is put back and the member restarted with it.
  - A member that a killed run has left down, with a configuration with which it does not start, gets that of before
    back and is started, whatever O(clusters) says. One that somebody has stopped since is left alone, and RV(findings)
    tells of it.
  - Where nothing is to be changed, nothing is restarted, and etcd is asked nothing that costs it a write.
options:
  state:
    description:
      - With V(hardened) the values of O(clusters) are set.
      - With V(restored) what this module changed goes back to what it was before the first run; O(clusters) then only
        names the clusters.
    type: str
    choices: [hardened, restored]
    default: hardened
  clusters:
    description:
      - What every member of a cluster is to run with, by the cluster's id in hexadecimal, and in it by etcd's names
        (C(heartbeat-interval), C(election-timeout), ...). Members of other clusters are left alone.
    type: dict
    required: true
  allow:
    description:
      - Consent. V(etcd_restart) for a member that the others are a quorum without, V(etcd_outage) for one that cannot
        be missed, so that the cluster is without etcd for some seconds.
      - Without it nothing is written, and RV(pending) tells what waits.
    type: list
    elements: str
    choices: [etcd_restart, etcd_outage]
    default: []
  snapshot:
    description: Whether to save the database first. It holds every Secret of the cluster (mode 0600).
    type: bool
    default: true
  snapshot_folder:
    description:
      - Where the snapshot goes. When not given, C(/var/lib/nodeward/etcd), or a folder on another disk than etcd's data
        where there is one with room for twice the database.
      - The two newest are kept, for a week at most.
    type: path
requirements:
  - Linux with systemd, Python 3.9 or newer, root on the node; etcdctl only where etcd's HTTP gateway is off
attributes:
  check_mode:
    support: full
    description: Reports the changes that it would make, and refuses where the run would.
  diff_mode:
    support: full
    description: Shows the settings before and after.
  idempotent:
    support: full
    description: A second run changes nothing unless something else changed the member in between.
seealso:
  - module: nodeward.calico.node
"""

EXAMPLES = r"""
- name: Give this member what was decided for all
  nodeward.calico.etcd_member:
    clusters:
      cdf818194e3a8c32: {heartbeat-interval: 250, election-timeout: 5000}
    allow: [etcd_restart]
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  sample:
    - trap: etcd_timing
      target: env /etc/etcd.env#ETCD_HEARTBEAT_INTERVAL,ETCD_ELECTION_TIMEOUT
      before: null
      after: ETCD_HEARTBEAT_INTERVAL=250 ETCD_ELECTION_TIMEOUT=5000
      why: heartbeats that come too late make elections, and each stalls the cluster (incident A1)
      disrupts: etcd_restart
pending:
  description: What waits for consent, shaped like RV(changes).
  returned: success
  type: list
  elements: dict
  sample: []
members:
  description: For each member that was restarted, where the snapshot is, who leads instead, and how long it took.
  returned: success
  type: list
  elements: dict
  sample:
    - name: node1
      snapshot: /var/lib/nodeward/etcd/etcd-node1-20260101T000000Z.db
      moved_leader_to: node2
      seconds: 13.1
findings:
  description: What a person should know, shaped as in M(nodeward.calico.node_info).
  returned: success
  type: list
  elements: dict
  sample: []
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.errors import NodewardError, of_system
from ..module_utils._core.host import LocalHost
from ..module_utils._etcd.run import ARGUMENTS, wanted
from ..module_utils._etcd.run import run as act


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    host = LocalHost(run_command=partial(module.run_command, handle_exceptions=False))
    try:
        module.exit_json(**act(host, wanted(module.params), module.check_mode, module.params["allow"]))
    except NodewardError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=str(of_system(error)))


if __name__ == "__main__":
    main()
