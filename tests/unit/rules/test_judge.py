"""What rules find: each of ours with facts that it must find and facts that it must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.filter.report import report
from ansible_collections.nodeward.calico.plugins.plugin_utils._rules.judge import judged
from ansible_collections.nodeward.calico.plugins.plugin_utils._rules.load import Rule, load

OURS = load([str(Path(__file__).parents[3] / "roles/report/files/rules")])

Facts = dict[str, Any]


def of(*nodes: Facts, **failed: Facts) -> dict[str, Any]:
    """Return the report of these nodes; what one has below "cluster" it has seen of that."""
    results: dict[str, dict[str, Any]] = {}
    for number, facts in enumerate(nodes, 1):
        own = {trap: seen for trap, seen in facts.items() if trap != "cluster"}
        results[f"node{number}"] = {"node_result": {"changed": False, "facts": own}}
        if "cluster" in facts:
            results[f"node{number}"]["cluster_info_result"] = {"changed": False, "facts": {"rules": facts["cluster"]}}
    results |= {name: {"node_result": result} for name, result in failed.items()}
    return report(results, results, "audit", False)


def found(model: dict[str, Any]) -> list[str]:
    told = [finding for node in model["nodes"] for finding in node["findings"]] + model["cluster"]["findings"]
    return [finding["id"].removeprefix("rules.") for finding in told]


def sysctls(**values: int) -> Facts:
    return {"rules": {"sysctls": {name.replace("__", "."): value for name, value in values.items()}}}


def member(version: str = "3.5.24", size: int = 10**8, quota: int = 0) -> Facts:
    evidence = {"version": version, "db_size": size, "db_in_use": size // 2}
    told = {"name": "node1", "evidence": evidence, "values": {"quota-backend-bytes": quota}}
    return {"etcd_timing": {"members": [told]}}


def birds(*versions: list[int] | None) -> Facts:
    return {"bird_watchdog": {"birds": [{"name": "bird", "version": version} for version in versions]}}


def manager(*takes: str) -> Facts:
    return {"rules": {"sysctls": {}, "services": [], "network_manager_takes": list(takes)}}


def cluster(**seen: Any) -> Facts:
    return {"cluster": seen}


def cron_jobs(pods_a_day: float) -> Facts:
    return {"total": 3, "pods_a_day": pods_a_day, "busiest": []}


def tunnels(*names: str, felix: bool = True, seen: bool = True, token: bool = False) -> Facts:
    addresses = dict.fromkeys(("eth0", *names), "192.0.2.1")
    uplink = {"name": "eth0", "mtu": 1500} if seen else None
    told = {"uplink": uplink, "felix": felix, "addresses": addresses if seen else {}}
    return {"link_mtu": told, "cni_token": {"present": token}}


MAPS, CONNTRACK = "vm__max_map_count", "net__netfilter__nf_conntrack_"
CASES: list[tuple[str, list[Facts], list[Facts]]] = [
    (
        "threads_of_a_process",
        [{**sysctls(**{MAPS: 65530}), "pid_limits": {"busiest_pod": 23000}}],
        [{**sysctls(**{MAPS: 65530}), "pid_limits": {"busiest_pod": 22000}}],
    ),
    ("max_map_count", [sysctls(**{MAPS: 65529})], [sysctls(**{MAPS: 65530})]),
    (
        "inotify_instances",
        [sysctls(fs__inotify__max_user_instances=128)],
        [sysctls(fs__inotify__max_user_instances=512)],
    ),
    (
        "inotify_watches",
        [sysctls(fs__inotify__max_user_watches=8192)],
        [sysctls(fs__inotify__max_user_watches=65536)],
    ),
    (
        "conntrack_full",
        [sysctls(**{f"{CONNTRACK}count": 80, f"{CONNTRACK}max": 100})],
        [sysctls(**{f"{CONNTRACK}count": 79, f"{CONNTRACK}max": 100})],
    ),
    ("network_manager", [manager("cali*")], [manager()]),
    ("firewall_manager", [{"rules": {"services": ["firewalld"]}}], [{"rules": {"services": ["systemd-networkd"]}}]),
    (
        "rp_filter",
        [{**sysctls(net__ipv4__conf__all__rp_filter=2), **birds([3, 11, 3])}],
        [{**sysctls(net__ipv4__conf__all__rp_filter=2), **birds([3, 12, 0], None)}],
    ),
    ("etcd_corrupts", [member("3.5.2")], [member("3.4.39")]),
    ("etcd_defrag_corrupts", [member("3.5.22")], [member("3.5.23")]),
    ("etcd_quota", [member(size=1_800_000_000)], [member(size=1_800_000_000, quota=8 * 1024**3)]),
    (
        "uplinks_differ",
        [{"link_mtu": {"uplink": {"mtu": 1500}}}, {"link_mtu": {"uplink": {"mtu": 9000}}}],
        [{"link_mtu": {"uplink": {"mtu": 1500}}}, {"link_mtu": {"uplink": {"mtu": 1500}}}, {"link_mtu": {}}],
    ),
    (
        "tunnel_one_sided",
        [tunnels("tunl0"), tunnels()],
        [tunnels("tunl0"), tunnels("tunl0")],
    ),
    (
        "cron_jobs_feed_bird",
        [{**birds([3, 19, 0]), **cluster(calico="v3.19.0", nodes=2, cron_jobs=cron_jobs(400.0))}],
        [{**birds([3, 19, 0]), **cluster(calico="v3.19.0", nodes=2, cron_jobs=cron_jobs(399.0))}],
    ),
    (
        "ipam_handles_leaked",
        [cluster(pods=500, calico_objects={"ipamhandles": 1000})],
        [cluster(pods=501, calico_objects={"ipamhandles": 1000})],
    ),
    ("calico_versions_differ", [birds([3, 26, 1]), birds([3, 27, 0])], [birds([3, 27, 0], [3, 27, 0]), birds(None)]),
]  # fmt: skip


def test_every_one_of_ours_has_a_case():
    assert sorted(case[0] for case in CASES) == sorted(rule.id for rule in OURS)


@pytest.mark.parametrize(("rule", "ill", "well"), CASES, ids=[case[0] for case in CASES])
def test_ours(rule, ill, well):
    assert set(found(judged(of(*ill), [each for each in OURS if each.id == rule]))) == {rule}
    assert found(judged(of(*well), OURS)) == []


SIDES: list[tuple[str, list[Facts], list[tuple[str, str]]]] = [
    ("down on two", [tunnels("tunl0"), tunnels(), tunnels()], [("tunl0", '["node2", "node3"]')]),
    ("down where Felix does not run", [tunnels("tunl0"), tunnels(felix=False, token=True)], [("tunl0", '["node2"]')]),
    ("another tunnel on each", [tunnels("tunl0"), tunnels("vxlan.calico")],
     [("tunl0", '["node2"]'), ("vxlan.calico", '["node1"]')]),
    ("a node without Calico, such as a member of etcd", [tunnels("tunl0"), tunnels(felix=False)], []),
    ("a node whose links were not seen", [tunnels("tunl0"), tunnels(seen=False)], []),
    ("no tunnel at all", [tunnels(), tunnels()], []),
    ("link_mtu did not run", [{}, {"cni_token": {"present": True}}], []),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "told"), [row[1:] for row in SIDES], ids=[row[0] for row in SIDES])
def test_a_tunnel_that_only_some_have_is_named_with_those_that_lack_it(nodes, told):
    model = judged(of(*nodes), [each for each in OURS if each.id == "tunnel_one_sided"])
    findings = model["cluster"]["findings"]
    assert [(each["where"].split()[0], each["observed"]) for each in findings] == told
    assert all(each["severity"] == "info" for each in findings)


ENDED = [
    ("a Calico without the bug", cluster(calico="v3.27.0", nodes=2, cron_jobs=cron_jobs(9000.0))),
    (
        "no bird on any node",
        {"bird_watchdog": {"birds": []}, **cluster(calico="v3.19.0", nodes=1, cron_jobs=cron_jobs(9e3))},
    ),
    ("what may not be read", cluster(calico=None, nodes=None, pods=None, cron_jobs=None, calico_objects={})),
    ("few handles of few pods", cluster(pods=3, calico_objects={"ipamhandles": 999})),
]


@pytest.mark.parametrize("seen", [row[1] for row in ENDED], ids=[row[0] for row in ENDED])
def test_clusters_without_a_finding(seen):
    assert found(judged(of({**birds([3, 19, 0]), **seen}), OURS)) == []


def test_where_nothing_was_seen_nothing_is_found():
    assert found(judged(of({}, {"rules": {}}), OURS)) == []
    assert found(judged(of(node9={"failed": True, "msg": "no", "facts": CASES[1][1][0]}), OURS)) == []


def rule(**parts: str) -> Rule:
    usual = {"each": "", "when": "name", "where": "name", "observed": "facts", "wanted": "-", "why": "-", "remedy": "-"}
    return Rule(**{"id": "mine", "scope": "node", "severity": "medium", "file": "/my.yml", **usual, **parts})


def test_a_node_with_a_finding_is_not_ok_any_more():
    model = judged(of({"a": 1}, {"a": 2}), [rule(when="facts.a == `1`")])
    assert [node["state"] for node in model["nodes"]] == ["findings", "ok"]
    assert (model["totals"]["findings"], model["totals"]["ok"], model["severities"]["medium"]) == (1, 1, 1)
    [finding] = model["nodes"][0]["findings"]
    assert finding == {
        "id": "rules.mine", "trap": "rules", "severity": "medium", "where": "node1", "observed": '{"a": 1}',
        "wanted": "-", "why": "-", "remedy": "-", "mended": False,
    }  # fmt: skip
    assert judged(of({"a": 1}), [rule(severity="info")])["nodes"][0]["state"] == "ok"


def test_each_asks_for_every_element():
    model = judged(
        of({"list": [1, 5, 7]}), [rule(each="facts.list", when="@ > `4`", where="to_string(@)", observed="@")]
    )
    assert [finding["where"] for finding in model["nodes"][0]["findings"]] == ["5", "7"]
    assert found(judged(of({"list": "no list"}), [rule(each="facts.list")])) == []


def test_a_rule_that_does_not_fit_what_is_there_is_told_of():
    model = judged(of({}), [rule(when="length(facts.nothing) > `1`")])
    [finding] = model["nodes"][0]["findings"]
    assert (finding["id"], finding["where"]) == ("rules.unfit", "/my.yml: rule mine")
    assert "null" in finding["observed"]


ODD = ["merge(facts.a, facts.absent)", "max_by(facts.mixed, &@)", "facts.mixed[::0]", "ceil(facts.huge)", "&name"]


@pytest.mark.parametrize("expression", ODD)
def test_what_jmespath_itself_stumbles_over_takes_no_report_with_it(expression):
    facts = {"a": {}, "mixed": [1, "x", {}], "huge": float("inf")}
    model = judged(
        of(facts),
        [rule(when=f"not_null({expression}, `true`)" if expression != "&name" else "name", observed=expression)],
    )
    assert [finding["id"] for finding in model["nodes"][0]["findings"]] == ["rules.unfit"]


TRUTHS = [
    ("`0`", True),
    ("`1`", True),
    ("'x'", True),
    ("`false`", False),
    ("''", False),
    ("`[]`", False),
    ("none", False),
]


@pytest.mark.parametrize(("expression", "is_true"), TRUTHS, ids=[row[0] for row in TRUTHS])
def test_what_is_true_is_what_jmespath_takes_for_it(expression, is_true):
    assert bool(found(judged(of({}), [rule(when=expression)]))) is is_true


def test_long_texts_are_cut():
    [finding] = judged(of({"a": "x" * 9999}), [rule()])["nodes"][0]["findings"]
    assert len(finding["observed"]) < 400


FUNCTIONS = [
    ("older('v3.26.1', '3.27')", True),
    ("older('3.27.0-rc1', '3.27')", False),
    ("older('nonsense', '3.27')", None),
    ("older(facts.version, '3.27')", True),
    ("share(`1`, `4`)", 0.25),
    ("share(`1`, `0`)", None),
    ("share(`true`, `4`)", None),
    ("share(facts.no, `4`)", None),
    ("unique(`[3, null, 1, 3]`)", [3, 1]),
    ("unique(facts.no)", []),
    ("nonzero(`0`, `7`)", 7),
    ("nonzero(`5`, `7`)", 5),
]


@pytest.mark.parametrize(("expression", "value"), FUNCTIONS, ids=[row[0] for row in FUNCTIONS])
def test_functions(expression, value):
    model = judged(of({"version": [3, 26, 4]}), [rule(when="`true`", observed=f"{{it: {expression}}}")])
    [finding] = model["nodes"][0]["findings"]
    assert finding["observed"].replace("null", "None").replace("true", "True").replace("false", "False") == str(
        {"it": value}
    ).replace("'", '"')
