#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_defrag
short_description: Defragment the member of etcd on this node, where that pays
version_added: 0.1.0
author: The nodeward.calico founders (@nodeward)
description:
  - Gives the disk what deleted keys have left in etcd's database. A member answers nothing meanwhile.
  - Only where there is enough to win, only when all members are well and caught up, and under the same lock in etcd as
    M(nodeward.calico.etcd_member), which is kept alive through another member. A leader hands over first.
  - Refused where it may take longer than half of what the kubelet gives etcd before it kills it (the liveness probe of
    its manifest), and with versions of etcd that can corrupt a database meanwhile (before 3.4.38, 3.5.23 and 3.6.5).
  - Run it from a play with C(serial=1), as C(defrag.yml) does.
options:
  least_bytes:
    description: Bytes that have to be won at least.
    type: int
    default: 104857600
  most_in_use:
    description: Share of the database that may be in use at most.
    type: float
    default: 0.5
  allow:
    description: Consent. Without it nothing is done, and RV(members) tell what it would win.
    type: bool
    default: false
  any_version:
    description:
      - Also with a version of etcd that can corrupt the database of a member which takes a snapshot from the leader
        meanwhile. That all members are caught up is looked at in any case.
    type: bool
    default: false
  allow_outage:
    description:
      - Consent for a member that the others are no quorum without (a cluster of one or two), C(etcd_outage) in
        C(harden_allow). The cluster takes no write meanwhile; refused where that may be longer than 40 s.
    type: bool
    default: false
requirements:
  - Linux, Python 3.9 or newer, root on the node; etcdctl only where etcd's HTTP gateway is off
attributes:
  check_mode:
    support: full
    description: Tells what it would win, and does nothing.
  diff_mode:
    support: none
    description: There is nothing to show but sizes, which RV(members) have.
  idempotent:
    support: full
    description: A database that has just been defragmented is not worth it again.
seealso:
  - module: nodeward.calico.etcd_member
"""

EXAMPLES = r"""
- name: Defragment where half a gigabyte is to be won
  nodeward.calico.etcd_defrag:
    least_bytes: 536870912
    allow: true
"""

RETURN = r"""
members:
  description: >-
    The sizes of each member's database before and after, whether it pays, why, what speaks against it, and how long
    it took.
  returned: success
  type: list
  elements: dict
  sample:
    - name: node1
      before: 524288000
      in_use: 104857600
      after: 104869888
      seconds: 2.4
      pays: true
      why: 524288000 bytes, 20% in use
      refused: ""
      predicted_seconds: 2.0
      moved_leader_to: node2
changes:
  description: The same in the form in which other modules tell of their changes.
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
"""

from functools import partial

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._core.errors import NodewardError, of_system
from ..module_utils._core.host import LocalHost
from ..module_utils._etcd.defrag import ARGUMENTS, run
from ..module_utils._etcd.verdict import Policy


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    host = LocalHost(run_command=partial(module.run_command, handle_exceptions=False))
    try:
        module.exit_json(**run(host, Policy(**module.params), module.check_mode))
    except NodewardError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=str(of_system(error)))


if __name__ == "__main__":
    main()
