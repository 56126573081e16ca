"""nproc of logins: which lines our file gets, and what is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import limits_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.limits_d import KINDS, UNLIMITED, Line
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import WriteFile
from ansible_collections.nodeward.calico.plugins.module_utils._node import login_limits
from ansible_collections.nodeward.calico.plugins.module_utils._node.login_limits import Facts
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost

TRAP = "pid_limits"
FLOOR = 4194304
OWN = limits_d.drop_in(TRAP)
RHEL = "/etc/security/limits.d/20-nproc.conf"
LATER = "/etc/security/limits.d/zz.conf"
ENOUGH = {"soft": UNLIMITED, "hard": UNLIMITED}
KERNEL = {"soft": 96365, "hard": 96365}
ALL = ["* hard nproc 4194304", "* soft nproc 4194304", "root hard nproc 4194304", "root soft nproc 4194304"]


def login(*lines: Line, inherited: dict[str, int] = ENOUGH, drop_in: str | None = None, busiest: int = 0) -> Facts:
    return Facts(True, True, inherited, lines, drop_in, None, busiest)


def line(domain: str, kind: str, value: int, path: str = RHEL) -> Line:
    return Line(domain, KINDS if kind == "-" else (kind,), value, path, 1)


def ours(facts: Facts, floor: int = FLOOR) -> list[str]:
    plan = login_limits.plan(facts, floor, TRAP)
    assert plan.refusals == ()
    texts = [change.after for change in plan.changes if isinstance(change, WriteFile) and change.path == OWN]
    return texts[0].splitlines()[1:] if texts else []


def dropped(*lines: str) -> str:
    return "\n".join(["# managed", *lines]) + "\n"


CASES: list[tuple[str, Facts, list[str]]] = [
    ("the kernel's default", login(inherited=KERNEL), ALL),
    ("nothing limits", login(), []),
    ("RHEL's file", login(line("*", "soft", 4096), line("root", "soft", UNLIMITED)), ["* soft nproc 4194304"]),
    ("RHEL's file and the kernel's default",
     login(line("*", "soft", 4096), line("root", "soft", UNLIMITED), inherited=KERNEL),
     ["* hard nproc 4194304", "* soft nproc 4194304", "root hard nproc 4194304"]),
    ("unlimited stays", login(line("*", "-", UNLIMITED), line("root", "-", UNLIMITED), inherited=KERNEL), []),
    ("* is not for root", login(line("*", "-", UNLIMITED), inherited=KERNEL), ALL[2:]),
    ("the last line counts", login(line("*", "-", 9), line("*", "-", FLOOR)), []),
    ("a user's own cap stays", login(line("bob", "-", 100), line("@students", "hard", 20)), []),
    ("ours is there", login(inherited=KERNEL, drop_in=limits_d.render({("*", "soft"): FLOOR}, "x")), ALL),
    ("ours is higher than asked now", login(inherited=KERNEL, drop_in=dropped("* - nproc 5000000")),
     ["* hard nproc 5000000", "* soft nproc 5000000", *ALL[2:]]),
    ("another file grew higher than ours", login(line("*", "soft", UNLIMITED), drop_in=dropped("* soft nproc 4194304")),
     ["* soft nproc unlimited"]),
    ("a later file wins: ours would do nothing", login(line("*", "soft", 4096, LATER)), []),
    ("a name after ours, but limits.conf itself", login(line("*", "soft", 4096, "/etc/security/limits.conf")),
     ["* soft nproc 4194304"]),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "lines"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_lines_of_our_file(facts, lines):
    assert ours(facts) == lines


FINDINGS = [
    ("a cap of one user", login(line("bob", "-", 100)), ("pid_limits.login_cap", "info", "bob - nproc 100")),
    ("of a range", login(line("1000:", "soft", 9)), ("pid_limits.login_cap", "info", "1000: soft nproc 9")),
    ("a high one is none", login(line("bob", "-", FLOOR)), None),
    ("% is for numbers of logins", login(line("%x", "-", 9)), None),
    ("a later file", login(line("*", "-", 9, LATER)), ("pid_limits.overridden", "high", "* - nproc 9")),
    ("a later file that is high enough", login(line("*", "-", UNLIMITED, LATER)), None),
    ("no pam_limits", replace(login(), applied=False),
     ("pid_limits.logins_untouched", "info", "no service uses pam_limits")),
    ("limits cannot be raised", replace(login(inherited=KERNEL), may_raise=False),
     ("pid_limits.logins_untouched", "info", "root may not raise hard limits here")),
    ("limits need not be raised", replace(login(), may_raise=False), None),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "found"), [case[1:] for case in FINDINGS], ids=[case[0] for case in FINDINGS])
def test_findings(facts, found):
    findings = login_limits.plan(facts, FLOOR, TRAP).findings
    assert [(f.id, f.severity, f.observed) for f in findings] == ([found] if found else [])


def test_a_link_in_place_of_our_file_is_refused():
    plan = login_limits.plan(replace(login(inherited=KERNEL), drop_in_link="/dev/null"), FLOOR, TRAP)
    assert (plan.changes, [refusal.where for refusal in plan.refusals]) == ((), [OWN])


@pytest.mark.parametrize(("busiest", "refused"), [(2048, False), (2049, True)])
def test_our_file_stays_where_somebody_needs_it(busiest, refused):
    facts = login(line("*", "soft", 4096), drop_in=dropped("* soft nproc 4194304"), busiest=busiest)
    assert bool(list(login_limits.guard(facts, TRAP))) is refused


lines = st.builds(
    line,
    st.sampled_from(["*", "root", "bob"]),
    st.sampled_from([*KINDS, "-"]),
    st.sampled_from([0, 4096, FLOOR, UNLIMITED]),
    st.sampled_from([RHEL, LATER]),
)
numbers = st.sampled_from([0, 4096, FLOOR, UNLIMITED])


@given(st.lists(lines, max_size=5), st.fixed_dictionaries({"soft": numbers, "hard": numbers}), st.integers(1, FLOOR))
def test_a_second_run_changes_nothing_and_nothing_is_lowered(files, inherited, floor):
    facts = login(*sorted(files, key=lambda each: each.path), inherited=inherited)
    for each in login_limits.plan(facts, floor, TRAP).changes:
        assert isinstance(each, WriteFile)
        for own in limits_d.parse(each.after, OWN):
            for kind in own.kinds:
                assert own.value >= max(floor, facts.without_ours(own.domain, kind))
        assert login_limits.plan(replace(facts, drop_in=each.after), floor, TRAP).changes == ()


NODE = {
    "/etc/pam.d/sshd": "session required pam_limits.so\n",
    "/proc/1/limits": "Limit          Soft Limit  Hard Limit\nMax processes  96365       unlimited   processes\n",
    "/proc/1/status": "Name:\tsystemd\nCapBnd:\t000001ffffffffff\n",
    "/proc/1/uid_map": "         0          0 4294967295\n",
    RHEL: "* soft nproc 4096\n",
    OWN: "* soft nproc 4194304\n",
    "/sys/fs/cgroup/user.slice/user-0.slice/pids.current": "500\n",
    "/sys/fs/cgroup/user.slice/user-1000.slice/pids.current": "70\n",
    "/sys/fs/cgroup/user.slice/user-1001.slice/pids.current": "80\n",
}


def test_observing_a_node():
    host = FakeHost(NODE)
    facts = login_limits.observe(host, "/sys/fs/cgroup", TRAP)
    expected = Facts(True, True, {"soft": 96365, "hard": UNLIMITED}, (line("*", "soft", 4096),), NODE[OWN], None, 80)
    assert facts == expected
    assert host.calls == []


RAISE = [
    ("a node", {}, True),
    ("a container without CAP_SYS_RESOURCE", {"/proc/1/status": "CapBnd:\t00000000a80425fb\n"}, False),
    ("users of a container", {"/proc/1/uid_map": "0 100000 65536\n"}, False),
    ("nothing is told", {"/proc/1/status": ""}, False),
]


@pytest.mark.parametrize(("files", "may"), [case[1:] for case in RAISE], ids=[case[0] for case in RAISE])
def test_who_may_raise_limits(files, may):
    assert login_limits.observe(FakeHost({**NODE, **files}), "/sys/fs/cgroup", TRAP).may_raise is may
