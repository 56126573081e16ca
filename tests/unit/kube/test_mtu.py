"""The plan for Calico's MTU, from captured objects and the uplinks that were seen."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.uplinks import FilterModule, uplinks
from ansible_collections.nodeward.calico.plugins.module_utils._kube import (
    mtu,
    mtu_detection,
    mtu_findings,
    objects,
    restart,
)  # fmt: skip
from ansible_collections.nodeward.calico.plugins.module_utils._kube.install import Calico
from ansible_collections.nodeward.calico.plugins.module_utils._kube.mtu import Policy, Uplink
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kube.calico_objects import daemon_set, installation, node, operated, pod

CONFIG = objects.config_map("kube-system", "calico-config")
FELIX = objects.felix_configuration("default")
NODE = objects.daemon_set("kube-system", "calico-node")
IPIP = {"spec": {"cidr": "10.0.0.0/16", "ipipMode": "CrossSubnet", "vxlanMode": "Never"}}
VXLAN = {"spec": {"cidr": "10.0.0.0/16", "ipipMode": "Never", "vxlanMode": "Always"}}
VXLAN6 = {"spec": {"cidr": "fd00::/64", "ipipMode": "Never", "vxlanMode": "Always"}}
PLAIN = {"spec": {"cidr": "10.0.0.0/16", "ipipMode": "Never", "vxlanMode": "Never"}}
V26 = {"spec": {"cidr": "10.0.0.0/16", "ipip": {"enabled": True, "mode": "always"}}}
# What the manifest gives Felix: these win over the FelixConfiguration.
ENV = [{"name": n, "value": "0"} for n in ("FELIX_IPINIPMTU", "FELIX_VXLANMTU", "FELIX_WIREGUARDMTU")]


def config(veth_mtu: str | None) -> dict[str, Any]:
    data = {"calico_backend": "bird", **({} if veth_mtu is None else {"veth_mtu": veth_mtu})}
    return {"metadata": {"name": "calico-config", "namespace": "kube-system"}, "data": data}


def felix(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "default"}, "spec": spec}


def seen(*mtus: int, name: str = "eth0") -> tuple[Uplink, ...]:
    return tuple(Uplink(f"node{number}", name, size) for number, size in enumerate(mtus))


def manifest(veth_mtu: str | None = "1450", nodes: int = 3, **more: Any) -> Calico:
    given: dict[str, Any] = {"pools": (IPIP,), "felix": felix(), **more}
    version = given.pop("version", "v3.19.0")
    env = given.pop("env", ENV)
    fleet = tuple(node(f"node{number}") for number in range(nodes))
    return Calico(daemon_set(version, env=env), config=config(veth_mtu), nodes=fleet, **given)


def by_operator(size: int | None, **more: Any) -> Calico:
    spec = {} if size is None else {"calicoNetwork": {"mtu": size}}
    return replace(manifest(**more), daemon_set=operated(), installation=installation(**spec), config=None)


def wanted(calico: Calico, *mtus: int, name: str = "eth0", rollout: bool = True) -> dict[str, Any]:
    """Without the ConfigMap's own word for the restart, which goes with each veth_mtu, and of a note its MTU."""
    policy = Policy(seen(*mtus, name=name), rollout, raise_others=True)
    changes = mtu.plan(calico, policy).changes
    said = {change.target: change.after for change in changes if change.place != restart.DEMAND}
    return {target: after[:4] if target == RESTART else after for target, after in said.items()}


def ids(calico: Calico, *mtus: int, name: str = "eth0") -> set[str]:
    return {f.id.removeprefix("calico_mtu.") for f in mtu.plan(calico, Policy(seen(*mtus, name=name))).findings}


VETH = f"{CONFIG.where} /data/veth_mtu"
RESTART = f"{NODE.where} /spec/template/metadata/annotations/nodeward.calico~1veth-mtu"


def test_incident_c():
    assert wanted(manifest("1450"), 1450, 1450, 1450) == {VETH: "1430", RESTART: "1430"}
    assert wanted(manifest("1430"), 1450, 1450, 1450) == {}


