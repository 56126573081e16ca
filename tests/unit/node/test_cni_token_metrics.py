"""The life of the CNI token as a metric: the timer that has it written, and what is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import journal
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import apply, restore
from ansible_collections.nodeward.calico.plugins.module_utils._core.plan import Plan
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import WriteFile
from ansible_collections.nodeward.calico.plugins.module_utils._kube.service_account_token import Token
from ansible_collections.nodeward.calico.plugins.module_utils._node import cni_token, cni_token_program
from ansible_collections.nodeward.calico.plugins.module_utils._node import cni_token_metrics as metrics
from ansible_collections.nodeward.calico.plugins.module_utils._node import restore as way_back
from ansible_collections.nodeward.calico.plugins.module_utils._node.cni_token import Policy

from tests.unit.fake_host import FakeHost
from tests.unit.node.test_cni_token import DAY, FRESH, HOUR, NOW, OK, bound, kubeconfig, node

FOLDER = "/var/lib/node_exporter"
PROM = f"{FOLDER}/{metrics.METRICS}"
ACTIVE = f"systemctl show --property=ActiveState --value {metrics.TIMER}"

FAILED = f"systemctl show --property=ActiveState --value {metrics.SERVICE}"


class Systemd(FakeHost):
    """Plays the timer: it is active once it was started and its file is there."""

    active = False
    turn = "inactive"

    def run(self, command: Sequence[str], _patience: float = 0.0) -> str:
        words = " ".join(command)
        self._mutate("run", words)
        if words in (f"systemctl restart {metrics.TIMER}", f"systemctl start {metrics.TIMER}"):
            self.active = True
        elif words == f"systemctl stop {metrics.TIMER}":
            self.active = False
        states = {ACTIVE: "active\n" if self.active else "inactive\n", FAILED: f"{self.turn}\n"}
        return states.get(words, "")


def with_folder(token: str = FRESH) -> Systemd:
    plain = node(token, OK)
    host = Systemd(plain.files)
    host.answers, host.times = plain.answers, plain.times
    host.folders |= {FOLDER, "/usr/local/lib", "/etc/systemd/system"}
    return host


def plan(host: FakeHost, **policy: bool) -> Plan:
    return cni_token.plan(cni_token.observe(host), Policy(**policy))


def test_it_comes_once_and_goes_back_with_all_that_it_wrote() -> None:
    host = with_folder()
    files = dict(host.files)
    changes = plan(host).changes
    assert [each.path for each in changes if isinstance(each, WriteFile)] == [*metrics.PATHS]
    assert changes[-1].target == f"start {metrics.TIMER}"
    apply(changes, host)
    assert host.active
    assert plan(host) == Plan()
    host.files[PROM] = "nodeward_cni_token_usable 1.0\n"  # a turn of it

    known = way_back.observe(journal.decode(host.files[journal.PATH]), host, [cni_token.TRAP])
    back = way_back.plan(known, [cni_token.TRAP])
    going = cni_token.going_back(cni_token.observe(host), back.changes, Policy()).changes
    restore(going, way_back.forgotten(known, back, going), host)
    assert host.files == files
    assert not host.active


def test_it_writes_where_the_exporter_reads_and_may_do_nothing_else() -> None:
    host = with_folder()
    apply(plan(host).changes, host)
    lines = host.files[metrics.SERVICE_FILE].splitlines()
    assert f"ExecStart=/usr/bin/python3 -I -S {metrics.PROGRAM} {cni_token.KUBECONFIG} {PROM}" in lines
    assert f"ReadWritePaths=-{FOLDER}" in lines
    wanted = {"ProtectSystem=strict", "PrivateNetwork=yes", "NoNewPrivileges=yes", "SystemCallFilter=@system-service",
              "CapabilityBoundingSet=CAP_DAC_OVERRIDE"}  # fmt: skip
    assert wanted <= set(lines)


def test_another_folder_is_written_to_and_what_is_in_the_old_one_goes() -> None:
    host = with_folder()
    apply(plan(host).changes, host)
    host.files[PROM] = "nodeward_cni_token_usable 1.0\n"
    host.folders.add("/var/lib/prometheus/node-exporter")
    assert [change.target for change in plan(host).changes] == [
        f"file {metrics.SERVICE_FILE}", f"start {metrics.TIMER}", f"file {PROM}",
    ]  # fmt: skip


NONE = {
    "nobody reads it": node(FRESH, OK),
    "no Calico": Systemd({f"{FOLDER}/other.prom": ""}),
}


@pytest.mark.parametrize("host", NONE.values(), ids=NONE)
def test_where_there_is_nothing_to_tell_or_nobody_to_read_it_there_is_no_timer(host: FakeHost) -> None:
    assert plan(host).changes == ()


def test_a_path_that_systemd_would_read_otherwise_gets_no_timer() -> None:
    host = with_folder()
    host.files[f"{cni_token.CNI}/10-calico.conflist"] = (
        '{"plugins": [{"type": "calico", "kubernetes": {"kubeconfig": "/etc/%n a"}}]}'
    )
    host.files["/etc/%n a"] = kubeconfig(FRESH)
    assert plan(host).changes == ()


def test_where_it_is_not_wanted_any_more_all_of_it_goes() -> None:
    host = with_folder()
    apply(plan(host).changes, host)
    host.files[PROM] = "nodeward_cni_token_usable 1.0\n"
    changes = plan(host, metrics=False).changes
    assert [change.target for change in changes] == [
        *(f"file {path}" for path in reversed(metrics.PATHS)), f"start {metrics.TIMER}", f"file {PROM}",
    ]  # fmt: skip
    apply(changes, host)
    assert not [path for path in host.files if "nodeward-cni-token" in path or path == PROM]
    assert plan(host, metrics=False) == Plan()


def test_a_timer_that_was_stopped_is_started_again() -> None:
    host = with_folder()
    apply(plan(host).changes, host)
    host.active = False
    assert [change.target for change in plan(host).changes] == [f"start {metrics.TIMER}"]


def test_a_turn_that_could_not_write_is_told() -> None:
    host = with_folder()
    host.turn = "failed"
    assert [each.id for each in plan(host).findings] == [], "nothing of ours is there"
    apply(plan(host).changes, host)
    [finding] = plan(host).findings
    assert (finding.id, finding.where) == ("cni_token.metrics_failed", metrics.SERVICE)


# --- the program ------------------------------------------------------------------------------------


def program(folder: Path, text: str | None) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run it as the unit does; returns what came of it and what it wrote."""
    if text is not None:
        (folder / "kubeconfig").write_text(text)
    host = with_folder()
    apply(plan(host).changes, host)
    (folder / "program.py").write_text(host.files[metrics.PROGRAM])
    words = [sys.executable, "-I", "-S", *(str(folder / name) for name in ("program.py", "kubeconfig", "token.prom"))]
    done = subprocess.run(words, cwd="/", capture_output=True, text=True, check=False)
    assert not (folder / "token.prom.new").exists()
    return done, (folder / "token.prom").read_text()


