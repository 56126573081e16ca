"""The trap bird_watchdog: what a node gets, how it goes again, and what a person is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply, restore
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.journal import PATH, decode
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Reason,
    RemoveFile,
    RestartUnit,
    RunUnit,
    WriteFile,
    change_at,
)
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs.units import RUNNING
from ansible_collections.nodeward.calico.plugins.module_utils._node import (
    bird_watchdog,
    etcd_defrag,
    house_folders,
    process_metrics,
    processes,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node import restore as way_back
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog import (
    LOGS,
    TRAP,
    Policy,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import Config
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_files import (
    CONFIG,
    DAEMON,
    KEPT,
    UNIT,
    UNIT_FILE,
)
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_io import read_config
from ansible_collections.nodeward.calico.plugins.module_utils._node.textfile_folder import TEXTFILE_FOLDERS

from tests.unit.fake_host import FakeHost
from tests.unit.node import fake_exporters

REASON = Reason(TRAP, "because")
WANTS = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
INVOCATION = f"/run/systemd/units/invocation:{UNIT}"
SHOW = f"systemctl show --property=NeedDaemonReload {UNIT}"
STATE = f"systemctl show --property=ActiveState --value {UNIT}"


class Systemd(FakeHost):
    """A node whose systemd runs one unit."""

    starts = 0

    def run(self, command: Any, _patience: float = 0) -> str:
        words = " ".join(command)
        self._mutate("run", words)
        if words in (f"systemctl enable {UNIT}", f"systemctl restart {UNIT}") and UNIT_FILE not in self.files:
            raise NodewardError(what="Unit not found", where=words, remedy="Write it")
        if words == f"systemctl enable {UNIT}":
            self.links[WANTS] = UNIT_FILE
        elif words == f"systemctl restart {UNIT}":
            self.starts += 1
            self.links[INVOCATION] = f"start {self.starts}"
        elif words in (f"systemctl disable --now {UNIT}", f"systemctl stop {UNIT}"):
            if "disable" in words:
                self.links.pop(WANTS, None)
            self.links.pop(INVOCATION, None)
        return {STATE: "active\n", SHOW: "NeedDaemonReload=no\n"}.get(words, "")


def plan(host: FakeHost, **policy: Any) -> Plan:
    made = bird_watchdog.plan(bird_watchdog.observe(host), Policy(**policy))
    assert made.refusals == ()
    return made


def targets(made: Plan) -> list[str]:
    return [change.target for change in made.changes]


def installed(**policy: Any) -> Systemd:
    host = Systemd()
    apply(plan(host, **policy).changes, host)
    return host


def put_back(host: FakeHost) -> list[str]:
    """Go back as run.restore() does; return the targets."""
    known = way_back.observe(decode(host.read_text(PATH)), host, [TRAP])
    there = way_back.plan(known, [TRAP])
    made = bird_watchdog.going_back(bird_watchdog.observe(host), there.changes, Policy())
    assert list(bird_watchdog.guard(bird_watchdog.observe(host), made.changes)) == []
    restore(made.changes, way_back.forgotten(known, made, made.changes), host)
    return targets(made)


INSTALL = [f"file {DAEMON}", f"file {CONFIG}", f"file {UNIT_FILE}", f"reload {UNIT}", f"run {UNIT}"]


def test_a_fresh_node_gets_daemon_configuration_and_unit_and_a_second_run_changes_nothing():
    host = Systemd()
    made = plan(host)
    assert targets(made) == INSTALL
    apply(made.changes, host)
    assert {WANTS, INVOCATION} <= set(host.links)
    assert host.files[DAEMON].splitlines()[0].startswith("# Managed by nodeward.calico")
    compile(host.files[DAEMON], DAEMON, "exec")
    before = (dict(host.files), dict(host.links))
    assert plan(host).changes == ()
    assert (host.files, host.links) == before


def test_the_daemon_reads_its_configuration(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(installed().files[CONFIG])
    assert read_config(str(path)) == Config(kept=KEPT)
    path.write_text(installed(threshold=70, mode="observe", textfile_folder="/srv/metrics").files[CONFIG])
    wanted = Config(threshold=70, mode="observe", metrics="/srv/metrics/nodeward_bird_watchdog.prom", kept=KEPT)
    assert read_config(str(path)) == wanted


CHANGED: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("an older daemon", DAEMON, {}, [f"file {DAEMON}", f"restart {UNIT}"]),
    ("another policy", "", {"threshold": 90}, [f"file {CONFIG}", f"restart {UNIT}"]),
    ("an older unit", UNIT_FILE, {}, [f"file {UNIT_FILE}", f"reload {UNIT}", f"restart {UNIT}"]),
]


@pytest.mark.parametrize(("older", "policy", "expected"), [c[1:] for c in CHANGED], ids=[c[0] for c in CHANGED])
def test_what_changed_is_written_and_the_unit_restarted_and_all_goes_back(older, policy, expected):
    host = installed()
    if older:
        host.files[older] = "# of an older version\n"
    made = plan(host, **policy)
    assert targets(made) == expected
    apply(made.changes, host)
    assert host.starts == 2
    assert plan(host, **policy).changes == ()
    put_back(host)
    assert host.files == {}
    assert host.links == {}
    assert host.folders == set()


HALF: list[tuple[str, str]] = [("stopped by hand", INVOCATION), ("disabled by hand", WANTS)]


@pytest.mark.parametrize("link", [case[1] for case in HALF], ids=[case[0] for case in HALF])
def test_a_unit_that_runs_only_now_or_only_after_a_boot_is_mended_and_can_go_back(link):
    host = installed()
    del host.links[link]
    assert targets(plan(host)) == [f"run {UNIT}"]
    halfway = dict(host.links)
    apply(plan(host).changes, host)
    assert set(host.links) == {WANTS, INVOCATION}
    host.links = halfway
    put_back(host)
    assert (host.files, host.links) == ({}, {}), "nothing that still runs may lose its files"


def test_going_back_stops_first_and_leaves_nothing():
    host = installed()
    went = put_back(host)
    assert (went[0], went[-1]) == (f"run {UNIT}", f"reload {UNIT}")
    assert {f"file {path}" for path in (DAEMON, CONFIG, UNIT_FILE)} <= set(went)
    assert (host.files, host.links, host.folders) == ({}, {}, set())
    stop = host.calls.index(("run", f"systemctl disable --now {UNIT}"))
    assert stop < host.calls.index(("remove", DAEMON))
    assert ("run", f"systemctl clean --what=all {UNIT}") in host.calls
    assert ("run", f"systemctl reset-failed {UNIT}") in host.calls[stop:], "one that had failed is not listed on"


def test_absent_leaves_nothing_either_and_a_second_run_changes_nothing():
    host = installed()
    made = plan(host, state="absent")
    assert targets(made) == [
        f"run {UNIT}", f"file {DAEMON}", f"file {CONFIG}", f"file {UNIT_FILE}",
        "folder /usr/local/lib/nodeward", "folder /etc/nodeward", f"reload {UNIT}",
    ]  # fmt: skip
    apply(made.changes, host)
    assert [path for path in host.files if "nodeward" in path] == [PATH]
    assert host.links == {}
    assert not {"/etc/nodeward", "/usr/local/lib/nodeward"} & host.folders
    assert plan(host, state="absent").changes == ()
    put_back(host)
    assert PATH not in host.files, "and restore has nothing left to do"
    apply(plan(host).changes, host)
    assert plan(host).changes == ()


def test_two_traps_that_go_in_one_run_leave_no_folder_behind():
    host = installed()
    theirs = [path for path in etcd_defrag.PATHS if path.startswith(house_folders.FOLDERS)]
    assert len(theirs) == 2
    host.files |= dict.fromkeys(theirs, "")
    gone = tuple(RemoveFile(path, "", REASON) for path in theirs)
    assert list(house_folders.left_empty(gone, host)) == [], "the watchdog's files are in them"
    both = (*plan(host, state="absent").changes, *gone)
    apply((*both, *house_folders.left_empty(both, host)), host)
    assert not set(house_folders.FOLDERS) & host.folders
    assert plan(host, state="absent").changes == ()


@pytest.mark.parametrize("state", ["present", "absent"])
def test_nothing_of_an_older_version_is_left(state):
    """Its unit said other things, its program was two files, and it had no configuration."""
    host = Systemd()
    second, theirs = "/usr/local/lib/nodeward/bird_watchdog_2.py", "/usr/local/lib/nodeward/another.py"
    older = Reason(TRAP, "of an older version")
    files = {DAEMON: "import bird_watchdog_2\n", second: "# old\n", UNIT_FILE: "[Service]\nExecStart=/old\n"}
    writes = [WriteFile(path, None, text, older) for path, text in files.items()]
    apply((*writes, WriteFile(theirs, None, "", Reason("another", "")), RunUnit(UNIT, None, RUNNING, older)), host)
    made = plan(host, state=state)
    assert f"file {second}" in targets(made)
    apply(made.changes, host)
    assert second not in host.files
    assert theirs in host.files
    assert plan(host, state=state).changes == ()
    assert (DAEMON in host.files, host.starts) == ((True, 2) if state == "present" else (False, 1))
    put_back(host)
    assert [path for path in host.files if "bird" in path] == []


@pytest.mark.parametrize("unit", [fake_exporters.ROLE, fake_exporters.PLAIN], ids=["it reads one", "it reads none yet"])
def test_one_run_is_enough_beside_an_exporter_whose_folder_process_metrics_makes(unit):
    class Node(Systemd, fake_exporters.ExporterHost):
        pass

    host = Node(unit)
    first = bird_watchdog.plan(bird_watchdog.observe(host), Policy())
    apply(first.changes, host)
    exporter = process_metrics.observe(host)
    apply(process_metrics.plan(exporter, process_metrics.Policy()).changes, host)
    assert json.loads(host.files[CONFIG])["metrics"] == "/var/lib/node_exporter/nodeward_bird_watchdog.prom"
    made = [target for target in targets(first) if target in ("folder /var/lib/node_exporter", f"run {UNIT}")]
    assert made == ["folder /var/lib/node_exporter", f"run {UNIT}"], "the unit takes up what is there at its start"
    assert plan(host).changes == ()


RECKLESS = [("window", 59, 60), ("cooldown", 299, 300), ("daily_limit", 11, 10)]


@pytest.mark.parametrize(("option", "reckless", "sound"), RECKLESS)
def test_reckless_settings_are_told(option, reckless, sound):
    def told(value: int) -> list[str]:
        findings = plan(Systemd(), **{option: value}).findings
        return [finding.where for finding in findings if finding.id == "bird_watchdog.reckless"]

    assert told(reckless) == [f"bird_watchdog_{option}"]
    assert told(sound) == []


def test_a_folder_with_something_of_others_stays():
    host = installed()
    host.files["/etc/nodeward/theirs"] = ""
    made = plan(host, state="absent")
    assert "folder /etc/nodeward" not in targets(made)
    apply(made.changes, host)
    assert host.files["/etc/nodeward/theirs"] == ""


def test_a_start_that_fails_is_put_back():
    calls = [call[1] for call in installed().calls]
    host = Systemd(broken=frozenset({calls.index(f"systemctl restart {UNIT}") + 1}))
    with pytest.raises(NodewardError, match="put back"):
        apply(plan(host).changes, host)
    assert host.links == {}
    assert not [path for path in host.files if "bird" in path]


def test_systemd_without_clean_is_no_obstacle():
    commands = {f"systemctl disable --now {UNIT}": "", f"rm -r --one-file-system {LOGS}": ""}
    host = FakeHost({UNIT_FILE: "", f"{LOGS}/events.jsonl": ""}, links={WANTS: "", INVOCATION: "1"}, commands=commands)
    RunUnit(UNIT, RUNNING, None, REASON).act(host)
    assert host.calls[-1] == ("run", f"rm -r --one-file-system {LOGS}")


def test_absent_after_somebody_took_the_unit_s_file_away():
    host = installed()
    del host.files[UNIT_FILE]
    apply(plan(host, state="absent").changes, host)
    assert [path for path in (*host.files, *host.links) if "bird" in path] == []
    assert ("run", f"systemctl disable --now {UNIT}") not in host.calls


def test_absent_after_it_was_stopped_by_hand_removes_its_log_too():
    host = installed()
    del host.links[WANTS], host.links[INVOCATION]
    host.folders.add(LOGS)
    made = plan(host, state="absent")
    assert targets(made)[0] == f"run {UNIT}"
    apply(made.changes, host)
    assert ("run", f"systemctl clean --what=all {UNIT}") in host.calls
    host.folders.discard(LOGS)
    assert plan(host, state="absent").changes == ()


def test_an_empty_folder_of_somebody_else_stays():
    host = Systemd()
    host.folders.add("/etc/nodeward")
    assert plan(host, state="absent").changes == ()
    apply(plan(host).changes, host)
    made = plan(host, state="absent")
    assert [target for target in targets(made) if target.startswith("folder")] == ["folder /usr/local/lib/nodeward"]
    host.files[PATH] = "{"
    assert not [target for target in targets(plan(host, state="absent")) if target.startswith("folder")]


def test_a_run_that_was_killed_before_the_restart_is_finished_by_the_next():
    host = installed()
    host.files |= {
        f"{processes.SYSTEM_SLICES[1]}/{UNIT}/cgroup.procs": "77\n",
        "/proc/77/stat": f"77 (python3) S {'0 ' * 18}500 0",
        "/proc/stat": "cpu 1\nbtime 1699999000\n",
    }
    began = 1699999005.0
    host.times = dict.fromkeys((DAEMON, CONFIG, UNIT_FILE), began + 1)
    assert targets(plan(host)) == []
    host.times[CONFIG] = began + 60
    assert targets(plan(host)) == [f"restart {UNIT}"]
    host.times[UNIT_FILE] = began + 60
    assert targets(plan(host)) == [f"reload {UNIT}", f"restart {UNIT}"]
    host.times[INVOCATION] = began + 61  # the clock was set back since, and systemd noted the start by the old one
    assert targets(plan(host)) == []
    host.times = dict.fromkeys(host.times, 1.8e9)  # written before the clock was set right
    assert targets(plan(host)) == []


def test_the_verb_comes_back_from_the_journal():
    assert change_at(f"run {UNIT}", RUNNING, None, REASON) == RunUnit(UNIT, RUNNING, None, REASON)
    with pytest.raises(NodewardError, match="something else changed it"):
        RunUnit(UNIT, None, RUNNING, REASON).check(FakeHost(links={WANTS: ""}))
    assert isinstance(change_at(f"restart {UNIT}", "1", None, REASON), RestartUnit)


def test_metrics_go_where_node_exporter_reads():
    host = Systemd({f"{TEXTFILE_FOLDERS[1]}/other.prom": ""})
    made = plan(host)
    assert made.findings == ()
    apply(made.changes, host)
    assert f"ReadWritePaths=-{TEXTFILE_FOLDERS[1]}\n" in host.files[UNIT_FILE]
    assert f"{TEXTFILE_FOLDERS[1]}/nodeward_bird_watchdog.prom.new\nReadWrite" in host.files[UNIT_FILE]
    assert json.loads(host.files[CONFIG])["metrics"] == f"{TEXTFILE_FOLDERS[1]}/nodeward_bird_watchdog.prom"
    # a folder that comes later is taken up, one that is named needs not be there
    host.files[f"{TEXTFILE_FOLDERS[0]}/other.prom"] = ""
    assert f"restart {UNIT}" in targets(plan(host))
    assert plan(Systemd(), textfile_folder="/srv/later").findings == ()


def test_a_named_folder_that_is_not_there_is_a_finding_once_it_is_configured():
    host = installed(textfile_folder="/srv/later/")
    assert json.loads(host.files[CONFIG])["metrics"] == "/srv/later/nodeward_bird_watchdog.prom"
    [finding] = plan(host, textfile_folder="/srv/later/").findings
    assert (finding.where, finding.observed) == ("/srv/later", "it is not there")
    host.folders.add("/srv/later")
    assert plan(host, textfile_folder="/srv/later/").findings == ()


def test_the_unit_s_bounds_hold_what_the_daemon_does():
    unit = installed().files[UNIT_FILE]
    assert "CAP_DAC_OVERRIDE" in unit, "node-exporter's user may own the folder of metrics"
    assert "MemoryMax=64M\nOOMPolicy=continue\n" in unit


def test_without_such_a_folder_a_finding_says_so():
    [finding] = plan(Systemd()).findings
    assert (finding.id, finding.severity) == ("bird_watchdog.no_textfile_folder", "info")
    assert plan(Systemd(), textfile_folder="").findings == ()
    assert "ReadWritePaths" not in installed().files[UNIT_FILE]
