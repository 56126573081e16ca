"""What the node-exporter of a DaemonSet lacks, what is given to it, and whose it is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import exporters, places, process_metrics
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.exporters import Exporters, Policy
from ansible_collections.nodeward.calico.plugins.module_utils._kube.objects import ClusterPlan, changed
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Clock, Waiting

from tests.unit.kube.calico_objects import daemon_set as calico_node
from tests.unit.kube.exporter_objects import ARGS, MONITORING, NAME, daemon_set, kube_prometheus
from tests.unit.kube.fake_api import FakeApi

ON, FOLDER = "--collector.processes", "--collector.textfile.directory"
POD = "/spec/template/spec"
WITHIN = f"{POD}/containers/node-exporter"
ALL = [
    f"{POD}/hostPID", f"{WITHIN}/args/{ON}", f"{POD}/volumes/nodeward-textfile",
    f"{WITHIN}/volumeMounts/nodeward-textfile", f"{WITHIN}/args/{FOLDER}",
]  # fmt: skip
LIST = "/apis/apps/v1/daemonsets"


def plan(*items: dict[str, Any], **policy: bool) -> ClusterPlan:
    found = tuple(each for item in items for each in exporters.of(item))
    return exporters.plan(Exporters(found), Policy(**policy))


def cluster(*items: dict[str, Any]) -> FakeApi:
    def path(item: dict[str, Any]) -> str:
        return f"/apis/apps/v1/namespaces/{item['metadata']['namespace']}/daemonsets/{item['metadata']['name']}"

    api = FakeApi({path(item): item for item in items})
    # a list has no kind for each
    api.lists[LIST] = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in items]
    return api


def run(api: FakeApi, check: bool = False, **given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in process_metrics.ARGUMENTS.items()}
    params = {**defaults, "allow": ["exporter_rollout"], **given}
    clock = Clock(lambda: 0.0, lambda _seconds: None)
    return process_metrics.run(api, params, check, Waiting(60, lambda _line: None, clock))


LACKS = [
    ("everything", daemon_set(), {}, ALL),
    ("the flag and a folder", daemon_set(host_pid=True), {}, ALL[1:]),
    ("the flag, where no folder is wanted", daemon_set(host_pid=True), {"textfile": False}, ALL[1:2]),
    ("the node's process ids", daemon_set(ON, f"{FOLDER}=/host/root/x"), {}, ALL[:1]),
    ("nothing", daemon_set(ON, f"{FOLDER}=/host/root/x", host_pid=True), {}, []),
    ("nothing, its folder a word of its own", daemon_set(ON, FOLDER, "/host/root/x", host_pid=True), {}, []),
    ("no collector of files", daemon_set(ON, "--no-collector.textfile", host_pid=True), {}, []),
    ("behind a proxy", kube_prometheus(), {}, ALL[1:]),
    ("flags in its command", daemon_set(host_pid=True, command=["/bin/node_exporter", ON], args=None), {}, ALL[2:]),
    ("an image of a mirror",
     daemon_set(host_pid=True, name="x", image="r.example:5000/rancher/mirrored-prometheus-node-exporter@sha256:0"),
     {"textfile": False}, ALL[1:2]),
]  # fmt: skip


@pytest.mark.parametrize(("item", "policy", "places_of"), [c[1:] for c in LACKS], ids=[c[0] for c in LACKS])
def test_what_it_lacks_is_given_once_and_taken_back(item, policy, places_of):
    made = plan(item, **policy)
    assert [change.place for change in made.changes] == places_of
    assert {change.disrupts for change in made.changes} <= {"exporter_rollout"}
    after = changed(item, made.changes)
    assert plan(after, **policy).changes == ()
    assert len(made.changes) == len(made.captured) == 0 or list(made.captured.values()) == [item]
    back = changed(after, [change.inverse for change in reversed(made.changes)])
    given = item["spec"]["template"]["spec"]["containers"][0]
    item["spec"]["template"]["spec"]["containers"][0] = {k: v for k, v in given.items() if v is not None}
    assert back == item


def test_the_words_that_are_there_stay_in_their_order():
    words = places.get(changed(daemon_set("--a"), plan(daemon_set("--a")).changes), f"{WITHIN}/args")
    assert words == [*ARGS, "--a", ON, f"{FOLDER}=/host/textfile"]


def test_others_are_none():
    windows = daemon_set(name="windows", image="ghcr.io/prometheus-community/windows-exporter:0.29")
    windows["spec"]["template"]["spec"]["containers"][0]["name"] = "windows-exporter"
    assert [*exporters.of(calico_node()), *exporters.of(windows)] == []


def finding_ids(made: ClusterPlan) -> list[str]:
    return [finding.id.removeprefix("process_metrics.") for finding in made.findings]


def test_findings_name_what_is_missing_and_whether_harden_mends_it():
    item = daemon_set()
    told = {finding.id.partition(".")[2]: finding for finding in plan(item).findings}
    assert list(told) == ["without_host_pid", "without_processes", "without_textfile", "put_back_by"]
    assert [each.mended for each in told.values()] == [True, True, True, False]
    assert "the next helm upgrade of stack" in told["put_back_by"].observed
    assert "harden_allow=exporter_rollout" in told["without_processes"].remedy
    assert "extraArgs: [--collector.processes]" in told["without_processes"].remedy
    item["metadata"] |= {"labels": {"argocd.argoproj.io/instance": "monitoring"}}
    kept = plan(item)
    assert kept.changes == ()
    told = {finding.id.partition(".")[2]: finding for finding in kept.findings}
    assert [each.mended for each in told.values()] == [False] * 4
    assert told["put_back_by"].observed == "it will be put back by Argo CD, so nothing was changed"
    assert "hostPID=true" in told["put_back_by"].wanted
    assert "harden" not in told["without_host_pid"].remedy


OWNED = [
    ("an operator's", {"ownerReferences": [{"kind": "Stack", "name": "all", "controller": True}]}, "Stack all, which"),
    ("OpenShift's", {"labels": {"app.kubernetes.io/managed-by": "cluster-monitoring-operator"}}, "OpenShift's"),
]


@pytest.mark.parametrize(("metadata", "who"), [case[1:] for case in OWNED], ids=[case[0] for case in OWNED])
def test_what_an_operator_keeps_is_told_and_not_changed(metadata, who):
    item = daemon_set()
    item["metadata"].update(metadata)
    made = plan(item)
    [told] = [finding for finding in made.findings if finding.id == "process_metrics.put_back_by"]
    assert (made.changes, who in told.observed) == ((), True)


LEFT = [
    ("turned off", daemon_set(f"--no-{ON[2:]}"), ["turned_off"]),
    ("a shell", daemon_set(command=["/bin/sh", "-c", "exec /bin/node_exporter"]), ["by_hand"]),
]


@pytest.mark.parametrize(("item", "told"), [case[1:] for case in LEFT], ids=[case[0] for case in LEFT])
def test_what_is_left_to_a_person(item, told):
    made = plan(item)
    assert (made.changes, finding_ids(made)) == ((), told)


def test_old_pods_are_told_of():
    item = daemon_set(ON, f"{FOLDER}=/x", host_pid=True)
    item["spec"]["updateStrategy"] = {"type": "OnDelete"}
    item["status"] = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 1}
    [told] = plan(item).findings
    assert (told.id, told.observed) == (
        "process_metrics.not_rolled_out",
        "1 of 3 pods have its present template",
    )
    assert "older flags (its updateStrategy is OnDelete)" in told.why


FOLDERS = [
    ("none", daemon_set(), ""),
    ("through the root", daemon_set(f"{FOLDER}=/host/root/var/lib/a"), "/var/lib/a"),
    ("a word of its own", daemon_set(FOLDER, "/host/root/var/lib/b/"), "/var/lib/b"),
    ("the last one counts", daemon_set(f"{FOLDER}=/host/root/a", f"{FOLDER}=/host/root/b"), "/b"),
    ("no folder of the node", daemon_set(f"{FOLDER}=/tmp/x"), ""),
    ("ours", changed(daemon_set(), plan(daemon_set()).changes), "/var/lib/node_exporter"),
]


@pytest.mark.parametrize(("item", "folder"), [case[1:] for case in FOLDERS], ids=[case[0] for case in FOLDERS])
def test_the_folder_of_the_node_that_it_reads(item, folder):
    [one] = exporters.of(item)
    assert exporters.textfile_folder(one) == folder


# --- the module -------------------------------------------------------------------------------------


def test_two_daemon_sets_are_changed_and_brought_back():
    items = (daemon_set(), kube_prometheus())
    api = cluster(*items, calico_node())
    before = {path: {**item, "metadata": None} for path, item in api.objects.items()}
    foretold = run(api, check=True)
    assert api.patches == []
    done = run(api)
    assert (done["changes"], done["diff"]) == (foretold["changes"], foretold["diff"])
    assert (len(done["changes"]), len(api.patches)) == (len(ALL) * 2 - 1, 2)
    assert done["facts"]["process_metrics"]["daemon_sets"][0] == {
        "name": f"{MONITORING}/{NAME}", "pods": 0, "processes": False, "host_pid": False, "textfile_folder": "",
    }  # fmt: skip
    api.lists[LIST] = [each for each in api.objects.values() if "template" in each.get("spec", {})]
    assert run(api)["changed"] is False
    back = run(api, state="restored")
    assert {change["disrupts"] for change in back["changes"]} == {"exporter_rollout"}
    assert {path: {**item, "metadata": None} for path, item in api.objects.items()} == before


def test_without_consent_it_waits():
    api = cluster(daemon_set())
    told = run(api, allow=["calico_rollout"])
    assert (told["changed"], len(told["pending"]), api.patches) == (False, len(ALL), [])


def test_what_helm_put_back_is_no_conflict_on_the_way_back():
    api = cluster(daemon_set())
    run(api)
    path = f"/apis/apps/v1/namespaces/{MONITORING}/daemonsets/{NAME}"
    api.store(path, daemon_set("--collector.ethtool"))
    back = run(api, state="restored")
    assert (back["changed"], back["findings"]) == (False, [])
    assert ARGS[0] in str(api.get(path))
    assert list(api.objects) == [path], "nothing is left of the journal"


def test_a_word_that_somebody_added_since_stays():
    api = cluster(daemon_set())
    run(api)
    path = f"/apis/apps/v1/namespaces/{MONITORING}/daemonsets/{NAME}"
    now = places.put(api.objects[path], f"{WITHIN}/args/--collector.ethtool", "--collector.ethtool")
    api.store(path, now)
    assert run(api, state="restored")["changed"]
    assert places.get(api.get(path), f"{WITHIN}/args") == [*ARGS, "--collector.ethtool"]


def test_a_user_who_may_not_list_is_told():
    class Narrow(FakeApi):
        def items(self, path: str, labels: Any = None) -> list[dict[str, Any]]:
            if path == LIST:
                raise ApiError("daemonsets is forbidden", path, 403)
            return super().items(path, labels)

    told = run(Narrow())
    assert [each["id"] for each in told["findings"]] == ["process_metrics.not_allowed"]


def test_a_limit_that_is_none_is_refused():
    with pytest.raises(NodewardError, match="process_metrics_pod_timeout"):
        run(cluster(), pod_timeout=0)
