"""Calico as kubespray installs it: no veth_mtu in calico-config, the MTU in plain environment, or none at all."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import mtu
from ansible_collections.nodeward.calico.plugins.module_utils._kube.install import Calico
from ansible_collections.nodeward.calico.plugins.module_utils._kube.mtu import Policy
from ansible_collections.nodeward.calico.plugins.module_utils._kube.objects import ClusterPlan

from .test_mtu import ENV, manifest, seen

BOND = {"name": "FELIX_MTUIFACEPATTERN", "value": "^eth"}


def kubespray(size: str | None, version: str = "v3.27.3", *more: dict[str, Any], **given: Any) -> Calico:
    env = [] if size is None else [{"name": each["name"], "value": size} for each in ENV]
    return manifest(None, version=version, env=[*env, *more], **given)


def planned(calico: Calico, size: int, name: str = "eth0") -> ClusterPlan:
    return mtu.plan(calico, Policy(seen(size, size, size, name=name)))


CASES: dict[str, tuple[Calico, int, str, list[tuple[str, str]]]] = {
    "its own detection sees the uplinks": (kubespray(None), 1450, "eth0", []),
    "0 in the environment is detection, too": (kubespray("0"), 1450, "eth0", []),
    "incident C": (kubespray("1450"), 1450, "eth0", [("high", "pinned")]),
    "what the tunnel may have": (kubespray("1430"), 1450, "eth0", []),
    "no felix to tell the names of uplinks": (kubespray(None, felix=None), 1450, "bond0", [("high", "undetected")]),
    "another pattern in the environment": (kubespray(None, "v3.27.3", BOND), 1500, "bond0", [("medium", "undetected")]),
    "before detection": (kubespray(None, "v3.16.5"), 1450, "eth0", [("medium", "no_setting")]),
    "before detection, too large": (
        kubespray("1450", "v3.16.5"),
        1450,
        "eth0",
        [("medium", "no_setting"), ("high", "pinned")],
    ),
}


@pytest.mark.parametrize(("calico", "size", "name", "told"), CASES.values(), ids=CASES)
def test_what_is_told(calico, size, name, told):
    plan = planned(calico, size, name)
    assert [(each.severity, each.id.removeprefix("calico_mtu.")) for each in plan.findings] == told
    assert plan.changes == ()
    assert all("calico_mtu" in each.remedy and "calico_veth_mtu" in each.remedy for each in plan.findings)


def test_the_pattern_of_its_detection_is_widened():
    [change] = planned(kubespray(None), 1450, "bond0").changes
    assert (change.ref.kind, change.place) == ("FelixConfiguration", "/spec/mtuIfacePattern")


def test_no_veth_mtu_is_named_where_there_is_none():
    [told] = planned(kubespray("1450"), 1450).findings
    assert "veth_mtu of" not in told.wanted + told.why + told.remedy.replace("calico_veth_mtu", "")
    assert (told.observed, told.wanted) == ("1450", "1430 or less")
