"""Where each flavour of etcd keeps its settings, on files as their tools write them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import Reason
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.flavours import Running, Site, flags, recognise
from ansible_collections.nodeward.calico.plugins.module_utils._etcd.settings import NAMES, Values

from tests.unit.core.etcd_files import DEBIAN, K3S, KUBESPRAY, MANIFEST, UNIT
from tests.unit.fake_host import FakeHost

WANTED: Values = {"heartbeat-interval": 250, "election-timeout": 5000}
REASON = Reason("etcd_timing", "")
SHOW = "systemctl show --property=FragmentPath,DropInPaths,EnvironmentFiles,MainPID"


def pod(**more: str) -> Running:
    arguments = ("etcd", "--name=node1", "--data-dir=/var/lib/etcd", "--heartbeat-interval=100")
    return Running(7, arguments, more, is_pod=True)


def unit(*arguments: str, name: str = "etcd.service", **environment: str) -> Running:
    return Running(7, ("/usr/local/bin/etcd", *arguments), environment, unit=name)


def written(site: Site, host: FakeHost, wanted: Values = WANTED) -> dict[str, str]:
    """Apply what the site wants to write, see that a second time there is nothing, and return the files."""
    assert site.obstacle(wanted) == ""
    before = dict(host.files)
    for change in site.changes(wanted, REASON):
        change.check(host)
        change.act(host)
        change.verify(host)
    return {path: text for path, text in host.files.items() if before[path] != text}


PATH = "/etc/kubernetes/manifests/etcd.yaml"


def test_a_static_pod_of_kubeadm_s():
    host = FakeHost({PATH: MANIFEST, f"{PATH.rpartition('/')[0]}/.old": MANIFEST})
    site = recognise(pod(), host)
    assert (site.flavour.name, site.manifest, site.flavour.restarts) == ("kubeadm", PATH, "kubelet")
    assert site.configured() == {"heartbeat-interval": 100, "snapshot-count": 10000}
    after = MANIFEST.replace("interval=100", "interval=250").replace(
        "10000\n", "10000\n    - --election-timeout=5000\n"
    )
    assert written(site, host) == {PATH: after}
    assert len([call for call in host.calls if call[0] == "write"]) == 1
    again = recognise(pod(), host)
    assert again.changes(WANTED, REASON) == []
    assert again.configured()["election-timeout"] == 5000


@pytest.mark.parametrize(
    ("text", "running"),
    [
        (MANIFEST.replace("--name=node1", "--name=other"), pod()),
        (MANIFEST.replace("--data-dir=/var/lib/etcd", "--data-dir=/tmp"), pod()),
        (MANIFEST.replace("    - etcd\n", "    - sh\n"), pod()),
        (MANIFEST, replace(pod(), is_pod=False)),
        (MANIFEST, replace(pod(), arguments=("etcd",))),
    ],
)
def test_a_pod_that_only_claims_to_be_it(text, running):
    assert recognise(running, FakeHost({PATH: text})).flavour.name == "an unknown flavour"


def test_two_manifests_of_one_member_are_both_named():
    copy = "/etc/kubernetes/manifests/etcd-backup.yaml"
    site = recognise(pod(), FakeHost({PATH: MANIFEST, copy: MANIFEST}))
    assert f"{copy} and {PATH} are manifests of this same member" in site.obstacle(WANTED)


@pytest.mark.parametrize(
    ("name", "why"), [("ETCD_ELECTION_TIMEOUT", "make it a flag"), ("ETCD_HEARTBEAT_INTERVAL", "does not start again")]
)
def test_a_variable_that_the_manifest_has_got_since_counts(name, why):
    text = MANIFEST.replace("    image:", f'    env:\n    - name: {name}\n      value: "1"\n    image:', 1)
    assert why in recognise(pod(), FakeHost({PATH: text})).obstacle(WANTED)


def test_a_variable_in_a_pod_is_left_to_a_person():
    site = recognise(pod(ETCD_ELECTION_TIMEOUT="1000"), FakeHost({PATH: MANIFEST}))
    assert "make it a flag" in site.obstacle(WANTED)
    assert site.obstacle({"heartbeat-interval": 250}) == ""


def with_unit(
    files: dict[str, str], fragment: str, environments: str = "", drop_ins: str = "", name: str = "etcd", main: int = 0
):
    shown = f"FragmentPath={fragment}\nDropInPaths={drop_ins}\nMainPID={main}\n"
    shown += "".join(f"EnvironmentFiles={path} (ignore_errors=yes)\n" for path in environments.split())
    return FakeHost(files, commands={f"{SHOW} {name}.service": shown})


PLAIN = "[Service]\nType=notify\nExecStart=/usr/bin/etcd $DAEMON_ARGS\n"


def test_kubespray_on_the_host():
    files = {"/etc/systemd/system/etcd.service": PLAIN, "/etc/etcd.env": KUBESPRAY}
    host = with_unit(files, "/etc/systemd/system/etcd.service", "/etc/etcd.env")
    site = recognise(unit(ETCD_HEARTBEAT_INTERVAL="100", ETCD_ELECTION_TIMEOUT="1000"), host)
    assert (site.flavour.name, site.unit, site.flavour.priority_by_unit) == ("kubespray", "etcd.service", True)
    assert "inventory" in site.flavour.upgrade
    after = KUBESPRAY.replace("INTERVAL=100", "INTERVAL=250").replace("TIMEOUT=1000", "TIMEOUT=5000")
    assert written(site, host) == {"/etc/etcd.env": after}


@pytest.mark.parametrize("named_by_systemd", [True, False])
def test_kubespray_with_docker(named_by_systemd):
    files = {"/etc/systemd/system/etcd.service": PLAIN, "/etc/etcd.env": KUBESPRAY}
    environments = "/etc/etcd.env" if named_by_systemd else ""
    host = with_unit(files, "/etc/systemd/system/etcd.service", environments)
    running = unit(name="", ETCD_NAME="etcd1", ETCD_DATA_DIR="/var/lib/etcd", ETCD_HEARTBEAT_INTERVAL="100",
                   ETCD_ELECTION_TIMEOUT="1000")  # fmt: skip
    site = recognise(running, host)
    assert (site.flavour.name, site.unit, site.flavour.priority_by_unit) == (
        "kubespray with docker",
        "etcd.service",
        False,
    )
    assert list(written(site, host)) == ["/etc/etcd.env"]


def test_a_container_of_somebody_else_s_is_not_kubespray_s():
    host = with_unit({"/etc/etcd.env": KUBESPRAY}, "")
    assert recognise(unit(name="", ETCD_NAME="mine"), host).flavour.name == "an unknown flavour"
    broken = with_unit({"/etc/etcd.env": 'ETCD_NAME="a\nb"\n'}, "")
    assert recognise(unit(name="", ETCD_NAME="a"), broken).flavour.name == "an unknown flavour"


def test_debian_takes_what_stands_nowhere_as_a_variable_and_what_is_a_flag_as_a_flag():
    files = {"/lib/systemd/system/etcd.service": PLAIN, "/etc/default/etcd": DEBIAN}
    host = with_unit(files, "/lib/systemd/system/etcd.service", "/etc/default/etcd")
    site = recognise(unit("--election-timeout=1000", ETCD_NAME="node1"), host)
    after = DEBIAN.replace("timeout=1000", "timeout=5000") + "ETCD_HEARTBEAT_INTERVAL=250\n"
    assert site.flavour.name == "systemd"
    assert written(site, host) == {"/etc/default/etcd": after}


def test_flags_of_a_unit_are_edited_in_its_own_file():
    path = "/etc/systemd/system/etcd.service"
    host = with_unit({path: UNIT}, path)
    site = recognise(unit("--heartbeat-interval=100"), host)
    after = UNIT.replace("=100", "=250").replace("/var/lib/etcd\n", "/var/lib/etcd --election-timeout=5000\n")
    assert written(site, host) == {path: after}


def test_a_drop_in_has_the_last_word():
    path, drop_in = "/lib/systemd/system/etcd.service", "/etc/systemd/system/etcd.service.d/x.conf"
    text = "[Service]\nExecStart=\nExecStart=/usr/bin/etcd --heartbeat-interval=100\n"
    host = with_unit({path: UNIT, drop_in: text}, path, drop_ins=drop_in)
    assert list(written(recognise(unit("--heartbeat-interval=100"), host), host)) == [drop_in]


SERVICE = "/etc/systemd/system/etcd.service"
FLAG = 'DAEMON_ARGS="--heartbeat-interval=100"\n'
ENVIRONMENT = "[Service]\nEnvironment=ETCD_NAME=a ETCD_HEARTBEAT_INTERVAL=200\n"

# What keeps etcd from starting (pkg/flags verifyEnv), or where a change would have no effect.
TWICE: list[tuple[str, dict[str, str], str, str, Running, str]] = [
    ("variable and flag in one file", {SERVICE: PLAIN, "/e": "ETCD_HEARTBEAT_INTERVAL=200\n" + FLAG}, SERVICE, "/e",
     unit("--heartbeat-interval=100"), "both ETCD_HEARTBEAT_INTERVAL and --heartbeat-interval"),
    ("variable and flag in two files", {SERVICE: PLAIN, "/e1": "ETCD_HEARTBEAT_INTERVAL=200\n", "/e2": FLAG}, SERVICE,
     "/e1 /e2", unit("--heartbeat-interval=100"), "both ETCD_HEARTBEAT_INTERVAL and --heartbeat-interval"),
    ("of another setting", {SERVICE: PLAIN, "/e": 'ETCD_NAME=a\nDAEMON_ARGS="--name b"\n'}, SERVICE, "/e", unit(),
     "both ETCD_NAME and --name"),
    ("Environment= and a flag", {SERVICE: ENVIRONMENT + "ExecStart=/usr/bin/etcd --heartbeat-interval=100\n"}, SERVICE,
     "", unit("--heartbeat-interval=100"), "both ETCD_HEARTBEAT_INTERVAL and --heartbeat-interval"),
    ("Environment= alone", {SERVICE: ENVIRONMENT + "ExecStart=/usr/bin/etcd\n", "/e": "A=1\n"}, SERVICE, "/e",
     unit(), f"is set by Environment= or the command in {SERVICE}"),
    ("Environment= and a file", {SERVICE: ENVIRONMENT + "ExecStart=/usr/bin/etcd\n",
     "/e": "ETCD_HEARTBEAT_INTERVAL=1\n"}, SERVICE, "/e", unit(), f"is set in /e and {SERVICE}, more than once"),
    ("flags within Environment=", {SERVICE: '[Service]\nEnvironment="OPTS=--heartbeat-interval=1"\n'
     "ExecStart=/usr/bin/etcd $OPTS\n"}, SERVICE, "", unit("--heartbeat-interval=1"), "is set by Environment="),
    ("a shell", {SERVICE: '[Service]\nExecStart=-/bin/bash -c "exec /usr/bin/etcd --name x"\n'}, SERVICE, "", unit(),
     "a shell starts the program"),
    ("a second command", {SERVICE: "[Service]\nExecStart=/usr/bin/etcd --name x ; /bin/true\n"}, SERVICE, "", unit(),
     "a second command"),
]  # fmt: skip


def test_flags_of_what_starts_etcd_are_not_etcd_s():
    files = {SERVICE: "[Service]\nExecStart=/usr/bin/docker run --name etcd img etcd\n", "/e": "ETCD_NAME=a\n"}
    site = recognise(unit(ETCD_NAME="a"), with_unit(files, SERVICE, "/e"))
    assert (site.broken, site.obstacle(WANTED)) == ("", "")


@pytest.mark.parametrize("environments", ["/e /etc/environment", "/etc/environment /e"])
def test_a_new_setting_goes_to_the_file_that_is_etcd_s_own(environments):
    files = {SERVICE: PLAIN, "/e": "ETCD_NAME=a\n", "/etc/environment": "PATH=/bin\n"}
    host = with_unit(files, SERVICE, environments)
    assert list(written(recognise(unit(ETCD_NAME="a"), host), host)) == ["/e"]


def test_where_no_file_is_etcd_s_own_a_new_setting_goes_to_the_first():
    files = {SERVICE: PLAIN, "/e": "A=1\n", "/etc/environment": "PATH=/bin\n"}
    host = with_unit(files, SERVICE, "/e /etc/environment")
    assert list(written(recognise(unit(), host), host)) == ["/e"]


OBSTACLES: list[tuple[str, dict[str, str], str, str, Running, str]] = [
    ("a package's unit", {"/lib/systemd/system/etcd.service": UNIT}, "/lib/systemd/system/etcd.service", "",
     unit("--heartbeat-interval=100"), "is a package's"),
    ("flag and variable", {"/etc/systemd/system/etcd.service": UNIT, "/e": "ETCD_HEARTBEAT_INTERVAL=1\n"},
     "/etc/systemd/system/etcd.service", "/e", unit("--heartbeat-interval=100"), "leave one of them"),
    ("a wrapper's flag", {"/etc/systemd/system/etcd.service": PLAIN, "/e": "A=1\n"}, "/etc/systemd/system/etcd.service",
     "/e", unit("--heartbeat-interval=100"), "not by a file known here"),
    ("Environment= of the unit", {"/etc/systemd/system/etcd.service": PLAIN, "/e": "A=1\n"},
     "/etc/systemd/system/etcd.service", "/e", unit(ETCD_HEARTBEAT_INTERVAL="1"), "not by a file known here"),
    *TWICE,
    ("a file that is missing", {"/etc/systemd/system/etcd.service": PLAIN}, "/etc/systemd/system/etcd.service", "/e",
     unit(), "is not there; make it"),
    ("a garbled file", {"/etc/systemd/system/etcd.service": PLAIN, "/e": 'A="1\nB=2\n'},
     "/etc/systemd/system/etcd.service", "/e", unit(), "cannot be read safely"),
    ("two commands", {"/etc/systemd/system/etcd.service": f"{PLAIN}ExecStart=b\n"},
     "/etc/systemd/system/etcd.service", "", unit(), "2 lines"),
    ("nothing at all", {"/etc/systemd/system/etcd.service": "[Service]\n"}, "/etc/systemd/system/etcd.service", "",
     unit(), "something in etcd.service starts: set the values where that is configured"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "fragment", "environments", "running", "why"), [c[1:] for c in OBSTACLES], ids=[c[0] for c in OBSTACLES]
)
def test_where_nothing_is_written(files, fragment, environments, running, why):
    site = recognise(running, with_unit(files, fragment, environments))
    assert why in site.obstacle(WANTED)


# Commands that are not etcd's: flags are not for them, and their restart ends more than etcd.
OTHERS: list[tuple[str, str]] = [
    ("supervisord", "/usr/bin/supervisord -n -c /etc/supervisord.conf"),
    ("nomad", "/usr/bin/nomad agent -config /etc/etcd"),
    ("etcd", "/opt/etcd/run-etcd.sh --data-dir /var/lib/etcd"),
]


@pytest.mark.parametrize(("name", "command"), OTHERS, ids=[c[0] for c in OTHERS])
@pytest.mark.parametrize("by_file", [False, True])
@pytest.mark.parametrize("environment", ["", "/e"])
def test_a_unit_that_runs_something_else_is_left_alone(name, command, by_file, environment):
    path = f"/etc/systemd/system/{name}.service"
    files = {path: f"[Service]\nExecStart={command}\n", "/e": "A=1\n", "/etc/etcd.yml": CONFIG}
    site = recognise(
        unit(*["--config-file=/etc/etcd.yml"] * by_file, name=f"{name}.service"),
        with_unit(files, path, environment, name=name),
    )
    assert (site.flavour.is_ours, site.unit, site.places) == (False, "", ())
    assert f"something in {name}.service starts" in site.obstacle(WANTED)


def test_a_script_that_becomes_etcd_gets_variables_and_a_file_and_no_flags():
    files = {SERVICE: "[Service]\nExecStart=/opt/etcd/run-etcd.sh\n", "/e": "ETCD_NAME=a\n", "/c": CONFIG}
    bare, with_file = with_unit(files, SERVICE, main=7), with_unit(files, SERVICE, "/e", main=7)
    assert "give it an EnvironmentFile=" in recognise(unit(), bare).obstacle(WANTED)
    assert list(written(recognise(unit(), with_file), with_file)) == ["/e"]
    assert list(written(recognise(unit("--config-file=/c"), bare), bare)) == ["/c"]


@pytest.mark.parametrize(
    "command", ["-etcd", '/bin/bash -c "/usr/bin/etcd --name a"', "/usr/bin/ionice -c2 -n0 /opt/etcd/etcd"]
)
def test_etcd_is_found_in_the_command_of_its_unit(command):
    host = with_unit({SERVICE: f"[Service]\nExecStart={command}\n", "/e": "ETCD_NAME=a\n"}, SERVICE, "/e")
    assert recognise(unit(), host).unit == "etcd.service"


def test_a_unit_that_systemd_does_not_know():
    assert recognise(unit("--config-file=/c"), FakeHost({"/c": CONFIG})).flavour.name == "an unknown flavour"
    assert recognise(unit(), FakeHost()).flavour.name == "an unknown flavour"


CONFIG = "name: node1\nheartbeat-interval: 100 # ms\n"


def test_a_configuration_file_is_all_that_counts():
    host = with_unit({SERVICE: PLAIN, "/etc/etcd/etcd.yml": CONFIG}, SERVICE)
    site = recognise(unit("--config-file", "/etc/etcd/etcd.yml", "--heartbeat-interval=7"), host)
    wanted: Values = {**WANTED, "auto-compaction-retention": "8"}
    after = CONFIG.replace("100", "250") + 'election-timeout: 5000\nauto-compaction-retention: "8"\n'
    assert written(site, host, wanted) == {"/etc/etcd/etcd.yml": after}
    assert recognise(unit(ETCD_CONFIG_FILE="/etc/etcd/etcd.yml"), host).configured() == {
        "heartbeat-interval": 250,
        "election-timeout": 5000,
        "auto-compaction-retention": "8",
    }
    assert "not there" in recognise(unit("--config-file=/gone"), host).obstacle(WANTED)
    relative = recognise(unit("--config-file=etcd.yml"), host).obstacle(WANTED)
    assert relative == "etcd.yml is named without its folder; name it from / on in --config-file"
    host.files["/x"] = "heartbeat-interval: [1]\n"
    assert "edited safely" in recognise(unit("--config-file=/x"), host).obstacle(WANTED)


@pytest.mark.parametrize("name", ["k3s", "rke2"])
def test_rancher_s_own_file_is_edited_never_the_generated_one(name):
    generated = f"/var/lib/rancher/{name}/server/db/etcd/config"
    path = f"/etc/rancher/{name}/config.yaml"
    host = FakeHost({path: K3S, generated: "heartbeat-interval: 500\n"})
    running = Running(7, ("etcd", f"--config-file={generated}"), is_pod=name == "rke2")
    site = recognise(running, host)
    assert site.flavour.name == name
    after = K3S.replace("=500", "=250").replace("4294967296\n", "4294967296\n  - election-timeout=5000\n")
    assert written(site, host) == {path: after}
    assert "make it" in recognise(running, FakeHost()).obstacle(WANTED)


def test_a_second_file_of_rancher_s_with_the_same_list_is_named():
    generated, path = "/var/lib/rancher/k3s/server/db/etcd/config", "/etc/rancher/k3s/config.yaml"
    files = {path: K3S, generated: "a: 1\n", f"{path}.d/a.yaml": "debug: true\n"}
    running = Running(7, ("etcd", f"--config-file={generated}"))
    assert recognise(running, FakeHost(files)).obstacle(WANTED) == ""
    files[f"{path}.d/b.yaml"] = "etcd-arg+:\n  - heartbeat-interval=500\n"
    assert f"{path}.d/b.yaml has etcd-arg too" in recognise(running, FakeHost(files)).obstacle(WANTED)


FOREIGN: list[tuple[str, Running, dict[str, str], str, str]] = [
    ("Talos", Running(7), {"/etc/os-release": 'NAME="Talos"\nID=talos\n'}, "Talos", "talosctl"),
    ("kOps", Running(7, parent="etcd-manager"), {}, "kOps", "kops edit cluster"),
    ("OpenShift", Running(7, is_pod=True), {"/etc/kubernetes/static-pod-resources/etcd-certs/x": ""}, "OpenShift",
     "controlPlaneHardwareSpeed"),
    ("nobody knows", Running(7), {}, "an unknown flavour", "where this etcd is configured"),
]  # fmt: skip


@pytest.mark.parametrize(("running", "files", "name", "remedy"), [c[1:] for c in FOREIGN], ids=[c[0] for c in FOREIGN])
def test_those_of_others_are_named_and_refused(running, files, name, remedy):
    site = recognise(running, FakeHost(files))
    assert site.flavour.name == name
    assert not site.flavour.is_ours
    assert remedy in site.obstacle(WANTED)
    assert site.changes(WANTED, REASON) == []


def test_the_place_in_the_journal_never_changes():
    host = FakeHost({PATH: MANIFEST})
    [change] = recognise(pod(), host).changes({"snapshot-count": 5000}, REASON)
    assert change.target == f"pod-flags {PATH}#{','.join(NAMES)}"
    assert change.before == "heartbeat-interval=100 snapshot-count=10000"
    assert change.after == "heartbeat-interval=100 snapshot-count=5000"


def test_a_command_line_is_read_as_go_reads_it():
    line = ("etcd", "-a", "1", "--b=2", "--c", "--d", "4", "--b", "5", "-")
    assert flags(line) == {"a": "1", "b": "5", "c": "", "d": "4"}
    assert pod().root == "/proc/7/root"
