"""What the cluster's modules leave behind where they break off, meet others, or are answered too late."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import calico_mtu, install, objects, places, restart
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.cluster_journal import ClusterJournal
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Waiting

from tests.unit.kube.calico_fleet import JOURNAL, NODE, NODES, PODS, TIMEOUT, Fleet, api, harden, timeout
from tests.unit.kube.calico_objects import daemon_set, node, pod
from tests.unit.kube.fake_api import FakeApi
from tests.unit.kube.test_mtu import CONFIG, ENV, FELIX, IPIP, config, felix

__all__ = ["api"]  # a fixture


def anew(api: FakeApi, becomes_ready: Callable[[str], bool] = lambda _name: True) -> Fleet:
    """The fleet as it is before a run: its pods are old ones."""
    api.lists[PODS] = [pod(name, f"old-{name}") for name in NODES]
    return Fleet(api, becomes_ready)


def breaks(api: FakeApi, error: BaseException, stored: bool = False, path: str = NODE.path) -> None:
    """Have the next real patch of an object fail, before or after it was stored."""
    patch = api.patch

    def broken(where: str, operations: Any, dry_run: bool) -> Any:
        if dry_run or where != path:
            return patch(where, operations, dry_run)
        api.patch = patch  # type: ignore[method-assign]
        if stored:
            patch(where, operations, dry_run)
        raise error

    api.patch = broken  # type: ignore[method-assign, assignment]


def entries(api: FakeApi) -> dict[str, Any]:
    return dict(ClusterJournal(api).entries)


# --- the way back -----------------------------------------------------------------------------------


def test_a_restore_that_breaks_off_before_its_patch_is_finished_by_the_next(api):
    first = places.get(api.get(NODE.path), "/spec")
    harden(anew(api))
    known = entries(api)
    breaks(api, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        harden(anew(api), state="restored")
    assert (timeout(api), entries(api)) == (60, known)
    done = harden(anew(api), state="restored")
    assert (done["changed"], done["findings"]) == (True, [])
    assert (places.get(api.get(NODE.path), "/spec"), api.get(JOURNAL)) == (first, None)


def test_a_restore_that_is_undone_is_still_known(api):
    harden(anew(api))
    known = entries(api)
    with pytest.raises(NodewardError, match="put back"):
        harden(anew(api, lambda _name: False), state="restored")
    assert (timeout(api), entries(api)) == (60, known)


def test_a_run_is_undone_also_where_somebody_else_writes_the_journal_meanwhile(api):
    delete = api.delete

    def written_before(path: str, version: str) -> None:
        api.delete = delete
        api.store(path, api.get(path) or {})
        delete(path, version)

    api.delete = written_before
    with pytest.raises(NodewardError, match="put back"):
        harden(anew(api, lambda _name: False))
    assert (timeout(api), api.get(JOURNAL)) == (1, None)


def test_a_restore_forgets_nothing_that_another_run_hardened_meanwhile(api):
    harden(anew(api))
    fleet = anew(api)
    sleep = fleet.sleep

    def somebody(seconds: float) -> None:
        sleep(seconds)
        if timeout(api) == 1:  # our way back rolls out
            api.store(NODE.path, places.put(api.get(NODE.path) or {}, TIMEOUT, 60))

    fleet.sleep = somebody  # type: ignore[method-assign]
    harden(fleet, state="restored")
    assert f"{NODE.where} {TIMEOUT}" in entries(api)
    assert timeout(api) == 60
    assert harden(anew(api), state="restored")["changed"]
    assert (timeout(api), api.get(JOURNAL)) == (1, None)


# --- the way there ----------------------------------------------------------------------------------


def test_what_somebody_set_between_two_tries_is_what_was_before(api):
    def somebody(path: str) -> None:
        api.before_patch = lambda _path: None
        api.store(path, places.put(api.get(path) or {}, TIMEOUT, 30))

    api.before_patch = somebody
    harden(anew(api))
    assert timeout(api) == 60
    harden(anew(api), state="restored")
    assert timeout(api) == 30


def test_a_path_that_somebody_took_away_is_planned_anew(api):
    """The server answers 422 then: it looks for the path before it looks at the version."""

    def somebody(path: str) -> None:
        api.before_patch = lambda _path: None
        api.store(path, places.put(api.get(path) or {}, TIMEOUT, None))
        raise ApiError("the server rejected our request due to an error in our request", path, 422)

    api.before_patch = somebody
    harden(anew(api))
    assert timeout(api) == 60
    harden(anew(api), state="restored")
    assert timeout(api) is None


@pytest.mark.parametrize("error", [ApiError("gateway timeout", NODE.path, 504), NodewardError("no answer", "", "")])
def test_a_patch_that_was_stored_and_not_answered_is_waited_for(api, error):
    breaks(api, error, stored=True)
    fleet = anew(api)
    done = harden(fleet)
    assert (done["changed"], timeout(api)) == (True, 60)
    assert fleet.lines[-1].endswith("3 of 3 pods are ready anew")


def test_a_patch_that_was_not_stored_is_an_error(api):
    breaks(api, ApiError("gateway timeout", NODE.path, 504))
    with pytest.raises(ApiError, match="gateway timeout"):
        harden(anew(api))
    assert (timeout(api), api.get(JOURNAL)) == (1, None)


def test_a_run_that_is_killed_between_the_journal_and_its_patch_keeps_the_way_back(api):
    first = places.get(api.get(NODE.path), "/spec")
    harden(anew(api))
    breaks(api, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        harden(anew(api), timeout=90)
    assert timeout(api) == 60
    done = harden(anew(api), state="restored")
    assert (done["findings"], places.get(api.get(NODE.path), "/spec"), api.get(JOURNAL)) == ([], first, None)


# --- veth_mtu, set by one module and restarted for by another ---------------------------------------


def with_mtu(veth_mtu: str) -> FakeApi:
    api = FakeApi({NODE.path: daemon_set("v3.19.0", env=ENV), CONFIG.path: config(veth_mtu), FELIX.path: felix()})
    api.lists["/api/v1/nodes"] = [node("node1")]
    api.lists["/apis/crd.projectcalico.org/v1/ippools"] = [IPIP]
    api.lists["/api/v1/pods"] = []
    return api


def set_mtu(api: FakeApi, uplink: int, **given: Any) -> dict[str, Any]:
    defaults = {name: each.get("default") for name, each in calico_mtu.ARGUMENTS.items()}
    # nodes of Fleet, as harden() below makes them
    seen = {name: {"name": "eth0", "mtu": uplink} for name in ("node1", "node2", "node3")}
    return calico_mtu.run(
        api, {**defaults, "allow": ["calico_rollout"], "uplinks": seen, **given}, False, Waiting(5, lambda _line: None)
    )


def veth_mtu(api: FakeApi) -> str:
    return str(places.get(api.get(CONFIG.path), restart.VETH_MTU))


def test_an_undone_restart_brings_back_the_veth_mtu_that_was_replaced():
    """And not what the pods had noted, which somebody had lowered since: it may be too large."""
    api = with_mtu("1450")
    set_mtu(api, 1450)
    assert veth_mtu(api) == "1430"
    api.store(CONFIG.path, places.put(api.get(CONFIG.path) or {}, restart.VETH_MTU, "1400"))
    before, known = api.get(NODE.path), entries(api)
    set_mtu(api, 1390, rollout=False)
    assert veth_mtu(api) == "1370"
    with pytest.raises(NodewardError, match="put back"):
        harden(anew(api, lambda _name: False))
    assert veth_mtu(api) == "1400"
    assert (places.get(api.get(NODE.path), "/spec"), entries(api)) == ((before or {})["spec"], known)


@pytest.mark.parametrize(
    ("error", "at"),
    [
        (NodewardError("was not reached", "https://api", "See that it runs"), CONFIG.path),
        (ApiError("leader changed", "x", 500), NODE.path),
    ],
    ids=["after the first object", "at the second, and for the journal as well"],
)
def test_what_was_written_before_the_server_went_away_is_named(monkeypatch, error, at):
    api = with_mtu("1450")
    anew(api)
    patch = api.patch

    def away(*_args: Any, **_given: Any) -> Any:
        raise error

    def last(path: str, operations: Any, dry_run: bool) -> Any:
        if path != at or dry_run:
            return patch(path, operations, dry_run)
        for name in ("get", "items", "patch", "create", "replace"):
            monkeypatch.setattr(api, name, away)
        return patch(path, operations, dry_run) if at == CONFIG.path else away()

    monkeypatch.setattr(api, "patch", last)
    with pytest.raises(NodewardError, match=r"changed, and stays so: .*calico-config data\.veth_mtu") as told:
        set_mtu(api, 1450)
    assert "then run again" in told.value.remedy
    monkeypatch.undo()
    assert veth_mtu(api) == "1430"
    assert set_mtu(api, 1450, state="restored")["changed"]
    assert (veth_mtu(api), api.get(JOURNAL)) == ("1450", None)


def test_an_undone_restart_of_a_first_run_leaves_nothing():
    api = with_mtu("1450")
    set_mtu(api, 1450, rollout=False)
    with pytest.raises(NodewardError, match="put back"):
        harden(anew(api, lambda _name: False))
    assert (veth_mtu(api), api.get(JOURNAL)) == ("1450", None)
    assert places.get(api.get(CONFIG.path), restart.DEMAND) is None


def test_a_daemon_set_that_is_gone_holds_no_restore_up():
    api = with_mtu("1450")
    set_mtu(api, 1450, rollout=False)
    del api.objects[NODE.path]
    done = set_mtu(api, 1450, state="restored")
    assert (done["changed"], veth_mtu(api), api.get(JOURNAL)) == (True, "1450", None)


# --- the journal ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["Foo /x/y", f"{NODE.where} {TIMEOUT}"])
def test_a_journal_that_says_something_else_than_json_of_a_place_names_it(api, target):
    harden(anew(api))
    item = api.get(JOURNAL) or {}
    kept = json.loads(item["data"]["journal.json"])
    kept["entries"][target] = {"trap": "z", "before": "not json", "after": None}
    item["data"]["journal.json"] = json.dumps(kept)
    api.store(JOURNAL, item)
    with pytest.raises(NodewardError, match="no JSON") as caught:
        install.capture(api)
    assert (caught.value.where, target in caught.value.what) == ("ConfigMap kube-system/nodeward-journal", True)


def test_objects_are_named_as_the_journal_has_them():
    assert objects.ref_of(NODE.where) == NODE