@pytest.mark.parametrize(
    ("pools", "spec", "overhead"),
    [
        ((IPIP,), {}, 20),
        ((V26,), {}, 20),
        ((VXLAN,), {}, 50),
        ((VXLAN6,), {}, 70),
        ((IPIP, VXLAN), {}, 50),
        ((PLAIN,), {}, 0),
        ((PLAIN,), {"wireguardEnabled": True}, 60),
        ((IPIP,), {"wireguardEnabled": True, "wireguardEnabledV6": True}, 80),
        ((PLAIN,), {"bpfEnabled": True}, 50),
    ],
)
def test_what_each_enabled_encapsulation_adds(pools, spec, overhead):
    calico = manifest("9000", pools=pools, felix=felix(**spec))
    assert wanted(calico, 1500, 1500, 1500)[VETH] == str(1500 - overhead)


CASES: dict[str, tuple[Calico, tuple[int, ...], dict[str, Any]]] = {
    "the smallest uplink counts": (manifest("1480"), (1500, 1450, 1500), {VETH: "1430", RESTART: "1430"}),
    "all seen: raised": (manifest("1430"), (9000, 9000, 9000), {VETH: "8980", RESTART: "8980"}),
    "part seen: not raised": (manifest("1430"), (9000, 9000), {}),
    "part seen: lowered": (manifest("1480"), (1450,), {VETH: "1430", RESTART: "1430"}),
    "detection that works is left alone": (manifest("0"), (1450, 1450, 1450), {}),
    "the operator's one number": (
        by_operator(1450), (1450, 1450, 1450), {"Installation default /spec/calicoNetwork/mtu": 1430},
    ),
    "the operator's detection is left alone": (by_operator(None), (1450, 1450, 1450), {}),
    "no veth_mtu, as in v2.6": (manifest(None, version="v2.6.5"), (1450, 1450, 1450), {}),
    "the environment wins over Felix's own": (
        manifest("1430", felix=felix(ipipMTU=1480)), (1450, 1450, 1450), {},
    ),
    "what no environment pins": (
        manifest("1430", felix=felix(ipipMTU=1480), env=[]), (1450, 1450, 1450), {f"{FELIX.where} /spec/ipipMTU": 1430},
    ),
    "VXLAN over IPv6 is nobody's but Felix's": (
        manifest("1380", pools=(VXLAN6,), felix=felix(vxlanMTUV6=1450)), (1450, 1450, 1450),
        {f"{FELIX.where} /spec/vxlanMTUV6": 1380},
    ),
    "below what IPv6 needs": (manifest("1450"), (1290, 1290, 1290), {}),
}  # fmt: skip


@pytest.mark.parametrize(("calico", "mtus", "changes"), CASES.values(), ids=CASES)
def test_where_it_is_set(calico, mtus, changes):
    assert wanted(calico, *mtus) == changes


# --- Calico's own detection -------------------------------------------------------------------------


def test_an_uplink_that_detection_passes_over_gets_into_the_pattern():
    calico = manifest("0", version="v3.30.0")
    [change] = mtu.plan(calico, Policy(seen(1450, 1450, 1450, name="bond0"))).changes
    assert change.target == f"{FELIX.where} /spec/mtuIfacePattern"
    for name, matches in (("bond0", True), ("eth0", True), ("enp3s0", True), ("bond1", False), ("cali1", False)):
        assert bool(re.match(change.after, name)) == matches, name
    mended = replace(calico, felix=felix(mtuIfacePattern=change.after))
    assert wanted(mended, 1450, 1450, 1450, name="bond0") == {}
    again = mtu.plan(mended, Policy(seen(1450, name="br0"))).changes
    assert [bool(re.match(again[0].after, name)) for name in ("bond0", "br0", "eth0")] == [True] * 3


@pytest.mark.parametrize(
    "calico",
    [
        manifest("0", felix=None),
        manifest("0", env=[*ENV, {"name": "FELIX_MTUIFACEPATTERN", "value": "^eth0$"}]),
        manifest("0", version="v3.16.0"),
    ],
    ids=["no FelixConfiguration", "the environment pins the pattern", "no detection before v3.17"],
)
def test_a_fixed_value_where_no_pattern_helps(calico):
    assert wanted(calico, 1450, 1450, 1450, name="bond0") == {VETH: "1430", RESTART: "1430"}


def test_with_part_of_the_fleet_detection_is_not_taught_to_raise():
    assert wanted(manifest("0"), 9000, name="bond0") == {}
    assert list(wanted(manifest("0"), 1450, name="bond0")) == [f"{FELIX.where} /spec/mtuIfacePattern"]


