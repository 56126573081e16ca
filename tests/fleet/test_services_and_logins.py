"""What a new login and the units that carry pods may have: too little before, enough after, nothing restarted."""

from __future__ import annotations

from tests.fleet.fleet import Fleet

NODE = "node1"
# link_mtu's tunnel would wait for consent on the way back, and its journal with it: tests/fleet/test_link_mtu.py
ONLY = ("--limit", NODE, "--tags", "pid_limits")
LIMITS_D = "/etc/security/limits.d"
# Within what process 1 has here: without CAP_SYS_RESOURCE, as in some containers, no login gets more.
FLOOR = 50000
FLOOR_IS = ("-e", f"pid_limits_pid_max={FLOOR}")
# RHEL ships this file (pam, "to prevent accidental fork bombs").
RHEL = (
    f"printf '*          soft    nproc     4096\\nroot       soft    nproc     unlimited\\n' > {LIMITS_D}/20-nproc.conf"
)
USERS = "useradd -m ops && useradd -m capped && echo 'capped hard nproc 500' >> /etc/security/limits.conf"


def processes(fleet: Fleet, user: str) -> tuple[str, str]:
    """Return the soft and the hard limit of a new login, as the kernel has it; root's is that of ssh."""
    look = "grep '^Max processes' /proc/self/limits"
    found = fleet.lab.run(NODE, look if user == "root" else f'su - {user} -c "{look}"').stdout
    _max, _processes, soft, hard, *_unit = found.split()
    return soft, hard


def shown(fleet: Fleet, unit: str) -> dict[str, str]:
    text = fleet.lab.run(NODE, f"systemctl show -p MainPID,InvocationID,TasksMax {unit}").stdout
    return dict(line.split("=", 1) for line in text.splitlines())


def test_a_new_login_gets_the_floor(fleet: Fleet) -> None:
    fleet.lab.run(NODE, f"{USERS} && {RHEL}")
    assert processes(fleet, "ops")[0] == "4096"
    root = processes(fleet, "root")
    before = fleet.look(NODE)

    run = fleet.play("harden", *ONLY, *FLOOR_IS)
    assert run.code == 0
    assert processes(fleet, "ops")[0] == str(FLOOR)
    assert processes(fleet, "root") == root, "it had more"
    assert processes(fleet, "capped") == ("500", "500"), "somebody's purpose was overruled"
    assert [f["observed"] for f in run.node(NODE)["findings"] if f["id"] == "pid_limits.login_cap"] == [
        "capped hard nproc 500"
    ]
    assert fleet.play("harden", *ONLY, *FLOOR_IS).recap(NODE)["changed"] == 0

    assert fleet.play("restore", *ONLY).code == 0
    assert processes(fleet, "ops")[0] == "4096"
    assert fleet.look(NODE) == before


def test_a_file_that_is_read_later_is_named_and_logins_can_be_left_alone(fleet: Fleet) -> None:
    fleet.lab.run(NODE, f"{USERS} && {RHEL} && echo '* - nproc 4096' > {LIMITS_D}/zz-theirs.conf")
    run = fleet.play("harden", *ONLY, *FLOOR_IS)
    [finding] = [f for f in run.node(NODE)["findings"] if f["id"] == "pid_limits.overridden"]
    assert finding["where"] == f"{LIMITS_D}/zz-theirs.conf line 1"
    assert processes(fleet, "ops") == ("4096", "4096")

    fleet.lab.run(NODE, f"rm {LIMITS_D}/zz-theirs.conf")
    assert fleet.play("harden", *ONLY, *FLOOR_IS, "-e", "pid_limits_nproc=false").code == 0
    assert processes(fleet, "ops")[0] == "4096"
    assert fleet.play("harden", *ONLY, *FLOOR_IS).code == 0
    assert processes(fleet, "ops")[0] == str(FLOOR)


def test_a_running_kubelet_gets_its_tasks_without_a_restart(fleet: Fleet) -> None:
    fleet.lab.run(NODE, "systemctl start kubelet containerd")
    before, files = shown(fleet, "kubelet"), fleet.look(NODE)
    containerd = shown(fleet, "containerd")
    assert before["TasksMax"] != "infinity"
    assert containerd["TasksMax"] == "infinity"

    run = fleet.play("harden", *ONLY)
    assert run.code == 0
    assert shown(fleet, "kubelet") == {**before, "TasksMax": "infinity"}
    assert shown(fleet, "containerd") == containerd
    again = fleet.play("harden", *ONLY)
    assert again.recap(NODE)["changed"] == 0

    assert fleet.play("restore", *ONLY).code == 0
    assert shown(fleet, "kubelet") == before
    assert fleet.look(NODE) == files


def test_a_run_that_was_killed_before_the_reload_is_finished_by_the_next(fleet: Fleet) -> None:
    fleet.lab.run(NODE, "systemctl start kubelet")
    assert fleet.play("harden", *ONLY).code == 0
    folder = "/etc/systemd/system/kubelet.service.d"
    drop_in = f"{folder}/99-zz-nodeward-pid_limits.conf"
    fleet.lab.run(
        NODE, f"mv {drop_in} /root && systemctl daemon-reload && mv /root/{drop_in.rpartition('/')[2]} {folder}"
    )
    before = shown(fleet, "kubelet")
    assert before["TasksMax"] != "infinity"
    run = fleet.play("harden", *ONLY)
    assert [change["target"] for change in run.node(NODE)["changes"]] == ["reload kubelet.service"]
    assert shown(fleet, "kubelet") == {**before, "TasksMax": "infinity"}


def test_a_drop_in_that_is_read_later_is_named(fleet: Fleet) -> None:
    theirs = "/etc/systemd/system/service.d/zz-theirs.conf"
    fleet.lab.run(
        NODE,
        f"mkdir -p $(dirname {theirs}) && printf '[Service]\\nTasksMax=99\\n' > {theirs}"
        " && systemctl daemon-reload && systemctl start kubelet",
    )
    run = fleet.play("harden", *ONLY)
    assert run.code == 0
    [finding] = [f for f in run.node(NODE)["findings"] if f["id"] == "pid_limits.overridden"]
    assert (finding["where"], finding["observed"]) == (theirs, "TasksMax=99")
    assert shown(fleet, "kubelet")["TasksMax"] == "99"
