# Private to the collection nodeward.calico: may change in any release.
"""Trap cni_token: the token by which Calico's CNI plugin reads the datastore is stale or refused (incident A4).

Every pod that is made or removed on the node needs it. calico-node writes it into a kubeconfig for the plugin
(node/pkg/cni/token_watch.go); here it is decoded and tried. It is never shown, nor is anything signed in it.
A new token comes with a new pod of calico-node, which is the cluster's part; what is changed on the node is a timer
that has the token's life written for node-exporter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .._core import http
from .._core.errors import NodewardError
from .._core.host import Host
from .._core.plan import Plan
from .._core.verbs import Change
from .._kube import kubeconfig, places
from .._kube.service_account_token import Token, decoded
from . import cni_token_findings, cni_token_metrics, restore

TRAP = "cni_token"
ALLOWS: tuple[str, ...] = ()

CNI = "/etc/cni/net.d"
KUBECONFIG = f"{CNI}/calico-kubeconfig"  # where the manifest and the operator have it
LOG = "/var/log/calico/cni/cni.log"
NODENAME = "/var/lib/calico/nodename"  # calico-node's own name of the node (node/pkg/lifecycle/startup)
# What the CNI plugin reads first for every pod (cni-plugin/pkg/plugin/plugin.go).
_GROUP = "crd.projectcalico.org"
PATH = f"/apis/{_GROUP}/v1/clusterinformations/default"

OPTIONS: dict[str, dict[str, Any]] = {"metrics": {"type": "bool", "default": True}}

# What a request with the token came to.
ACCEPTED, REFUSED, FORBIDDEN, UNREACHABLE, ODD = "accepted", "refused", "forbidden", "unreachable", "odd"
_STATUSES = {401: REFUSED, 403: FORBIDDEN, 404: ACCEPTED}  # who is told that there is none was let in

# A token that is renewed in time never has less of its life left: Calico's refresher sleeps for half of it at most, and
# the kubelet renews a pod's own token, which v3.20 to v3.23.1 copy, at 80 % (pkg/kubelet/token/token_manager.go).
SOON_SHARE, SOON_SECONDS = 0.15, 7 * 86400.0

# Bytes of the end of the log that are looked at, and seconds that a refusal in it is recent for.
_TAIL, _RECENT = 256 * 1024, 86400.0
_REFUSAL = "connection is unauthorized"
_STAMP = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


@dataclass(frozen=True)
class Policy:
    """``metrics``: whether the token's life is written for node-exporter, where there is one."""

    metrics: bool = OPTIONS["metrics"]["default"]


@dataclass(frozen=True)
class Facts:
    """What observe saw. ``unusable`` says why there is no token to try; ``said`` is what came of the request.

    ``server`` is without what may be secret in an address. ``now`` is the API server's time, which judges the token,
    and the node's where it does not say it.
    """

    kubeconfig: str = KUBECONFIG
    present: bool = False
    unusable: str = ""
    nodename: str = ""
    now: float = 0.0
    token: Token = field(default_factory=Token)
    server: str = ""
    answer: str = ""
    said: str = ""
    datastore_is_read: bool = True  # by the CNI plugin with this token, and not etcd
    refusals: int = 0
    last_refusal: str = ""
    metrics: cni_token_metrics.Facts = field(default_factory=cni_token_metrics.Facts)

    @property
    def age(self) -> float | None:
        """Return the seconds since the token was issued."""
        return None if self.token.issued is None else self.now - self.token.issued

    @property
    def remaining(self) -> float | None:
        """Return the seconds until the token expires."""
        return None if self.token.expires is None else self.token.expires - self.now

    @property
    def expires_soon(self) -> bool:
        life = (self.token.expires or 0.0) - (self.token.issued if self.token.issued is not None else self.now)
        return self.remaining is not None and self.remaining < min(SOON_SHARE * life, SOON_SECONDS)


# --- observe ----------------------------------------------------------------------------------------


def observe(host: Host) -> Facts:
    """Read the kubeconfig and the log, and try the token; reads only."""
    return replace(_seen(host), metrics=cni_token_metrics.observe(host))