def test_it_tells_when_the_token_was_made_and_ends_by_itself(tmp_path: Path) -> None:
    done, text = program(tmp_path, kubeconfig(bound(HOUR, DAY)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    values = dict(line.split() for line in text.splitlines() if not line.startswith("#"))
    assert {name.removeprefix("nodeward_cni_token_"): float(value) for name, value in values.items()} == {
        "usable": 1.0, "issued_timestamp_seconds": NOW - HOUR, "expires_timestamp_seconds": NOW + 23 * HOUR,
    }  # fmt: skip
    assert FRESH.split(".")[1] not in text
    assert (tmp_path / "token.prom").stat().st_mode & 0o777 == 0o644


def test_a_token_without_an_end_has_none(tmp_path: Path) -> None:
    done, text = program(tmp_path, kubeconfig(bound(HOUR, None)))
    assert (done.returncode, "expires" in text, "usable 1.0\n" in text) == (0, False, True)


@pytest.mark.parametrize("text", [None, "apiVersion: v1\nkind: Config\n", "\0"])
def test_without_a_token_it_says_so_and_keeps_no_old_end(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "token.prom").write_text("nodeward_cni_token_expires_timestamp_seconds 1\n")
    done, written = program(tmp_path, text)
    assert done.returncode == 0
    assert "kubeconfig" in done.stderr
    assert written == "# TYPE nodeward_cni_token_usable gauge\nnodeward_cni_token_usable 0.0\n"


def test_where_it_cannot_write_it_fails(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig(FRESH))
    assert cni_token_program.main([str(tmp_path / "kubeconfig"), "/nowhere/token.prom"]) == 1
    (tmp_path / "token.prom.new").mkdir()
    assert cni_token_program.main([str(tmp_path / "kubeconfig"), str(tmp_path / "token.prom")]) == 1


def test_it_writes_through_no_name_that_somebody_else_has_put_there(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(kubeconfig(FRESH))
    (tmp_path / "elsewhere").write_text("theirs")
    (tmp_path / "token.prom").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "token.prom.new").hardlink_to(tmp_path / "elsewhere")
    assert cni_token_program.main([str(tmp_path / "kubeconfig"), str(tmp_path / "token.prom")]) == 0
    assert (tmp_path / "elsewhere").read_text() == "theirs"
    assert "usable 1.0" in (tmp_path / "token.prom").read_text()


def test_moments_are_written_whole() -> None:
    assert "expires_timestamp_seconds 1795771243.0\n" in cni_token_program.metrics(Token(expires=1795771243.0))
