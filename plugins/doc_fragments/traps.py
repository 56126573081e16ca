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
      - Caps the process ids of a pod and reserves some for the node's daemons in the kubelet's configuration. That
        needs its restart, so without consent (C(kubelet_restart)) nothing of it is written.
      - Raises what logins and the units of kubelet and container runtime may have, and names the pods, services and
        logins that hold most threads.
      - Where C(/proc/sys) cannot be written, as in a container, nothing is changed and a finding says so.
    type: dict
    suboptions:
      pid_max:
        description:
          - Floor of C(kernel.pid_max). The kernel's own bounds are checked first.
          - The default is 32768 on 32-bit kernels, which allow no more.
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
          - Cap on the process ids of one pod (C(podPidsLimit) of the kubelet), set only where there is none. V(-1)
            leaves pods unlimited; a number below twice what the busiest pod has now is refused.
          - When not given, what the running kubelet was told, else the larger of 4096 and four times the busiest pod.
        type: int
      system_reserved_pids:
        description:
          - Floor of C(systemReserved.pid) in the kubelet's configuration, the process ids that pods cannot take from
            the system's services. V(0) leaves it alone.
          - Refused where C(enforceNodeAllocatable) makes it the limit of a cgroup that uses more than half of it, or
            where what is reserved would leave to all pods together less than twice the threads that they have.
        type: int
        default: 1024
      kube_reserved_pids:
        description: The same for kubelet and container runtime (C(kubeReserved.pid)).
        type: int
        default: 1024
      exact:
        description:
          - Set O(pid_limits.pid_max) and O(pid_limits.threads_max) exactly, also when that lowers them.
          - Refused where a value would be below twice the threads that run now. V(auto) stays a floor.
        type: bool
        default: false
      nproc:
        description:
          - Raise the limit on processes of logins (C(nproc), C(ulimit -u)) to O(pid_limits.pid_max), or to the
            kernel.pid_max in force where that is higher, for everybody and for root, in a file of its own in
            C(/etc/security/limits.d). Holds for new logins.
          - Limits of single users and groups are left alone.
        type: bool
        default: true
      tasks_max:
        description:
          - Floor of C(TasksMax) of the units in which kubelet and container runtime run, a number or V(infinity).
          - Takes effect at once, without a restart.
        type: str
        default: infinity
  link_mtu:
    description:
      - Trap C(link_mtu). Packets that fit the pod and the tunnel but not the uplink vanish.
      - Lowers tunnels of Calico that are larger than what their uplink carries minus what they add, where no Felix runs
        that would put them back. Where one does, a finding names the setting in the cluster.
      - Raising a tunnel, and changing the uplink and its file, waits for the consent C(uplink_change); lowering
        the links of running pods for C(pod_veth_change).
      - Needs pyroute2 on the node; without it nothing is seen or changed, and RV(missing) names it.
    type: dict
    suboptions:
      uplink:
        description:
          - Name of the link by which packets between nodes leave. When neither this nor O(link_mtu.address) is given,
            the link that carries the address which the kubelet was told (C(--node-ip)), or the outer address of
            Calico's VXLAN; else that of the default route.
        type: str
      address:
        description: The node's Calico or Kubernetes address; the link that carries it is the uplink.
        type: str
      uplink_mtu:
        description:
          - MTU of the uplink in bytes, 1280 or more, now and after the next boot. Tunnels that no Felix owns follow it.
          - When not given, the uplink is left as it is, and no tunnel is raised.
        type: int
  bird_watchdog:
    description:
      - Trap C(bird_watchdog). A BIRD of Calico that remembers every link there ever was spins, and routes go stale.
      - Installs a small daemon with its systemd unit (C(nodeward-bird-watchdog)). It kills a C(bird) or C(bird6) of
        Calico whose CPU share stays at the threshold, when its peers will keep the routes meanwhile, and nothing else.
      - Tells the share of each BIRD now, its age, links, version of Calico and the kills of the last week.
    type: dict
    suboptions:
      state:
        description: With V(absent) the daemon is stopped and everything of it is removed, its file of events included.
        type: str
        choices: [present, absent]
        default: present
      mode:
        description: With V(observe) it kills nothing and only tells what it would kill.
        type: str
        choices: [enforce, observe]
        default: enforce
      threshold:
        description: CPU share, in percent of one core, from which on a BIRD spins; 50 to 95.
        type: int
        default: 85
      window:
        description:
          - How long the share has to be at or above the threshold, in all and over every quarter of that time, in
            seconds; 2 to 3600, and at least two intervals.
        type: int
        default: 120
      interval:
        description: Seconds between two samples; 1 to 20.
        type: int
        default: 5
      cooldown:
        description:
          - Seconds after a kill, or after BIRD's own start, in which it is not killed (again); 0 to 86400. Below 300 a
            second kill can meet a BIRD that still recovers, and its peers then drop the routes.
        type: int
        default: 300
      daily_limit:
        description: Kills in 24 h, of C(bird) and of C(bird6) each, after which it only tells; 0 to 1000.
        type: int
        default: 3
      random_delay:
        description:
          - Longest random delay before a kill, in seconds, 0 to 3600, so that a fleet does not act in step. The share
            has to be at the threshold all the time.
        type: int
        default: 60
      signal:
        description: The signal that kills. With V(TERM) BIRD says goodbye, and its peers drop the routes at once.
        type: str
        choices: [KILL, TERM]
        default: KILL
      kill_without_graceful_restart:
        description: Kill also where an established peer did not negotiate graceful restart and drops the routes.
        type: bool
        default: false
      textfile_folder:
        description:
          - Folder of node-exporter's textfile collector, for the metrics. An empty text is for none.
          - When not given, the one that the node's own exporter reads, or C(/var/lib/node_exporter), which
            C(process_metrics) has it read; where none runs, the first of C(/var/lib/prometheus/node-exporter),
            C(/var/lib/node_exporter) and C(/var/lib/node-exporter) that is there.
        type: str
  cni_token:
    description:
      - Trap C(cni_token). The token by which Calico's CNI plugin reads the datastore is stale or refused, and no pod
        can be made or removed on the node.
      - Decodes it and tries it at the API server; it is never shown. Says whether it is accepted, refused (401) or not
        allowed to read (403), or that nobody answers, and how often the CNI's log has refusals.
      - A new token comes with a new pod of calico-node, which M(nodeward.calico.cni_token) makes.
      - Where node-exporter reads a textfile folder on the node, a timer of systemd (C(nodeward-cni-token)) writes the
        end of the token for it every five minutes.
    type: dict
    suboptions:
      metrics:
        description: Have the timer. With V(false) it and what it wrote are taken away.
        type: bool
        default: true
  etcd_timing:
    description:
      - Trap C(etcd_timing). Heartbeats that come too late make elections, and each stalls the cluster.
      - Tells the members of etcd on the node, what they run with, where that is set, and what their own metrics say.
        Nothing of it is written here, since the values have to be equal on all members and take restarts. That is
        done by C(harden.yml), one member at a time.
      - Gives every thread of etcd the I/O class best-effort, level 0, now and after every start.
    type: dict
    suboptions:
      mode:
        description:
          - With V(fixed) all members get O(etcd_timing.heartbeat_interval) and O(etcd_timing.election_timeout).
          - With V(measured) both are chosen from the round trips and disk times that etcd has counted since it started.
        type: str
        choices: [fixed, measured]
        default: fixed
      heartbeat_interval:
        description: Milliseconds between two heartbeats of the leader.
        type: int
        default: 250
      election_timeout:
        description: Milliseconds without a heartbeat before a follower stands for election, at least 5 heartbeats.
        type: int
        default: 5000
      snapshot_count:
        description: Writes between two snapshots of the log. When not given, it is left alone.
        type: int
      auto_compaction_mode:
        description: >-
          How etcd compacts by itself. Given together with O(etcd_timing.auto_compaction_retention), which means
          something else with each. When neither is given, it is left alone.
        type: str
        choices: [periodic, revision]
      auto_compaction_retention:
        description: Hours, a duration such as V(5m), or a number of revisions. When not given, it is left alone.
        type: str
      quota_backend_bytes:
        description: Size of the database at which etcd takes no more writes. When not given, it is left alone.
        type: int
      io_priority:
        description: Whether to give etcd its I/O priority.
        type: bool
        default: true
      measured_after:
        description: Seconds that every member has to have run for before V(measured) chooses by what it has counted.
        type: int
        default: 3600
  etcd_defrag:
    description:
      - Trap C(etcd_defrag). What deleted keys have left in etcd's database counts towards its quota.
      - On nodes with a member of etcd, a timer that defragments it where that pays, with the checks and the lock of
        M(nodeward.calico.etcd_defrag). There is none unless O(etcd_defrag.timer) is given.
    type: dict
    suboptions:
      timer:
        description:
          - When to look, as C(OnCalendar) of systemd takes it, such as V(Sun *-*-* 03:00).
          - When empty there is no timer, and one that was there is taken away.
        type: str
        default: ""
      least_bytes:
        description: Bytes that have to be won at least.
        type: int
        default: 104857600
      most_in_use:
        description: Share of the database that may be in use at most, above 0 and at most 1.
        type: float
        default: 0.5
      any_version:
        description: Also with a version of etcd that can corrupt a database which is defragmented.
        type: bool
        default: false
      allow_outage:
        description:
          - Also where the others are no quorum without the member (a cluster of one or two). The cluster takes no write
            meanwhile; without it the timer refuses.
        type: bool
        default: false
  process_metrics:
    description:
      - Trap C(process_metrics). Process ids run out unseen where nothing counts them.
      - Turns on the collector C(processes) and a textfile folder of the node-exporter that a unit of systemd runs on
        the node, in the variable of its environment file or by a drop-in, and restarts it when something changed.
      - What makes a scrape take more than half of O(process_metrics.scrape_timeout), or keeps the exporter from coming
        back, is put back, and a finding says so. One that runs in a pod is only told of.
      - Where none runs, installs that of the node's distribution (Debian and what is made from it), with the consent
        C(exporter_install).
    type: dict
    suboptions:
      textfile:
        description: Give an exporter that reads no textfile folder C(/var/lib/node_exporter); one that it has stays.
        type: bool
        default: true
      scrape_timeout:
        description: How long Prometheus waits for the exporter (its C(scrape_timeout)), in seconds.
        type: int
        default: 10
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
