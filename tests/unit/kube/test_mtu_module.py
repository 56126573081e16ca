"""The module calico_mtu with objects in memory: what is sent, and the restart that a new veth_mtu needs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._kube import (
    calico_mtu,
    calico_probes,
    objects,
    places,
    probes,
    restart,
)  # fmt: skip
from ansible_collections.nodeward.calico.plugins.module_utils._kube.act import RefusedError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.rollout import Waiting

from tests.unit.kube.calico_objects import daemon_set, node, pod
from tests.unit.kube.fake_api import FakeApi
from tests.unit.kube.test_mtu import CONFIG, ENV, FELIX, IPIP, NODE, config, felix


def parameters(spec: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {**{name: each.get("default") for name, each in spec.items()}, "allow": ["calico_rollout"], **given}


@pytest.fixture
def api() -> FakeApi:
    fake = FakeApi({NODE.path: daemon_set(env=ENV), CONFIG.path: config("1450"), FELIX.path: felix()})
    fake.lists["/api/v1/nodes"] = [node("node0")]
    fake.lists["/apis/crd.projectcalico.org/v1/ippools"] = [IPIP]
    fake.lists["/api/v1/pods"] = [pod("node0", "user", phase="Running")]
    return fake


WAITING = Waiting(5, lambda _line: None)
SEEN = {"node0": {"name": "eth0", "mtu": 1450}}


def set_mtu(api: FakeApi, check: bool = False, **given: Any) -> dict[str, Any]:
    return calico_mtu.run(api, parameters(calico_mtu.ARGUMENTS, **{"uplinks": SEEN, **given}), check, WAITING)


def test_the_config_map_first_and_then_one_rollout_with_the_probes(api):
    foretold = set_mtu(api, check=True, rollout=False)
    assert api.patches == []
    done = set_mtu(api, rollout=False)
    assert done["changes"] == foretold["changes"]
    assert done["facts"]["calico_mtu"]["pods_with_the_old_mtu"] == {"kube-system": {"Pod/calico-node-user": 1}}
    assert api.patches == [CONFIG.path]
    probes_wanted = parameters(calico_probes.ARGUMENTS)
    both = calico_probes.run(api, probes_wanted, False, WAITING, lambda _e, cs: list(cs))
    assert api.patches == [CONFIG.path, NODE.path]
    assert {change["trap"] for change in both["changes"]} == {"calico_probes", "calico_mtu"}
    assert set_mtu(api)["changed"] is False

    back = set_mtu(api, state="restored")
    assert [change["target"] for change in back["changes"]] == [
        "ConfigMap kube-system/calico-config data.veth_mtu",
        "ConfigMap kube-system/calico-config metadata.annotations.nodeward.calico/veth-mtu",
        "DaemonSet kube-system/calico-node spec.template.metadata.annotations.nodeward.calico/veth-mtu",
    ]
    assert api.objects[CONFIG.path]["data"] == config("1450")["data"]
    assert places.get(api.objects[CONFIG.path], restart.DEMAND) is None
    assert places.get(api.objects[NODE.path], "/spec/template/metadata/annotations") is None
    assert places.get(api.objects[NODE.path], probes.CONTAINERS + "/calico-node/livenessProbe/timeoutSeconds") == 60


def test_a_restart_that_was_missed_is_made_up_for(api):
    set_mtu(api, rollout=False)
    done = set_mtu(api)
    assert [change["after"] for change in done["changes"]] == ["1430 was 1450"]
    assert api.patches == [CONFIG.path, NODE.path]


def noted(api: FakeApi) -> tuple[Any, Any]:
    return places.get(api.objects[CONFIG.path], restart.DEMAND), places.get(api.objects[NODE.path], restart.NOTE)


@pytest.mark.parametrize("breaks_off", [False, True], ids=["in one run", "broken off in between"])
def test_a_value_of_before_that_somebody_changed_meanwhile_is_restarted_for_again(api, breaks_off):
    set_mtu(api)
    assert noted(api) == ("1430 was 1450", "1430 was 1450")
    for count in ("1430 2 was 1500", "1430 3 was 1500"):
        api.objects[CONFIG.path]["data"]["veth_mtu"] = "1500"  # and calico-node was restarted with it
        set_mtu(api, rollout=not breaks_off)
        if breaks_off:
            assert noted(api)[1] != count
            set_mtu(api)
        assert (api.objects[CONFIG.path]["data"]["veth_mtu"], noted(api)) == ("1430", (count, count))
        assert set_mtu(api)["changed"] is False
    set_mtu(api, uplinks={"node0": {"name": "eth0", "mtu": 1400}})
    assert noted(api) == ("1380 was 1430", "1380 was 1430")
    set_mtu(api)
    assert noted(api) == ("1430 was 1380", "1430 was 1380")
    set_mtu(api, state="restored")
    assert (api.objects[CONFIG.path]["data"], noted(api)) == (config("1450")["data"], (None, None))


@pytest.mark.parametrize("note", ["1430 x", "1430 ", " ", "1430 2 3", "x", "1430 " + "9" * 5000, "١٤٣٠", "-5"])
def test_a_note_that_is_none_of_ours_is_replaced(api, note):
    api.objects[NODE.path] = places.put(api.objects[NODE.path], restart.NOTE, note)
    set_mtu(api)
    assert noted(api)[0] == noted(api)[1] != note
    assert set_mtu(api)["changed"] is False


def test_a_smaller_value_is_raised_where_it_is_ours_or_with_leave(api):
    larger = {"node0": {"name": "eth0", "mtu": 9000}}
    left = set_mtu(api, uplinks=larger)
    assert (left["changes"], left["pending"]) == ([], [])
    [told] = [each for each in left["findings"] if each["id"] == "calico_mtu.smaller"]
    assert (told["observed"], told["wanted"], told["mended"]) == (
        "1450",
        "8980, where every path between the nodes carries it",
        False,
    )
    assert "calico_mtu_raise_others" in told["remedy"]
    set_mtu(api)
    assert set_mtu(api, uplinks=larger)["changes"][0]["after"] == "8980", "ours"
    api.objects[CONFIG.path]["data"]["veth_mtu"] = "1300"
    assert set_mtu(api, uplinks=larger)["changed"] is False
    assert set_mtu(api, uplinks=larger, raise_others=True)["changes"][0]["after"] == "8980"


def test_a_rollout_that_calico_probes_would_be_refused_is_refused_before_the_config_map(api):
    api.lists["/api/v1/namespaces/kube-system/pods"] = [pod("node0", "a", ready=False)]
    for check in (True, False):
        with pytest.raises(RefusedError, match="1 of 1 pods are not ready"):
            set_mtu(api, check=check, rollout=False)
    assert api.patches == []


def test_check_mode_sees_that_the_journal_may_not_be_written(api, monkeypatch):
    def refused(path: str, item: Any, dry_run: bool = False) -> Any:
        del item, dry_run
        raise ApiError("POST was answered with 403", path, 403)

    monkeypatch.setattr(api, "create", refused)
    for check in (True, False):
        with pytest.raises(ApiError, match="403"):
            set_mtu(api, check=check)
    assert api.patches == []


@pytest.mark.parametrize("value", ["1480.0", " 1480", "abc", ""])
def test_a_value_that_is_no_number_is_told_as_such(api, value):
    api.objects[CONFIG.path]["data"]["veth_mtu"] = value
    told = {each["id"]: each for each in set_mtu(api)["findings"]}
    assert told["calico_mtu.unreadable"]["observed"] == value
    assert "calico_mtu.no_setting" not in told
    assert api.patches == []


# --- where Calico has its own objects in projectcalico.org/v3 ---------------------------------------

V3 = objects.felix_configuration_v3("default")


@pytest.fixture
def v3(api: FakeApi) -> FakeApi:
    api.lists["/apis/projectcalico.org/v3/ippools"] = api.lists.pop("/apis/crd.projectcalico.org/v1/ippools")
    api.store(V3.path, felix(wireguardEnabled=True, vxlanMTUV6=1450))
    del api.objects[FELIX.path]
    return api


def test_felix_is_read_where_the_pools_are(v3):
    done = set_mtu(v3)
    assert done["facts"]["calico_mtu"]["encapsulations"] == {"IP-in-IP": 20, "WireGuard": 60}
    assert places.get(v3.objects[CONFIG.path], restart.VETH_MTU) == "1390"


def test_felix_is_changed_and_brought_back_where_the_pools_are(v3):
    pool = {"spec": {"cidr": "fd00::/64", "ipipMode": "Never", "vxlanMode": "Always"}}
    v3.lists["/apis/projectcalico.org/v3/ippools"] = [pool]
    done = set_mtu(v3)
    assert "FelixConfiguration.projectcalico.org default spec.vxlanMTUV6" in [c["target"] for c in done["changes"]]
    assert places.get(v3.objects[V3.path], "/spec/vxlanMTUV6") == 1380
    assert set_mtu(v3, state="restored")["findings"] == []
    assert v3.objects[V3.path]["spec"] == felix(wireguardEnabled=True, vxlanMTUV6=1450)["spec"]


@pytest.mark.parametrize("refused", [True, False], ids=["may not be read", "is not there"])
def test_without_felix_nobody_knows_of_wireguard(v3, refused):
    get = v3.get
    del v3.objects[V3.path]

    def narrow(path: str) -> Any:
        if refused and path == V3.path:
            raise ApiError("GET was answered with 403", path, 403)
        return get(path)

    v3.get = narrow
    done = set_mtu(v3)
    assert (done["changed"], [each["id"] for each in done["findings"]]) == (False, ["calico_mtu.encapsulation_unknown"])


def test_without_consent_nothing_is_sent(api):
    told = set_mtu(api, allow=[])
    assert (told["changed"], api.patches, len(told["pending"])) == (False, [], 3)


@pytest.mark.parametrize(
    "given",
    [
        {"node0": {"mtu": 1}},
        {"node0": {"name": "a", "mtu": "x"}},
        {"node0": {"name": "a", "mtu": float("inf")}},
        {"node0": 7},
    ],
)
def test_bad_uplinks_are_refused(api, given):
    with pytest.raises(NodewardError, match="calico_mtu_uplinks"):
        calico_mtu.run(api, parameters(calico_mtu.ARGUMENTS, uplinks=given), False, WAITING)
    with pytest.raises(NodewardError, match="calico_mtu_pod_timeout"):
        set_mtu(api, pod_timeout=0)
