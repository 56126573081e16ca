# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options that node and node_info share: one dictionary per node trap."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  pid_limits:
    description:
      - Trap C(pid_limits). The node runs out of process ids, and every thread takes one.
      - Raises C(kernel.pid_max) and C(kernel.threads-max) to floors, now and for the next boot, and tells how near
        the node is to each limit. Values that are higher already are left alone.
      - Where C(/proc/sys) cannot be written, as in a container, nothing is changed and a finding says so.
    type: dict
    suboptions:
      pid_max:
        description: Floor of C(kernel.pid_max). The kernel's own bounds are checked first.
        type: int
        default: 4194304
      threads_max:
        description:
          - Floor of C(kernel.threads-max), a number or V(auto).
          - V(auto) is O(pid_limits.max_pods) x O(pid_limits.pids_per_pod) + 2048, at most what takes half of the
            memory (32 KiB a thread on 64 bits with pages of 4 KiB), and never below the present value.
        type: str
        default: auto
      max_pods:
        description: Pods that the node may run. When not given, what the running kubelet was told, or its default 110.
        type: int
      pids_per_pod:
        description:
          - Process ids that one pod may take, V(-1) for no limit. When not given, what the running kubelet was told.
          - Where pods have no limit, 4096 each are assumed.
        type: int
      exact:
        description:
          - Set O(pid_limits.pid_max) and O(pid_limits.threads_max) exactly, also when that lowers them.
          - Refused where a value would be below twice the threads that run now. V(auto) stays a floor.
        type: bool
        default: false
  tags:
    description: The tags of the playbook's run (C(ansible_run_tags)). Only traps named here run, with V(all) every one.
    type: list
    elements: str
    default: [all]
  skip_tags:
    description: The tags that the playbook's run leaves out (C(ansible_skip_tags)). Traps named here do not run.
    type: list
    elements: str
    default: []
attributes:
  action_group:
    description: Use C(group/nodeward.calico.node_traps) in C(module_defaults) to give both modules the same policies.
    support: full
    membership:
      - nodeward.calico.node_traps
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying the target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), in diff mode.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second run changes nothing.
"""
