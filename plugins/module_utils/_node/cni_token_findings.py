# Private to the collection nodeward.calico: may change in any release.
"""What a person should know of the CNI plugin's token; pure, and without the token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._core.plan import Finding
from .._kube.service_account_token import YOUNG

if TYPE_CHECKING:
    from .cni_token import Facts

TRAP = "cni_token"
# projectcalico/calico #5910, and #12595 with its backports #12941 and #12940.
_ENDS_IT = (
    "Calico v3.23.2 and newer renew the token by themselves, v3.31.6 and v3.32.1 also notice at once when it is no "
    "longer good"
)
_RESTART = f"ansible-playbook nodeward.calico.harden --tags {TRAP}"
# Why a restart is no remedy yet: calico-node itself has no other way to the API server, and no other rights.
_FIRST = {
    "unreachable": "See first that the API server can be reached from the node",
    "forbidden": "Give it back its right first",
    "odd": "See first why the API server answers so",
}
_WHY = "every pod that is made or removed on the node reads Calico's datastore with it (incident A4)"


def of(facts: Facts) -> Iterator[Finding]:
    """Return what is wrong with the token, the worst first."""
    if facts.unusable:
        yield _unusable(facts)
    elif facts.answer in _ANSWERS:
        yield _ANSWERS[facts.answer](facts)
    if facts.expires_soon and facts.answer != "refused":
        yield _expires_soon(facts)
    if facts.refusals and facts.answer == "accepted":
        yield _was_refused(facts)


def _unusable(facts: Facts) -> Finding:
    return Finding(
        id=f"{TRAP}.unusable",
        severity="medium",
        where=facts.kubeconfig,
        observed=facts.unusable,
        wanted="a kubeconfig with a token",
        why=_WHY,
        remedy="See why calico-node does not write it (kubectl logs of calico-node, container install-cni)",
    )


def _refused(facts: Facts) -> Finding:
    return Finding(
        id=f"{TRAP}.refused",
        severity="high",
        where=facts.kubeconfig,
        observed=f"401 from {facts.server}: {_age(facts)}",
        wanted="a token that is accepted",
        why=f"{_WHY}; pods fail with Unauthorized now. {_ENDS_IT}",
        remedy=f"{_RESTART}, or delete calico-node's pod on this node",
    )


def _forbidden(facts: Facts) -> Finding:
    return Finding(
        id=f"{TRAP}.forbidden",
        # where Calico's datastore is etcd, the plugin has no use for that right
        severity="high" if facts.datastore_is_read else "low",
        where=facts.kubeconfig,
        observed=f"403 from {facts.server} for {facts.token.service_account or 'its user'}",
        wanted="the right to read ClusterInformation",
        why=f"{_WHY}; the token is good, a right is missing",
        remedy="Apply the ClusterRoles and bindings of Calico's manifest (calico-node, calico-cni-plugin) again",
    )


def _unreachable(facts: Facts) -> Finding:
    return Finding(
        id=f"{TRAP}.unreachable",
        severity="medium",
        where=facts.kubeconfig,
        observed=f"{facts.server} {facts.said}",
        wanted="an answer",
        why=f"{_WHY}; whether the token is good cannot be told",
        remedy="See that the API server can be reached from the node at that address (kube-proxy makes it one)",
    )


def _odd(facts: Facts) -> Finding:
    return Finding(
        id=f"{TRAP}.odd_answer",
        severity="low",
        where=facts.kubeconfig,
        observed=f"{facts.said} from {facts.server}",
        wanted="200",
        why=_WHY,
        remedy="See the API server's log",
    )


_ANSWERS = {"refused": _refused, "forbidden": _forbidden, "unreachable": _unreachable, "odd": _odd}


def _expires_soon(facts: Facts) -> Finding:
    return Finding(
        id=f"{TRAP}.expires_soon",
        severity="high",
        where=facts.kubeconfig,
        observed=_age(facts),
        wanted="a token that is renewed in time",
        why=f"{_WHY}; what renews it stands still, or this release has nothing that does. {_ENDS_IT}",
        remedy=_of_expiry(facts),
    )


def _of_expiry(facts: Facts) -> str:
    if facts.answer in _FIRST:
        return f"{_FIRST[facts.answer]}: until then harden restarts nothing, since calico-node might not start again"
    if facts.age is not None and facts.age < YOUNG:
        return "Look again later: it was renewed within the last hour, so that harden restarts nothing for it"
    return f"{_RESTART}, or delete calico-node's pod on this node"


def _was_refused(facts: Facts) -> Finding:
    return Finding(
        id=f"{TRAP}.was_refused",
        severity="low",
        where=facts.kubeconfig,
        observed=f"{facts.refusals} refusals in the last day, the last at {facts.last_refusal}",
        wanted="none",
        why=f"pods failed with Unauthorized, and the token is accepted again by now. {_ENDS_IT}",
        remedy="Upgrade Calico; see whether keys or service accounts were changed then",
    )


def _age(facts: Facts) -> str:
    """Say how old the token is and when it ends."""
    remaining = facts.remaining
    age = "of unknown age" if facts.age is None else f"{_span(facts.age)} old"
    if remaining is None:
        return f"a token {age}, without an end"
    end = f"expires in {_span(remaining)}" if remaining > 0 else f"expired {_span(-remaining)} ago"
    return f"a token {age}, {end}"


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
