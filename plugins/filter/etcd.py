# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the members of etcd are to run with, decided once over what all nodes returned.

Documented in etcd_hosts.yml, etcd_decision.yml, etcd_due.yml and etcd_kubeadm.yml.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

from ..module_utils._core.plan import Finding
from ..module_utils._etcd.decision import MEASURED, Decision, Member, Policy, decide
from ..module_utils._etcd.settings import ELECTION, HEARTBEAT, Values
from ..module_utils._etcd.way_back import decide_back

TRAP = "etcd_timing"

Variables = Mapping[str, Mapping[str, Any]]


def etcd_hosts(hosts: Iterable[str], variables: Variables) -> list[str]:
    """Return the hosts on which a member of etcd was seen, those that lead last."""
    return _leaders_last([host for host in hosts if _facts(host, variables).get("members")], variables)


def etcd_decision(hosts: Iterable[str], variables: Variables, restore: bool = False) -> dict[str, Any]:
    """Return ``findings``, and in ``due`` what each host's members need, by host; those that lead come last.

    With ``restore`` those that have something to go back to; what each needs is in its own journal then. ``first`` are
    the hosts that come first of those of a cluster: before them a snapshot is saved.
    """
    due: dict[str, dict[str, Any]] = {}
    first: list[str] = []
    findings: list[dict[str, Any]] = []
    hosts = list(hosts)
    for host in hosts:
        if _facts(host, variables).get("stranded"):
            due[host] = {}  # it has to be brought up before anything can be decided for its cluster
    for decision in _going_back(hosts, variables) if restore else _decided(hosts, variables):
        found = [*_problems(decision)] if restore else [*_findings(decision, _policy(decision, variables))]
        findings += [finding.describe() for finding in found]
        first += [member.host for member in decision.due[:1] if not decision.refused]
        for member in () if decision.refused else decision.due:
            due.setdefault(member.host, {})[decision.cluster_id] = dict(decision.wanted)
    return {"changed": False, "changes": [], "findings": findings, "due": due, "first": first}


def etcd_kubeadm(hosts: Iterable[str], variables: Variables, restore: bool = False) -> dict[str, Any]:
    """Return ``hosts``, of each cluster the first with a static pod of kubeadm's, and by host its ``arguments``.

    None of a cluster of which a member waits, failed or was not seen: kubeadm's copy is for all of its members. With
    ``restore`` there are no arguments, and a host is told once nothing waits any more.
    """
    names = list(hosts)
    arguments: dict[str, dict[str, str]] = {}
    for decision in _going_back(names, variables, every=True) if restore else _decided(names, variables):
        pods = [member.host for member in decision.members if member.flavour == "kubeadm"]
        concerned = {member.host: member in decision.due for member in (decision.members if restore else decision.due)}
        is_done = all(_is_done(variables.get(host, {}), is_due) for host, is_due in concerned.items())
        if pods and is_done and not decision.refused:
            arguments.setdefault(pods[0], {name: str(value) for name, value in decision.wanted.items()})
    return {"hosts": list(arguments), "arguments": arguments}


def _is_done(told: Mapping[str, Any], is_due: bool) -> bool:
    result = told.get("etcd_member_result")
    if result is None:
        return not is_due and not _waits(told.get("node_result") or {})
    # one that was held back has the result of a skipped task
    return not any(result.get(word) for word in ("failed", "unreachable", "skipped", "pending"))


def etcd_due(hosts: Iterable[str], variables: Variables, restore: bool = False) -> list[str]:
    """Return the hosts with a member that is to be changed, in the order in which that is done.

    With ``restore`` those whose journal knows of something to go back to.
    """
    return list(etcd_decision(hosts, variables, restore)["due"])


def _leaders_last(hosts: list[str], variables: Variables) -> list[str]:
    return sorted(hosts, key=lambda host: any(_leads(each) for each in _members(host, variables)))


def _waits(result: Mapping[str, Any]) -> bool:
    return any(each["trap"] == TRAP for each in result.get("pending") or [])