@pytest.mark.parametrize(
    ("version", "name", "missed"),
    [
        ("v3.30.0", "enP3p1s0", []),
        ("v3.24.0", "enP3p1s0", ["enP3p1s0"]),
        ("v3.24.0", "ens3", []),
        ("v3.16.0", "eth0", ["eth0"]),
    ],
)
def test_what_each_release_detects(version, name, missed):
    assert mtu_detection.missed(manifest("0", version=version), [name]) == missed


def test_a_pattern_that_only_go_understands_is_left_alone():
    assert mtu_detection.missed(manifest("0", felix=felix(mtuIfacePattern="(?P<")), ["bond0"]) == []


# --- part of the fleet, and the few -----------------------------------------------------------------


def test_a_few_odd_nodes_are_named_and_lower_nothing():
    fleet = [1500] * 40 + [1400]
    calico = manifest("1480", nodes=41)
    assert wanted(calico, *fleet) == {}
    [told] = [f for f in mtu.plan(calico, Policy(seen(*fleet))).findings if f.id == "calico_mtu.odd_nodes"]
    assert told.where == "node40 (eth0 1400)"
    assert wanted(calico, *([1500] * 38 + [1400] * 3))[VETH] == "1380", "5 % and more do"
    assert wanted(manifest("9000", nodes=41), *fleet)[VETH] == "1480", "what the others need is done"
    assert "odd_nodes" not in ids(manifest("1380", nodes=41), *fleet)


@given(st.lists(st.sampled_from([1400, 1450, 1500, 9000]), min_size=1, max_size=60), st.integers(1300, 9000))
def test_no_pod_is_left_with_more_than_the_uplinks_that_count(mtus, present):
    calico = manifest(str(present), nodes=len(mtus))
    after = int(wanted(calico, *mtus).get(VETH, present))
    over = sum(size < after + 20 for size in mtus)
    assert over == 0 or over < 0.05 * len(mtus)
    partial = int(wanted(replace(calico, nodes=(*calico.nodes, node("unseen"))), *mtus).get(VETH, present))
    assert partial <= present


def test_nodes_are_known_by_name_or_address():
    told = node("node0.example.org")
    told["status"]["addresses"] = [{"type": "InternalIP", "address": "192.0.2.9"}]
    calico = replace(manifest(), nodes=(told,))
    for uplink in (Uplink("node0", "eth0", 1450), Uplink("x", "eth0", 1450, "192.0.2.9")):
        assert mtu.view(calico, [uplink]).unseen == ()
    assert mtu.view(calico, [Uplink("x", "eth0", 1450, "192.0.2.8")]).unseen == ("node0.example.org",)


# --- findings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calico", "mtus", "told"),
    [
        (manifest("1430"), (), {"nothing_seen"}),
        (manifest("1430"), (1450, 1450, 1450), set()),
        (manifest("1430"), (1450,), {"partial_view"}),
        (manifest("1430"), (1290, 1450, 1450), {"uplink_too_small"}),
        (manifest(None, version="v2.6.5"), (1450, 1450, 1450), {"no_setting"}),
        (manifest("1430", felix=felix(vxlanMTU=1400)), (1450, 1450, 1450), {"dead_setting"}),
    ],
)
def test_findings(calico, mtus, told):
    assert ids(calico, *mtus) == told


@pytest.mark.parametrize(("value", "severity"), [("1", "high"), ("575", "high"), ("576", "medium"), ("1279", "medium")])
@pytest.mark.parametrize("sizes", [(1450,), (1450, 1450, 1450)], ids=["a part of the fleet", "all of it"])
def test_a_value_that_no_path_needs_is_more_than_an_information(value, severity, sizes):
    calico = manifest(value)
    [told] = [each for each in mtu.plan(calico, Policy(seen(*sizes))).findings if each.id != "calico_mtu.partial_view"]
    assert (told.id, told.severity) == ("calico_mtu.below_least", severity)
    assert "calico_mtu.below_least" not in ids(manifest("1280"), *sizes)


