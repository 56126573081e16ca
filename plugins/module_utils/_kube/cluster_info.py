# Private to the collection nodeward.calico: may change in any release.
"""What the rules of an audit know of the cluster beside the traps: CronJobs, and how much Calico keeps. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from . import cron, places
from .client import allowed
from .install import CRD
from .port import Api, Item

NAME = "rules"  # in results, as on the nodes (_node/surroundings.py)

# What grows with pods, nodes and policies; where Calico's datastore is etcd itself, none of it is here.
KINDS = (
    "blockaffinities", "globalnetworkpolicies", "globalnetworksets", "hostendpoints", "ipamblocks", "ipamhandles",
    "ippools", "networkpolicies", "networksets",
)  # fmt: skip
# Kubernetes 1.21 has the first, those before 1.25 the second.
_CRON_JOBS = ("/apis/batch/v1/cronjobs", "/apis/batch/v1beta1/cronjobs")
_NAMED = 5  # CronJobs that a person is told of


def observe(api: Api) -> dict[str, Any]:
    """Return what was seen; null for what is not there or may not be read. Raises NodewardError without an answer."""
    information = allowed(lambda: api.get(f"{CRD}/clusterinformations/default"))
    counts = {kind: _count(api, f"{CRD}/{kind}") for kind in KINDS}
    return {
        "calico": places.get(information, "/spec/calicoVersion"),
        "nodes": _count(api, "/api/v1/nodes"),
        "pods": _count(api, "/api/v1/pods"),
        "calico_objects": {kind: number for kind, number in counts.items() if number is not None},
        "cron_jobs": _cron_jobs(api),
    }


def _count(api: Api, path: str) -> int | None:
    return allowed(lambda: api.count(path))


def _cron_jobs(api: Api) -> dict[str, Any] | None:
    for path in _CRON_JOBS:
        if found := allowed(partial(api.items, path)):
            return told_of(found)
    return None


def told_of(cron_jobs: Iterable[Item]) -> dict[str, Any]:
    """Return how many there are, how many pods they start in a day, and those that start most; pure."""
    told = [_cron_job(item) for item in cron_jobs if not places.get(item, "/spec/suspend")]
    by_pods = sorted(told, key=lambda each: (-(each["pods_a_day"] or 0), each["name"]))
    return {
        "total": len(told),
        "pods_a_day": round(sum(each["pods_a_day"] or 0 for each in told), 1),
        "busiest": by_pods[:_NAMED],
    }


def _cron_job(item: Item) -> dict[str, Any]:
    metadata, schedule = item["metadata"], str(places.get(item, "/spec/schedule"))
    job = places.get(item, "/spec/jobTemplate/spec") or {}
    pods = job.get("completions") or job.get("parallelism") or 1
    runs = cron.runs_a_day(schedule)
    return {
        "name": f"{metadata['namespace']}/{metadata['name']}",
        "schedule": schedule,
        "pods_a_day": None if runs is None else round(runs * pods, 1),
    }