def _leads(member: Mapping[str, Any]) -> bool:
    return bool((member.get("evidence") or {}).get("is_leader"))


def _facts(host: str, variables: Variables) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = (variables.get(host, {}).get("node_result") or {}).get("facts") or {}
    return facts.get(TRAP) or {}


def _members(host: str, variables: Variables) -> list[Mapping[str, Any]]:
    return list(_facts(host, variables).get("members") or [])


def _going_back(hosts: Iterable[str], variables: Variables, every: bool = False) -> list[Decision]:
    names = list(hosts)
    members = [Member.read(host, told) for host in names for told in _members(host, variables)]
    waiting = {host: (variables.get(host, {}).get("node_result") or {}).get("pending") or () for host in names}
    return decide_back(members, waiting, every)


def _decided(hosts: Iterable[str], variables: Variables) -> list[Decision]:
    members, policies = [], {}
    for host in hosts:
        for told in _members(host, variables):
            members.append(Member.read(host, told))
            policies[host] = Policy(**_facts(host, variables)["policy"])
    return decide(members, policies)


def _policy(decision: Decision, variables: Variables) -> Policy:
    return Policy(**_facts(decision.members[0].host, variables)["policy"])


def _where(decision: Decision) -> str:
    return f"etcd cluster {decision.cluster_id} ({', '.join(member.name for member in decision.members)})"


def _problems(decision: Decision) -> Iterator[Finding]:
    for problem in decision.problems:
        yield Finding(
            id=f"{TRAP}.{'not_done' if problem.refused else problem.id}",
            severity="high" if problem.refused else problem.severity,
            where=_where(decision),
            observed=problem.what,
            wanted=_WANTED.get(problem.id, "values that all members can run with"),
            why="nothing was changed in this cluster" if problem.refused else "the values were taken all the same",
            remedy="Mend that, then run again on all nodes" if problem.refused else "Choose others if that matters",
        )


def _findings(decision: Decision, policy: Policy) -> Iterator[Finding]:
    yield from _problems(decision)
    where = _where(decision)
    present = "; ".join(f"{member.name} {_pair(member.effective.values)}" for member in decision.members)
    if decision.due and not decision.refused:
        yield Finding(
            id=f"{TRAP}.values",
            severity="medium",
            where=where,
            observed=present,
            wanted=_pair(decision.wanted),
            why="heartbeats that come too late make elections, and each stalls the cluster (incident A1)",
            remedy=f"ansible-playbook nodeward.calico.harden --tags {TRAP} -e harden_allow=etcd_restart",
            mended=True,
        )
    yield _measured(decision, policy)


def _measured(decision: Decision, policy: Policy) -> Finding:
    """Tell what `measured` would choose; not what the members have, as a run that changes them tells this too."""
    choice = decision.choice
    if choice.values is None:
        remedy = "Look again when more was counted" if choice.is_thin else "Mend what is slow"
    else:
        remedy = "It is what all get" if policy.mode == MEASURED else f"To take it: {TRAP}_mode=measured"
    return Finding(
        id=f"{TRAP}.measured",
        severity="info",
        where=_where(decision),
        observed=choice.why,
        wanted="nothing" if choice.values is None else _pair(choice.values),
        why=f"what etcd's own metrics would choose: docs/{TRAP}.md has the function",
        remedy=remedy,
    )


_WANTED = {
    "thin": "enough measurements",
    "stalls": "round trips below a tenth of the election timeout",
    "renew_deadline": "an election timeout below half of the renew deadline",
    "partial": "all members seen",
    "alarm": "a cluster that reports nothing",
}


def _pair(values: Values) -> str:
    return f"{values.get(HEARTBEAT)}/{values.get(ELECTION)} ms"


class FilterModule:
    """Makes the filters known to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "etcd_hosts": etcd_hosts,
            "etcd_decision": etcd_decision,
            "etcd_due": etcd_due,
            "etcd_kubeadm": etcd_kubeadm,
        }
