"""Whether a node is as well after a restart as before."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Change, Reason, RestartUnit, WriteFile
from ansible_collections.nodeward.calico.plugins.module_utils._node import health, kubelet

from tests.unit.fake_host import FakeHost

HEALTHZ = "GET http://127.0.0.1:10248/healthz"
FELIX = f"GET {health.FELIX}"
NODE = "GET https://10.0.0.1:6443/api/v1/nodes/node1"
UNIT = "/run/systemd/units/invocation:kubelet.service"
KUBECONFIG = """\
apiVersion: v1
clusters:
- cluster:
    server: https://10.0.0.1:6443
  name: c
contexts:
- context:
    cluster: c
    user: u
  name: x
current-context: x
users:
- name: u
  user:
    token: s3cr3t
"""
OK = Answer(200, "ok")
RESTART: list[Change] = [RestartUnit("kubelet.service", "a1", Reason("t", "w", disrupts="kubelet_restart"))]
UPLINK: list[Change] = [WriteFile("/f", None, "", Reason("t", "w", disrupts="uplink_change"))]
HARMLESS: list[Change] = [WriteFile("/f", None, "", Reason("t", "w"))]


def ready(status: str = "True", heartbeat: str = "12:00:00") -> Answer:
    conditions = [{"type": "X"}, {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat}]
    return Answer(200, json.dumps({"status": {"conditions": conditions}}))


def node(flags: str = "--kubeconfig=/etc/kubernetes/kubelet.conf --hostname-override=Node1") -> FakeHost:
    """A node that is well, Calico included."""
    host = FakeHost(
        {
            "/proc/712/comm": "kubelet\n",
            "/proc/712/cmdline": "\0".join(["kubelet", *flags.split()]) + "\0",
            "/proc/712/cgroup": "0::/system.slice/kubelet.service\n",
            "/etc/kubernetes/kubelet.conf": KUBECONFIG,
        },
        links={UNIT: "a1"},
    )
    host.answers = {HEALTHZ: OK, FELIX: OK, NODE: ready()}
    return host


def after(host: FakeHost, seconds: float, then: Answer, until: Answer) -> Callable[[Request], Answer]:
    """Answer ``until`` for some seconds from now, ``then`` after them."""
    moment = host.now + seconds
    return lambda _request: then if host.now >= moment else until


def test_a_kubelet_that_comes_back():
    host = node()
    settled = health.gate(RESTART, host)
    host.answers[HEALTHZ] = after(host, 20, OK, Answer(500))
    host.answers[NODE] = after(host, 30, ready(heartbeat="12:00:30"), ready())
    settled()
    assert 30 <= host.now <= 30 + 3 * health.INTERVAL


def test_ready_of_the_time_before_does_not_count():
    host = node()
    settled = health.gate(RESTART, host)
    with pytest.raises(NodewardError, match=r"the node's condition Ready did not say again.*no new heartbeat") as told:
        settled()
    assert health.PATIENCE <= host.now <= health.PATIENCE + health.INTERVAL
    assert "journalctl -u kubelet.service" in told.value.remedy


STARTED = 1_700_000_000  # 2023-11-14T22:13:20Z


@pytest.mark.parametrize(
    ("last", "is_well"),
    [("2023-11-14T22:13:19Z", False), ("2023-11-14T22:13:20Z", True), ("2023-11-14T22:13:31Z", True)],
)
def test_the_last_word_of_the_kubelet_before_does_not_count(last, is_well):
    host = node()
    host.answers[NODE] = ready(heartbeat="2023-11-14T22:13:09Z")
    settled = health.gate(RESTART, host)
    host.files["/proc/stat"] = f"btime {STARTED - 100}\n"
    host.files["/proc/712/stat"] = f"712 (kubelet) S 1 {' '.join(['0'] * 17)} 10050 0\n"  # 100.5 s after the boot
    host.answers[NODE] = ready(heartbeat=last)
    if is_well:
        settled()
    else:
        with pytest.raises(NodewardError, match="the node's condition Ready did not say again"):
            settled()


def test_it_has_to_be_well_twice_in_a_row():
    host = node("")
    settled = health.gate(UPLINK, host)
    looks = iter([OK, Answer(500), OK, OK])
    host.answers[HEALTHZ] = lambda _request: next(looks)
    settled()
    assert list(looks) == []


def test_without_ready_a_start_has_to_go_on_for_a_while():
    host = node("")
    health.gate(RESTART, host)()
    assert host.now == health.WINDOW


def test_a_kubelet_that_dies_some_seconds_after_its_start():
    host = node("")
    settled = health.gate(RESTART, host)
    host.answers[HEALTHZ] = after(host, 4, Answer(500), OK)
    with pytest.raises(NodewardError, match="the kubelet's healthz did not say again"):
        settled()


def test_another_start_begins_the_wait_anew():
    host = node("")
    settled = health.gate(RESTART, host)

    def restarted(_request: Request) -> Answer:
        host.links[UNIT] = "b1" if host.now < 6 else "b2"  # between two looks, so that healthz is never missed
        return OK

    host.answers[HEALTHZ] = restarted
    settled()
    assert host.now == 6 + health.WINDOW


PLUGIN = KUBECONFIG.replace("    token: s3cr3t\n", "    exec:\n      command: get-token\n")


@pytest.mark.parametrize("text", [PLUGIN, "%not YAML"])
def test_a_kubeconfig_that_cannot_be_used_says_nothing_of_the_kubelet(text):
    host = node()
    host.files["/etc/kubernetes/kubelet.conf"] = text
    signs = health.look(host, kubelet.observe(host, {712: "kubelet"}))
    assert signs.well == {health.HEALTHZ, health.LIVENESS}
    assert not signs.ill
    health.gate(RESTART, host)()


def test_a_kubelet_that_ends_again_and_again_is_not_waited_for():
    host = node()
    settled = health.gate(RESTART, host)
    del host.answers[HEALTHZ]

    def restarting(_request: Request) -> Answer:
        host.links[UNIT] = f"b{host.now // 10:.0f}"
        return ready("False")

    host.answers[NODE] = restarting
    with pytest.raises(NodewardError, match=r"kubelet.service was started 3 times"):
        settled()
    assert host.now < 30


def test_an_uplink_needs_no_new_heartbeat():
    host = node()
    health.gate(UPLINK, host)()
    assert host.now == health.INTERVAL


def test_what_was_not_well_before_is_not_waited_for():
    host = node()
    del host.answers[FELIX]
    health.gate(UPLINK, host)()
    host.answers[HEALTHZ] = Answer(500)
    health.gate(UPLINK, host)()


def test_felix_is_waited_for_where_it_answered():
    host = node()
    settled = health.gate(UPLINK, host)
    host.answers[FELIX] = Answer(503)
    with pytest.raises(NodewardError, match="Felix' liveness did not say again"):
        settled()


ILL = [
    ("healthz is not ok", HEALTHZ, Answer(500), "the kubelet's healthz.*healthz: 500"),
    ("healthz does not answer", HEALTHZ, None, "the kubelet's healthz.*Connection refused"),
    ("not Ready", NODE, ready("False"), "condition Ready.*Ready is not True"),
    ("Ready unknown", NODE, ready("Unknown"), "condition Ready.*Ready is not True"),
    ("no condition", NODE, Answer(200, '{"status": {}}'), "Ready is not True"),
    ("no such node", NODE, Answer(404, "{}"), "/api/v1/nodes/node1: there is no such node"),
    ("not allowed to see it", NODE, Answer(403, '{"message": "forbidden"}'), "answered with 403: forbidden"),
    ("no answer in JSON", NODE, Answer(200, "<html>"), "no JSON"),
    ("no API server", NODE, None, "https://10.0.0.1:6443/.*Connection refused"),
]


@pytest.mark.parametrize(("url", "answer", "told"), [case[1:] for case in ILL], ids=[case[0] for case in ILL])
def test_what_is_not_well_is_not_restarted(url, answer, told):
    host = node()
    del host.answers[url]
    if answer:
        host.answers[url] = answer
    with pytest.raises(NodewardError, match=told) as refused:
        health.gate(RESTART, host)
    assert "Mend it first" in refused.value.remedy
    assert "s3cr3t" not in str(refused.value)
    health.gate(HARMLESS, host)()


def test_changes_that_disrupt_nothing_ask_nobody():
    host = node()
    health.gate(HARMLESS, host)()
    assert host.requests == []


@pytest.mark.parametrize("flags", ["", "--kubeconfig=/none"])
def test_a_kubelet_without_an_api_server(flags):
    host = node(flags)
    del host.answers[NODE]
    health.gate(RESTART, host)()


def test_the_token_is_sent_and_shown_nowhere():
    host = node()
    health.gate(RESTART, host)
    [request] = [each for each in host.requests if f"GET {each.url}" == NODE]
    assert request.headers["Authorization"] == "Bearer s3cr3t"
    assert "s3cr3t" not in repr(request)