def test_what_a_tool_keeps_is_told_and_not_changed():
    kept = config("1450")
    kept["metadata"]["labels"] = {"argocd.argoproj.io/instance": "calico"}
    plan = mtu.plan(replace(manifest(), config=kept), Policy(seen(1450, 1450, 1450)))
    assert plan.changes == ()
    assert "calico_mtu.put_back_by" in {finding.id for finding in plan.findings}


VETH_REF = {"configMapKeyRef": {"name": "calico-config", "key": "veth_mtu"}}
PINS: dict[str, tuple[list[dict[str, Any]], str | None]] = {
    "automatic": ([{"name": "FELIX_IPINIPMTU", "value": "0"}], None),
    "as the manifest has it": ([{"name": "FELIX_IPINIPMTU", "valueFrom": VETH_REF}], None),
    "too large for the tunnel": ([{"name": "FELIX_IPINIPMTU", "value": "1440"}], "high"),
    "smaller than the pods'": ([{"name": "FELIX_IPINIPMTU", "value": "1400"}], "medium"),
    "the same": ([{"name": "FELIX_IPINIPMTU", "value": "1430"}], None),
    "a tunnel that is not enabled": ([{"name": "FELIX_VXLANMTU", "value": "1440"}], None),
    "another key": (
        [{"name": "FELIX_IPINIPMTU", "valueFrom": {"configMapKeyRef": {"name": "calico-config", "key": "mtu"}}}],
        "medium",
    ),
    "the last of two wins": (
        [{"name": "FELIX_IPINIPMTU", "value": "1440"}, {"name": "FELIX_IPINIPMTU", "valueFrom": VETH_REF}], None,
    ),
    "what the CNI is given": ([{"name": "CNI_MTU", "value": "1440"}], "high"),
}  # fmt: skip


@pytest.mark.parametrize(("env", "severity"), PINS.values(), ids=PINS)
def test_an_environment_that_veth_mtu_does_not_reach(env, severity):
    plan = mtu.plan(manifest("1480", env=env), Policy(seen(1450, 1450, 1450)))
    assert [f.severity for f in plan.findings if f.id == "calico_mtu.pinned"] == ([severity] if severity else [])


def test_an_init_container_that_pins_the_mtu_of_pods():
    calico = manifest("1480")
    spec = calico.daemon_set["spec"]["template"]["spec"]
    spec["initContainers"] = [{"name": "install-cni", "env": [{"name": "CNI_MTU", "value": "1440"}]}]
    [told] = [f for f in mtu.plan(calico, Policy(seen(1450))).findings if f.id == "calico_mtu.pinned"]
    assert told.where == "DaemonSet kube-system/calico-node install-cni CNI_MTU"


def test_a_tool_that_keeps_the_daemon_set_and_not_the_config_map():
    calico = manifest("1450")
    calico.daemon_set["metadata"]["labels"] = {"argocd.argoproj.io/instance": "calico"}
    for rollout in (True, False):
        assert wanted(calico, 1450, 1450, 1450, rollout=rollout) == {VETH: "1430"}
    assert "not_restarted" in ids(calico, 1450, 1450, 1450)


def test_a_widened_pattern_loses_nothing():
    for before in ("^eth0$|^bond", "bond", "^eth|^ens$", "^(a|b)$", None):
        calico = manifest("0", felix=felix(**({"mtuIfacePattern": before} if before else {})))
        [change] = mtu.plan(calico, Policy(seen(1450, 1450, 1450, name="vlan7"))).changes
        for name in ("eth0", "eth01", "bond0", "xbond0", "ens", "ensx", "a", "ab", "enp3s0"):
            matched = re.search(before or r"^((en|wl|ww|sl|ib)[opsx].*|(eth|wlan|wwan).*)", name)
            assert not matched or re.search(change.after, name), (before, name)
        assert re.search(change.after, "vlan7")
        assert not re.search(change.after, "vlan70")


def test_a_number_that_is_none_is_left_alone():
    calico = manifest("1430", felix=felix(ipipMTU="auto"), env=[])
    assert wanted(calico, 1450, 1450, 1450) == {}