def _seen(host: Host) -> Facts:
    plugin, now = _plugin(host), _now(host)
    path = str(places.get(plugin, "/kubernetes/kubeconfig") or KUBECONFIG)
    if host.read_text(path) is None:
        return Facts(path, now=now)
    refusals, last = _refusals(host, now)
    facts = Facts(
        path,
        present=True,
        nodename=(host.read_text(NODENAME) or "").strip(),
        now=now,
        refusals=refusals,
        last_refusal=last,
    )
    try:
        access = kubeconfig.read(path, host.read_text)
    except NodewardError as error:
        return replace(facts, unusable=error.what)
    facts = replace(facts, server=http.place(access.server), token=decoded(access.token or ""))
    try:
        answer = host.send_http(access.request(PATH))
    except NodewardError as error:
        return replace(facts, answer=UNREACHABLE, said=error.what)
    status = ACCEPTED if answer.status // 100 == 2 else _STATUSES.get(answer.status, ODD)
    kind = plugin.get("datastore_type")
    is_read = _GROUP in answer.body if kind is None else kind == "kubernetes"
    now = now if answer.date is None else answer.date
    return replace(facts, now=now, answer=status, said=f"{answer.status}", datastore_is_read=is_read)


def _plugin(host: Host) -> Mapping[str, Any]:
    """Return the CNI's configuration of the plugin calico that names a kubeconfig, nothing where none does."""
    for name in host.list_folder(CNI):
        if name.endswith((".conflist", ".conf", ".json")):
            try:
                config = json.loads(host.read_text(f"{CNI}/{name}") or "")
                for plugin in config.get("plugins", [config]):
                    if plugin.get("type") == "calico" and plugin["kubernetes"]["kubeconfig"].startswith("/"):
                        return dict(plugin)
            except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
                continue
    return {}


def _now(host: Host) -> float:
    """Return the node's time in seconds since 1970, as the kernel tells it; 0 where it does not."""
    booted = re.search(r"^btime (\d+)$", host.read_text("/proc/stat") or "", re.MULTILINE)
    uptime = (host.read_text("/proc/uptime") or "").split()
    return float(booted.group(1)) + float(uptime[0]) if booted and uptime else 0.0


def _refusals(host: Host, now: float) -> tuple[int, str]:
    """Return how many refusals of the last day the log has, and when the last was.

    The log is in the node's own time zone: ages count from its last line, and that one's from the file's own time.
    """
    stamped = [
        (found.group(1), line) for line in host.read_end(LOG, _TAIL).splitlines() if (found := _STAMP.match(line))
    ]
    if not stamped:
        return 0, ""
    end = _seconds(stamped[-1][0])
    since = max(now - (host.modified(LOG) or now), 0.0)
    recent = [stamp for stamp, line in stamped if _REFUSAL in line and end - _seconds(stamp) + since <= _RECENT]
    return len(recent), recent[-1] if recent else ""


def _seconds(stamp: str) -> float:
    try:
        return datetime.fromisoformat(f"{stamp}+00:00").timestamp()
    except ValueError:
        return 0.0


# --- plan -------------------------------------------------------------------------------------------


def plan(facts: Facts, policy: Policy) -> Plan:
    """Phrase what was seen as findings, and decide whether the timer comes, goes, or stays; pure."""
    told = facts.kubeconfig if facts.present and policy.metrics else ""
    changes = tuple(cni_token_metrics.plan(facts.metrics, told))
    of_metrics = tuple(cni_token_metrics.findings(facts.metrics))
    return Plan(changes, (*(cni_token_findings.of(facts) if facts.present else ()), *of_metrics))


def shown(facts: Facts, policy: Policy | None = None) -> dict[str, Any]:
    """Shape the facts for results, without the token."""
    del policy
    return {
        "present": facts.present,
        "node": facts.nodename,
        "service_account": facts.token.service_account,
        "pod": facts.token.pod,
        "age": _rounded(facts.age),
        "expires_in": _rounded(facts.remaining),
        "expires_soon": facts.expires_soon,
        "issued": _rounded(facts.token.issued),
        "server": facts.server,
        "answer": facts.answer,
        "said": facts.said,
        "refusals": facts.refusals,
        "last_refusal": facts.last_refusal,
    }


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def going_back(facts: Facts, changes: Sequence[Change], _policy: Policy) -> Plan:
    """Stop the timer once its files are gone, and take away what it has written."""
    return Plan(cni_token_metrics.going_back(facts.metrics, changes))


guard = restore.refuse_nothing
