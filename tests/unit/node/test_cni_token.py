"""The CNI plugin's token as a node sees it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer
from ansible_collections.nodeward.calico.plugins.module_utils._kube.cni_token import is_due
from ansible_collections.nodeward.calico.plugins.module_utils._kube.service_account_token import decoded
from ansible_collections.nodeward.calico.plugins.module_utils._node import cni_token
from ansible_collections.nodeward.calico.plugins.module_utils._node.cni_token import LOG, Policy
from hypothesis import given
from hypothesis import strategies as st

from tests.api.kubeconfig import of_cni
from tests.unit.fake_host import FakeHost

NOW = 1_700_000_000
SERVER = "https://10.96.0.1:443"
URL = f"GET {SERVER}{cni_token.PATH}"
HOUR, DAY = 3600, 86400


def jwt(**claims: Any) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'ES256'})}.{part(claims)}.c2lnbmF0dXJl"


def bound(age: float, life: float | None, pod: str = "calico-node-x") -> str:
    """A token as TokenRequest makes it, so many seconds ago."""
    end = {} if life is None else {"exp": NOW - age + life}
    account = {"namespace": "kube-system", "serviceaccount": {"name": "calico-node", "uid": "1"}, "pod": {"name": pod}}
    return jwt(iat=NOW - age, **end, **{"kubernetes.io": account})


def kubeconfig(token: str) -> str:
    return of_cni(SERVER, token)


def node(token: str, answer: Answer | None = None, log: str = "") -> FakeHost:
    host = FakeHost(
        {
            cni_token.KUBECONFIG: kubeconfig(token),
            cni_token.NODENAME: "node1\n",
            "/proc/stat": f"cpu 1 2\nbtime {NOW - 1000}\n",
            "/proc/uptime": "1000.00 900.00\n",
            **({LOG: log} if log else {}),
        }
    )
    host.times[LOG] = NOW
    if answer:
        host.answers[URL] = answer
    return host


def ids(host: FakeHost) -> list[str]:
    return [
        finding.id.removeprefix("cni_token.") for finding in cni_token.plan(cni_token.observe(host), Policy()).findings
    ]


FRESH = bound(HOUR, DAY)
OK = Answer(200, "{}")

ANSWERS: list[tuple[str, FakeHost, list[str], str]] = [
    ("accepted", node(FRESH, OK), [], "accepted"),
    ("no ClusterInformation yet", node(FRESH, Answer(404, "{}")), [], "accepted"),
    ("401", node(FRESH, Answer(401, "{}")), ["refused"], "refused"),
    ("401 and expired", node(bound(2 * DAY, DAY), Answer(401, "{}")), ["refused"], "refused"),
    ("403 is another matter", node(FRESH, Answer(403, "{}")), ["forbidden"], "forbidden"),
    ("nobody answers", node(FRESH), ["unreachable"], "unreachable"),
    ("503", node(FRESH, Answer(503, "")), ["odd_answer"], "odd"),
    ("never renewed", node(bound(21 * HOUR, DAY), OK), ["expires_soon"], "accepted"),
    ("an hour, which the kubelet is about to renew", node(bound(0.82 * HOUR, HOUR), OK), [], "accepted"),
    ("an hour, which nobody renewed", node(bound(0.9 * HOUR, HOUR), OK), ["expires_soon"], "accepted"),
    ("by a clock that is ahead", node(FRESH, Answer(200, "{}", NOW - 23 * HOUR)), [], "accepted"),
    ("by a clock that is behind", node(FRESH, Answer(200, "{}", NOW + 21 * HOUR)), ["expires_soon"], "accepted"),
    ("renewed as late as it may be", node(bound(12 * HOUR, DAY), OK), [], "accepted"),
    ("a year, of which months are left", node(bound(300 * DAY, 365 * DAY), OK), [], "accepted"),
    ("a year, of which days are left", node(bound(360 * DAY, 365 * DAY), OK), ["expires_soon"], "accepted"),
    ("a secret's token has no end", node(bound(300 * DAY, None), OK), [], "accepted"),
]


def test_a_password_in_the_server_s_address_is_never_shown():
    server = "https://user:s3cret@10.96.0.1:443"
    host = node(FRESH, Answer(401, "{}"))
    host.files[cni_token.KUBECONFIG] = of_cni(server, FRESH)
    host.answers[f"GET {server}{cni_token.PATH}"] = Answer(401, "{}")
    facts = cni_token.observe(host)
    shown = (cni_token.shown(facts), cni_token.plan(facts, Policy()).findings, repr(facts))
    assert ("s3cret" in str(shown), facts.server, facts.answer) == (False, "https://10.96.0.1:443", "refused")


@pytest.mark.parametrize(("host", "told", "answer"), [c[1:] for c in ANSWERS], ids=[c[0] for c in ANSWERS])
def test_what_comes_of_a_request(host, told, answer):
    assert ids(host) == told
    assert cni_token.shown(cni_token.observe(host))["answer"] == answer
    assert host.calls == [], "it only reads"


@pytest.mark.parametrize(
    ("answer", "told", "remedy"),
    [
        (OK, "", "ansible-playbook nodeward.calico.harden --tags cni_token"),
        (
            None,
            "unreachable",
            "See first that the API server can be reached from the node: until then harden restarts ",
        ),
        (Answer(403, "{}"), "forbidden", "Give it back its right first: until then harden restarts nothing"),
        (Answer(503, ""), "odd_answer", "See first why the API server answers so: until then harden restarts nothing"),
    ],
)
def test_a_token_that_expires_soon_is_told_whatever_the_answer_and_restarted_only_where_that_helps(
    answer, told, remedy
):
    findings = {
        f.id: f for f in cni_token.plan(cni_token.observe(node(bound(23 * HOUR, DAY), answer)), Policy()).findings
    }
    assert set(findings) == {"cni_token.expires_soon", *([f"cni_token.{told}"] if told else [])}
    assert findings["cni_token.expires_soon"].remedy.startswith(remedy)


def test_the_request_is_made_with_the_token_and_the_token_is_never_shown():
    host = node(FRESH, Answer(401, "{}"))
    facts = cni_token.observe(host)
    [request] = host.requests
    assert request.headers["Authorization"] == f"Bearer {FRESH}"
    told = json.dumps([cni_token.shown(facts), *(f.describe() for f in cni_token.plan(facts, Policy()).findings)])
    assert FRESH not in told + repr(facts)
    assert FRESH.split(".")[1] not in told + repr(facts)


def test_what_is_shown():
    assert cni_token.shown(cni_token.observe(node(FRESH, OK))) == {
        "present": True,
        "node": "node1",
        "service_account": "kube-system/calico-node",
        "pod": "calico-node-x",
        "age": HOUR,
        "expires_in": 23 * HOUR,
        "expires_soon": False,
        "issued": NOW - HOUR,
        "server": SERVER,
        "answer": "accepted",
        "said": "200",
        "refusals": 0,
        "last_refusal": "",
    }


def test_a_token_is_judged_by_the_api_server_s_clock():
    """A node whose clock was 19 hours ahead had its calico-node restarted by each run: the new token was as old."""
    made_now = node(bound(19 * HOUR, DAY), Answer(200, "{}", NOW - 19 * HOUR))
    shown = cni_token.shown(cni_token.observe(made_now))
    assert (shown["age"], shown["expires_in"], shown["expires_soon"]) == (0, DAY, False)


def test_a_young_token_is_no_reason_for_a_restart():
    facts = cni_token.observe(node(bound(0.9 * HOUR, HOUR), OK))
    [told] = cni_token.plan(facts, Policy()).findings
    assert (told.id, told.remedy[:17], is_due(cni_token.shown(facts))) == (
        "cni_token.expires_soon",
        "Look again later:",
        False,
    )
    assert is_due(cni_token.shown(cni_token.observe(node(bound(1.8 * HOUR, 2 * HOUR), OK))))


def test_a_node_without_calico_s_cni_says_nothing():
    facts = cni_token.observe(FakeHost())
    assert cni_token.plan(facts, Policy()).findings == ()
    assert cni_token.shown(facts)["present"] is False


CRD = '{"message": "clusterinformations.crd.projectcalico.org \\"default\\" is forbidden"}'


@pytest.mark.parametrize(
    ("datastore", "body", "severity"),
    [
        ("kubernetes", "{}", "high"),
        ("etcdv3", CRD, "low"),
        (None, CRD, "high"),
        (None, "a proxy's", "low"),
    ],
)
def test_a_403_matters_where_the_plugin_reads_there(datastore, body, severity):
    host = node(FRESH, Answer(403, body))
    plugin = {"type": "calico", "kubernetes": {"kubeconfig": cni_token.KUBECONFIG}, "datastore_type": datastore}
    host.files["/etc/cni/net.d/10-calico.conflist"] = json.dumps({"plugins": [plugin]})
    [told] = cni_token.plan(cni_token.observe(host), Policy()).findings
    assert (told.id, told.severity) == ("cni_token.forbidden", severity)


@pytest.mark.parametrize("text", ["", "users: {", "apiVersion: v1\n", kubeconfig(""), kubeconfig('""')])
def test_a_kubeconfig_that_is_none(text):
    host = node(FRESH, OK)
    host.files[cni_token.KUBECONFIG] = text
    assert ids(host) == ["unusable"]
    assert host.requests == []


def test_the_kubeconfig_that_the_plugin_was_told():
    elsewhere = "/etc/cni/net.d/calico.d/kubeconfig"
    plugin = {"type": "calico", "kubernetes": {"kubeconfig": elsewhere}}
    host = node(FRESH, OK)
    host.files[elsewhere] = kubeconfig(bound(0, DAY, pod="told"))
    for text, pod in (
        (json.dumps({"plugins": [{"type": "loopback"}, plugin]}), "told"),
        (json.dumps(plugin), "told"),
        ("no JSON", "calico-node-x"),
        (json.dumps({"type": "calico", "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"}}), "calico-node-x"),
        (json.dumps([]), "calico-node-x"),
    ):  # fmt: skip
        host.files["/etc/cni/net.d/10-calico.conflist"] = text
        assert cni_token.observe(host).token.pod == pod, text


REFUSAL = "[ERROR][71] plugin.go 127: error getting ClusterInformation: connection is unauthorized: Unauthorized"


@pytest.mark.parametrize(
    ("lines", "age", "told"),
    [
        ([("2023-11-14 10:00:00.123", REFUSAL)], 0, ["was_refused"]),
        ([("2023-11-14 10:00:00.123", REFUSAL)], 2 * DAY, []),
        ([("2023-11-12 10:00:00.123", REFUSAL), ("2023-11-14 10:00:00.123", "[INFO] fine")], 0, []),
        ([("2023-11-13 20:00:00.123", REFUSAL), ("2023-11-14 10:00:00.123", "[INFO] fine")], 0, ["was_refused"]),
        ([("2023-11-13 20:00:00.123", REFUSAL), ("2023-11-14 10:00:00.123", "[INFO] fine")], 12 * HOUR, []),
        ([("2023-99-99 10:00:00.123", REFUSAL)], 2 * DAY, []),
    ],
)
def test_recent_refusals_in_the_log(lines, age, told):
    host = node(FRESH, OK, "rest of a line\n" + "".join(f"{stamp} {text}\n" for stamp, text in lines))
    host.times[LOG] = NOW - age
    assert ids(host) == told


def test_a_legacy_token_names_its_account_in_other_words():
    legacy = {"kubernetes.io/serviceaccount/namespace": "kube-system"}
    legacy["kubernetes.io/serviceaccount/service-account.name"] = "calico-node"
    assert decoded(jwt(**legacy)).service_account == "kube-system/calico-node"


@pytest.mark.parametrize("name", ["../../nodes", "a/b", "a?b=c", "A", "", 7, ["a"], "a..b", "x" * 254, "\ud800", "a\n"])
def test_a_name_that_is_none_of_kubernetes_is_no_name(name):
    bound = {"namespace": "kube-system", "serviceaccount": {"name": name}, "pod": {"name": name}}
    said = decoded(jwt(**{"kubernetes.io": bound}))
    assert (said.service_account, said.pod) == ("", "")


@given(st.text() | st.text().map(lambda text: jwt(exp=text, iat=[text])) | st.binary().map(
    lambda raw: f"a.{base64.urlsafe_b64encode(raw).decode()}.b"))  # fmt: skip
def test_whatever_is_no_token_says_nothing(text):
    token = decoded(text)
    assert (token.issued, token.expires) == (None, None)


@pytest.mark.parametrize("number", ["1e400", "NaN", "-Infinity", "9" * 400, "1e20", "-1"])
def test_a_moment_that_is_none_says_nothing(number):
    body = base64.urlsafe_b64encode(f'{{"exp": {number}, "iat": {number}}}'.encode()).decode()
    assert (decoded(f"a.{body}.c").expires, decoded(f"a.{body}.c").issued) == (None, None)
    deep = base64.urlsafe_b64encode(b"[" * 200_000).decode()
    assert decoded(f"a.{deep}.c").expires is None


def test_a_node_whose_clock_is_not_told():
    host = node(FRESH, OK)
    del host.files["/proc/uptime"]
    assert cni_token.observe(host).now == 0.0


def test_the_protocol_of_a_trap_that_changes_nothing():
    facts = cni_token.observe(node(FRESH, OK))
    assert list(cni_token.guard(facts, [])) == []
    assert cni_token.going_back(facts, [], Policy()).changes == ()
