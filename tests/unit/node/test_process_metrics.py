"""The collector of processes is turned on where the exporter is told, once, and put back where it does harm."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply, restore
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._node import process_metrics
from ansible_collections.nodeward.calico.plugins.module_utils._node import restore as way_back
from ansible_collections.nodeward.calico.plugins.module_utils._node.process_metrics import PUT_BACK, Policy

from tests.unit.fake_host import FakeHost
from tests.unit.node.fake_exporters import DEBIAN, DEFAULTS, FOLDER, PLAIN, ROLE, UNIT, ExporterHost

ON = "--collector.processes"
POD = "0::/kubepods.slice/pod1/cri-containerd-1.scope\n"
NEW = "/var/lib/node_exporter"
URLS = ("http://127.0.0.1:9100/metrics", "http://127.0.0.1:9101/metrics")


def node(unit: tuple[str, str], defaults: str | None = None, **options: object) -> ExporterHost:
    host = ExporterHost(unit, defaults, **options)  # type: ignore[arg-type]
    host.answers.update({f"GET {url}": Answer(200) for url in URLS})
    return host


def plan(host: FakeHost, **policy: object) -> Plan:
    return process_metrics.plan(process_metrics.observe(host), Policy(**policy))  # type: ignore[arg-type]


def drop_in(host: ExporterHost) -> str:
    return f"/etc/systemd/system/{host.unit}.d/99-zz-nodeward-process_metrics.conf"


# Where an exporter is told, and what it runs with afterwards beyond what it had.
PLACES = [
    ("Debian", DEBIAN, '# a comment\nARGS=""\n', [f"env-switch {DEFAULTS}#ARGS:collector.processes"], [ON]),
    ("Debian with arguments", DEBIAN, 'ARGS="--collector.systemd"\n',
     [f"env-switch {DEFAULTS}#ARGS:collector.processes"], [ON]),
    ("Debian without the variable", DEBIAN, "#ARGS=x\n", ["file", f"reload {UNIT}"], [ON]),
    ("Debian, quoted in a way of its own", DEBIAN, 'ARGS="--a=^/(sys|proc)\\d$"\n', ["file", f"reload {UNIT}"], [ON]),
    ("prometheus.prometheus", ROLE, None, [f"folder {NEW}", "file", "reload node_exporter.service"], [ON]),
    ("a plain unit", PLAIN, None, [f"folder {NEW}", "file", "reload node-exporter.service"],
     [ON, f"--collector.textfile.directory={NEW}"]),
    ("a folder that is elsewhere",
     (PLAIN[0], PLAIN[1].replace(" --web", " --collector.textfile.directory=/srv/a --web")), None,
     ["folder /srv/a", "file", "reload node-exporter.service"], [ON]),
    ("a variable as a plain unit has it", (PLAIN[0], PLAIN[1].replace("9101", "9101 $ARGS")), 'ARGS="--a"\n',
     [f"folder {NEW}", f"env-switch {DEFAULTS}#ARGS:collector.processes",
      f"env {DEFAULTS}#ARGS:collector.textfile.directory"], [ON, f"--collector.textfile.directory={NEW}"]),
    ("a variable that is one word", (PLAIN[0], PLAIN[1].replace("9101", "9101 ${ARGS}")), 'ARGS="--a"\n',
     [f"folder {NEW}", "file", "reload node-exporter.service"], [ON, f"--collector.textfile.directory={NEW}"]),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "defaults", "targets", "words"), [c[1:] for c in PLACES], ids=[c[0] for c in PLACES])
def test_it_is_turned_on_once_and_back(unit, defaults, targets, words):
    host = node(unit, defaults)
    files, had = dict(host.files), host.words
    changes = plan(host).changes
    wanted = [target if target != "file" else f"file {drop_in(host)}" for target in targets]
    assert [change.target for change in changes] == [*wanted, f"restart {host.unit}"]
    done = process_metrics.attempt(changes, host, Policy())
    assert (done.changes, done.findings) == (changes, ())
    assert (host.restarts, sorted(host.words)) == (1, sorted([*had, *words]))
    assert plan(host) == Plan()

    known = way_back.observe(journal.decode(host.files[journal.PATH]), host, [process_metrics.TRAP])
    back = way_back.plan(known, [process_metrics.TRAP])
    going = process_metrics.going_back(process_metrics.observe(host), back.changes, Policy()).changes
    assert list(process_metrics.guard(process_metrics.observe(host), going)) == []
    restore(going, way_back.forgotten(known, back, going), host)
    assert (host.restarts, host.words) == (2, had)
    host.files.pop("/proc/77/cmdline")
    files.pop("/proc/77/cmdline")
    assert host.files == files


def test_what_the_role_writes_anew_is_repeated_anew():
    host = node(ROLE)
    process_metrics.attempt(plan(host).changes, host, Policy())
    host.files[host.fragment] = ROLE[1].replace("'--collector.systemd'", "'--collector.systemd' '--collector.qdisc'")
    assert [c.target for c in plan(host).changes] == [
        f"file {drop_in(host)}", f"reload {host.unit}", f"restart {host.unit}",
    ]  # fmt: skip
    process_metrics.attempt(plan(host).changes, host, Policy())
    assert {ON, "--collector.qdisc"} <= set(host.words)
    # its own flag would be the second one, with which the exporter does not start
    host.files[host.fragment] = ROLE[1].replace("'--collector.systemd'", f"'{ON}'")
    assert next(c.target for c in plan(host).changes) == f"file {drop_in(host)}"
    process_metrics.attempt(plan(host).changes, host, Policy())
    assert host.words.count(ON) == 1
    assert host.drop_ins == []


def test_a_run_that_was_killed_before_the_restart_is_finished():
    host = node(DEBIAN, 'ARGS=""\n')
    host.files[DEFAULTS] = f'ARGS="{ON}"\n'
    assert [c.target for c in plan(host).changes] == [f"restart {UNIT}"]


def test_a_textfile_folder_is_left_alone_when_it_is_not_wanted():
    host = node(PLAIN)
    assert [c.target.split()[0] for c in plan(host, textfile=False).changes] == ["file", "reload", "restart"]
    assert "textfile" not in str(plan(host, textfile=False).changes[0].after)


def test_a_folder_that_somebody_removed_is_made_again_without_a_restart():
    host = node(DEBIAN, f'ARGS="{ON}"\n')
    host.folders.discard(FOLDER)
    assert [c.target for c in plan(host).changes] == [f"folder {FOLDER}"]


# --- what it costs ----------------------------------------------------------------------------------

HARM = [
    ("slow", {"slow": 5.1}, "a scrape takes 5.1 s, of 10 s"),
    ("ends at once", {"dies": True}, "Connection refused"),
]


@pytest.mark.parametrize(("how", "told"), [case[1:] for case in HARM], ids=[case[0] for case in HARM])
@pytest.mark.parametrize("unit", [(DEBIAN, 'ARGS=""\n'), (ROLE, None)], ids=["file", "drop-in"])
def test_what_does_harm_is_put_back_and_not_tried_again(unit, how, told):
    host = node(*unit, **how)
    had, files = host.words, dict(host.files)
    changes = plan(host).changes
    done = process_metrics.attempt(changes, host, Policy())
    assert [c.target for c in done.changes] == [f"file {PUT_BACK}"]
    [finding] = done.findings
    assert (finding.id, told in finding.observed) == ("process_metrics.put_back", True)
    assert (host.words, host.restarts) == (had, 2)
    left = {path for path, text in host.files.items() if files.get(path) != text}
    assert left == {PUT_BACK, journal.PATH}
    again = plan(host)
    assert (again.changes, again.findings) == ((), (finding,))
    assert host.now < 120


def test_half_of_the_timeout_is_not_too_long():
    host = node(DEBIAN, 'ARGS=""\n', slow=5.0)
    assert process_metrics.attempt(plan(host).changes, host, Policy()).findings == ()
    assert plan(node(DEBIAN, 'ARGS=""\n', slow=5.0), scrape_timeout=60).refusals == ()


def test_what_cannot_be_put_back_is_an_error():
    host = node(DEBIAN, 'ARGS=""\n', dies=True)
    changes = plan(host).changes
    writes: list[str] = []

    def breaks(path: str, text: str, mode: int) -> None:
        writes.append(path)
        if writes.count(DEFAULTS) > 1:
            raise OSError(5, "Input/output error", path)
        FakeHost.write_file(host, path, text, mode)

    host.write_file = breaks  # type: ignore[method-assign]
    with pytest.raises(NodewardError, match="could not be put back: env-switch"):
        process_metrics.attempt(changes, host, Policy())


@pytest.mark.parametrize("main", ["0", "12", ""], ids=["a script that has ended", "a supervisor", "not told"])
def test_the_command_of_a_unit_that_only_holds_it_is_left_alone(main):
    host = node(PLAIN)
    host.main = main
    told = plan(host)
    assert (told.changes, [finding.id for finding in told.findings]) == ((), ["process_metrics.by_hand"])


def test_the_one_that_a_unit_runs_comes_before_others():
    host = node(PLAIN)
    others = {"comm": "node_exporter\n", "cmdline": "node_exporter\0", "cgroup": f"0::/system.slice/{host.unit}\n"}
    host.files.update({f"/proc/50/{name}": text for name, text in others.items()})
    assert f"restart {host.unit}" in [change.target for change in plan(host).changes]


# --- what is left to a person -----------------------------------------------------------------------

LEFT = [
    ("no exporter", node(DEBIAN), {"/proc/77/comm": "bash\n"}, "none", "info"),
    ("no unit", node(DEBIAN), {"/proc/77/cgroup": "0::/user.slice/session-1.scope\n"}, "by_hand", "medium"),
    ("a shell", node((PLAIN[0], PLAIN[1].replace("=/opt", "=/bin/sh -c /opt"))),
     {"/proc/77/comm": "node_exporter\n"}, "by_hand", "medium"),
    ("read after ours", node(PLAIN), {f"{PLAIN[0]}.d/99-zzz.conf": "[Service]\nExecStart=\nExecStart=/x --y\n"},
     "by_hand", "medium"),
    ("turned off", node(DEBIAN, f'ARGS="--no-{ON[2:]}"\n'), {}, "turned_off", "low"),
    ("off, not yet restarted", node(DEBIAN, 'ARGS=""\n'), {DEFAULTS: f'ARGS="--no-{ON[2:]}"\n'}, "turned_off", "low"),
    ("a password", node((PLAIN[0], PLAIN[1].replace("9101", "9102"))), {}, "silent", "medium"),
    ("put back before", node(DEBIAN, 'ARGS=""\n'), {PUT_BACK: "it took 9 s\n"}, "put_back", "medium"),
    ("in a pod", node(DEBIAN), {"/proc/77/cgroup": POD}, "pod", "medium"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "files", "name", "severity"), [case[1:] for case in LEFT], ids=[case[0] for case in LEFT]
)
def test_a_finding_says_what_is_left_to_a_person(host, files, name, severity):
    host.files.update(files)
    host.answers["GET http://127.0.0.1:9102/metrics"] = Answer(401)
    told = plan(host)
    assert told.changes == ()
    assert [(finding.id, finding.severity) for finding in told.findings] == [(f"process_metrics.{name}", severity)]


def test_a_pod_that_sees_other_process_ids_is_told_of():
    host = node(DEBIAN, f'ARGS="{ON}"\n')
    host.files["/proc/77/cgroup"] = POD
    assert plan(host).findings == ()
    host.links |= {"/proc/1/ns/pid": "pid:[4026531836]", "/proc/77/ns/pid": "pid:[4026532999]"}
    assert [finding.id for finding in plan(host).findings] == ["process_metrics.pod_without_host_pid"]


def test_a_timeout_that_is_none_is_refused():
    [refusal] = plan(node(DEBIAN), scrape_timeout=0).refusals
    assert refusal.where == "process_metrics_scrape_timeout"


def test_what_an_exporter_is_told_to_listen_on():
    host = node((PLAIN[0], PLAIN[1].replace("127.0.0.1:9101", "[fd00::1]:9 --web.telemetry-path /m "
                 "--web.config.file=/etc/w.yml")))  # fmt: skip
    host.files["/etc/w.yml"] = "tls_server_config:\n  cert_file: a\n"
    [one] = process_metrics.observe(host).exporters
    assert one.url == "https://[fd00::1]:9/m"
    assert process_metrics.shown(process_metrics.observe(host))["exporters"][0]["unit"] == "node-exporter.service"


def test_a_process_that_ends_meanwhile_is_none():
    host = node(DEBIAN)
    host.files["/proc/77/cmdline"] = ""
    assert process_metrics.observe(host).exporters == ()


def test_a_file_that_changed_since_is_left_by_restore():
    host = node(DEBIAN, 'ARGS=""\n')
    apply(plan(host).changes, host)
    host.files[DEFAULTS] = f'ARGS="--no-{ON[2:]}"\n'
    known = way_back.observe(journal.decode(host.files[journal.PATH]), host, [process_metrics.TRAP])
    assert [f.id for f in way_back.plan(known, [process_metrics.TRAP]).findings] == ["process_metrics.changed_since"]