def test_pods_by_namespace_and_owner():
    made: list[dict[str, Any]] = []
    for number, (owner, extra) in enumerate(
        [
            ({"kind": "ReplicaSet", "name": "web-5d4f"}, {}),
            ({"kind": "ReplicaSet", "name": "web-5d4f"}, {}),
            ({"kind": "StatefulSet", "name": "consul"}, {}),
            (None, {}),
            (None, {"hostNetwork": True}),
        ]
    ):
        each = pod("node1", str(number), phase="Running")
        each["metadata"]["ownerReferences"] = [owner] if owner else []
        each["metadata"]["labels"] = {"pod-template-hash": "5d4f"}
        each["spec"].update(extra)
        made.append(each)
    made.append(pod("node1", "done", phase="Succeeded"))
    counted = mtu_findings.by_owner(made)
    assert counted == {"kube-system": {"Deployment/web": 2, "Pod/calico-node-3": 1, "StatefulSet/consul": 1}}
    [told] = mtu_findings.old_pods(counted, lowered=True)
    assert (told.severity, told.observed[:14]) == ("medium", "4 running pods")
    assert list(mtu_findings.old_pods({}, lowered=True)) == []


# --- the filter -------------------------------------------------------------------------------------


def test_the_filter_takes_what_the_roles_left():
    def result(size: int) -> dict[str, Any]:
        return {"facts": {"link_mtu": {"uplink": {"name": "eth0", "mtu": 9000, "carries": size, "boot": ""}}}}

    variables: dict[str, dict[str, Any]] = {
        "a": {"node_result": result(1450), "ansible_host": "192.0.2.1"},
        "b": {"calico_mtu_seen": {"skipped": True}, "link_mtu_result": result(1500)},
        "c": {"node_result": {"failed": True}},
        "d": {"node_result": {"facts": {"link_mtu": {"uplink": None}}}},
    }
    assert FilterModule().filters()["uplinks"](list("abcde"), variables) == {
        "a": {"name": "eth0", "mtu": 1450, "address": "192.0.2.1"},
        "b": {"name": "eth0", "mtu": 1500, "address": "b"},
    }
    assert uplinks([], {}) == {}


def test_without_a_pool_nobody_knows_what_is_added():
    calico = manifest("1440", pools=())
    assert wanted(calico, 1500, 1500, 1500) == {}
    assert ids(calico, 1500, 1500, 1500) == {"encapsulation_unknown"}


def test_hosts_that_are_no_nodes_have_no_say():
    calico = manifest("1430")
    of_etcd = Uplink("etcd1", "eth0", 1300, "10.0.0.9")
    assert mtu.plan(calico, Policy((*seen(1450, 1450, 1450), of_etcd))).changes == ()
    by_short_name = tuple(replace(each, node=f"{each.node}.example.org") for each in seen(1440, 1440, 1440))
    assert mtu.plan(calico, Policy(by_short_name, rollout=False)).changes[0].after == "1420"
    [refused] = mtu.plan(calico, Policy((of_etcd,))).refusals
    assert "is a node of this cluster" in refused.what


@pytest.mark.parametrize(("variable", "adds"), [("FELIX_WIREGUARDENABLED", 60), ("FELIX_BPFENABLED", 50)])
def test_the_environment_enables_an_encapsulation_too(variable, adds):
    on, off = ([*ENV, {"name": variable, "value": value}] for value in ("true", "false"))
    field = {"FELIX_WIREGUARDENABLED": "wireguardEnabled", "FELIX_BPFENABLED": "bpfEnabled"}[variable]
    assert max(mtu.encapsulations(manifest(env=on, pools=(PLAIN,))).values()) == adds
    assert mtu.encapsulations(manifest(env=off, pools=(PLAIN,), felix=felix(**{field: True}))) == {}


@pytest.mark.parametrize(
    ("image", "told", "version"),
    [
        ("docker.io/calico/node:v3.19.4", "", (3, 19, 4)),
        ("rancher/mirrored-calico-node:v3.19.0", "", (3, 19, 0)),
        ("my/calico-node:v3.19", "", (3, 19, 0)),
        ("calico/node@sha256:0a", "v3.27.2", (3, 27, 2)),
        ("calico/node@sha256:0a", "", None),
        ("tigera/cnx-node:v3.19.4", "", None),
        ("registry.example/cnx-node:v3.19.4", "v3.29.3", (3, 29, 3)),
    ],
)
def test_the_version_is_told_by_the_image_or_by_calico_itself(image, told, version):
    item = daemon_set()
    item["spec"]["template"]["spec"]["containers"][0]["image"] = image
    assert Calico(item, told_version=told).version == version
