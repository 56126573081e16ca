"""sysctl.d as a boot reads it."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import sysctl_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.sysctl_d import Assignment, Garbled
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost

PID_MAX = "kernel.pid_max"
NAMES = (PID_MAX, "kernel.threads-max")
OWN = sysctl_d.drop_in("pid_limits")

parameter_names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}(\.[a-z][a-z0-9_-]{0,8}){1,3}", fullmatch=True)


@given(st.dictionaries(parameter_names, st.integers(min_value=0, max_value=2**31)))
def test_what_is_rendered_is_read_back(values):
    assignments, garbled = sysctl_d.parse(sysctl_d.render(values, "managed"), "f")
    assert {a.name: int(a.value or "") for a in assignments} == values
    assert garbled == []


def test_rendering_is_sorted_so_that_a_second_run_gives_the_same_text():
    assert sysctl_d.render({"b.b": 2, "a.a": 1}, "Ours") == "# Ours.\na.a = 1\nb.b = 2\n"


LINES = [
    ("plain", "kernel.pid_max = 5", [(PID_MAX, "5")], []),
    ("without spaces", "kernel.pid_max=5", [(PID_MAX, "5")], []),
    ("indented, Windows line end", "\t kernel.pid_max = 5 \r", [(PID_MAX, "5")], []),
    ("slashes", "kernel/pid_max = 5", [(PID_MAX, "5")], []),
    ("slashes keep a dot in a name", "net/ipv4/conf/eth0.100/mtu = 5", [("net.ipv4.conf.eth0/100.mtu", "5")], []),
    ("dots keep a slash in a name", "net.ipv4.conf.eth0/100.mtu = 5", [("net.ipv4.conf.eth0/100.mtu", "5")], []),
    ("failure ignored", "-kernel.pid_max = 5", [(PID_MAX, "5")], []),
    ("pattern", "kernel.pid_* = 5", [("kernel.pid_*", "5")], []),
    (
        "several words",
        "net.ipv4.ip_local_port_range = 1024 65535",
        [("net.ipv4.ip_local_port_range", "1024 65535")],
        [],
    ),
    ("value with =", "kernel.core_pattern = |/x a=b", [("kernel.core_pattern", "|/x a=b")], []),
    ("no value", "kernel.pid_max =", [(PID_MAX, "")], []),
    ("comments", "# kernel.pid_max = 5\n; kernel.pid_max = 5", [], []),
    ("empty", "\n \n", [], []),
    ("taken back", "-kernel.pid_max", [(PID_MAX, None)], []),
    ("a dash apart", "- kernel.pid_max = 5", [(PID_MAX, "5")], []),
    ("two dashes are part of the name", "--kernel.pid_max = 5", [("-kernel.pid_max", "5")], []),
    ("a path", "/kernel//./pid_max = 5", [(PID_MAX, "5")], []),
    ("empty parts", "kernel..pid_max. = 5", [(PID_MAX, "5")], []),
    ("a pattern that leaves one out", "net.ipv4.conf.[!l]o.mtu = 5", [("net.ipv4.conf.[!l]o.mtu", "5")], []),
    ("a carriage return ends a comment", "# comment\rkernel.pid_max = 5", [(PID_MAX, "5")], []),
    ("a NUL ends a comment", "# comment\0kernel.pid_max = 5", [(PID_MAX, "5")], []),
    ("a no-break space is part of a value", "kernel.pid_max = 5\xa0", [(PID_MAX, "5\xa0")], []),
    ("a no-break space is no part of a name", "\xa0kernel.pid_max = 5", [], ["?kernel.pid_max = 5"]),
    ("a comment too long to be read", "#" + "x" * sysctl_d.LONG_LINE, [], ["#" + "x" * 56 + "..."]),
    ("words", "not an assignment", [], ["not an assignment"]),
    ("name with spaces", "kernel pid_max = 5", [], ["kernel pid_max = 5"]),
    ("no name", "= 5", [], ["= 5"]),
    ("undecodable and control bytes", "\udcff\x1b[31m\0", [], ["??[31m"]),
    ("very long", "x " * 100, [], [("x " * 29)[:57] + "..."]),
]


@pytest.mark.parametrize(("text", "read", "bad"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_lines(text, read, bad):
    assignments, garbled = sysctl_d.parse(text, "f")
    assert [(a.name, a.value) for a in assignments] == read
    assert [g.text for g in garbled] == bad


def test_a_line_is_known_by_its_number():
    assignments, garbled = sysctl_d.parse("# comment\n\nkernel.pid_max = 5\noops", "f")
    assert assignments == [Assignment(PID_MAX, "5", "f", 3)]
    assert garbled == [Garbled("f", 4, "oops")]


hostile = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)
near_misses = st.text(alphabet="kernl.pid_max-*?[]!^/=#; 0x9\n\r\t", max_size=40)


@given(hostile | near_misses)
def test_no_text_raises(text):
    host = FakeHost({"/etc/sysctl.d/x.conf": text})
    assignments, garbled = sysctl_d.observe(host, NAMES, OWN)
    for name in NAMES:
        line = sysctl_d.winner(assignments, name)
        assert line is None or int(line.value or "") >= 0
    assert all(g.text.isprintable() and len(g.text) <= 60 for g in garbled)


@pytest.mark.parametrize(
    "value", ["9" * 5000, "5\xa0", "0x400000", "0100000", "-1", "5 6", "5 # five", "", "\u0665", "five"]
)
def test_what_is_no_plain_number_is_garbled(value):
    """To the kernel 0x is hexadecimal and a leading 0 octal (proc_get_long): neither is taken at face value."""
    assignments, garbled = sysctl_d.observe(FakeHost({"/etc/sysctl.d/x.conf": f"{PID_MAX} = {value}"}), NAMES, OWN)
    assert assignments == []
    assert [g.line for g in garbled] == [1]


def test_other_parameters_may_have_any_value():
    assert sysctl_d.observe(FakeHost({"/etc/sysctl.d/x.conf": "kernel.core_pattern = core"}), NAMES, OWN) == ([], [])


ORDERS = [
    (
        "by name across folders",
        ["/usr/lib/sysctl.d/50-a.conf", "/etc/sysctl.d/10-b.conf", "/run/sysctl.d/99-c.conf"],
        ["/etc/sysctl.d/10-b.conf", "/usr/lib/sysctl.d/50-a.conf", "/run/sysctl.d/99-c.conf"],
    ),
    (
        "the administrator's file masks the distribution's",
        ["/usr/lib/sysctl.d/50-a.conf", "/etc/sysctl.d/50-a.conf"],
        ["/etc/sysctl.d/50-a.conf"],
    ),
    (
        "each folder masks those behind it",
        [f"{folder}/x.conf" for folder in reversed(sysctl_d.FOLDERS[1:])],
        ["/run/sysctl.d/x.conf"],
    ),
    (
        "hidden files are not read",
        ["/etc/sysctl.d/.50-a.conf", "/usr/lib/sysctl.d/.conf"],
        [],
    ),
    (
        "other endings are not read",
        [
            "/etc/sysctl.d/README.sysctl",
            "/etc/sysctl.d/x.conf.bak",
            "/etc/sysctl.d/.99-zz-nodeward-pid_limits.conf.nodeward",
        ],
        [],
    ),
    (
        "capitals before small letters, digits by character",
        ["/etc/sysctl.d/a.conf", "/etc/sysctl.d/B.conf", "/etc/sysctl.d/9.conf", "/etc/sysctl.d/10.conf"],
        ["/etc/sysctl.d/10.conf", "/etc/sysctl.d/9.conf", "/etc/sysctl.d/B.conf", "/etc/sysctl.d/a.conf"],
    ),
    (
        "ours behind kubespray's",
        [OWN, "/etc/sysctl.d/99-sysctl.conf"],
        ["/etc/sysctl.d/99-sysctl.conf", OWN],
    ),
]


@pytest.mark.parametrize(("paths", "order"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS])
def test_reading_order(paths, order):
    assert sysctl_d.reading_order(paths) == order


def lines(*pairs: tuple[str, str | None]) -> list[Assignment]:
    return [Assignment(name, value, f"/etc/sysctl.d/{number}.conf", 1) for number, (name, value) in enumerate(pairs)]


WINNERS = [
    ("nobody", [("kernel.other", "1")], None),
    ("the last", [(PID_MAX, "1"), (PID_MAX, "2")], "2"),
    ("a pattern", [("kernel.*", "1")], "1"),
    ("the last pattern", [("kernel.pid*", "1"), ("*.pid_max", "2")], "2"),
    ("a full name before a later pattern", [(PID_MAX, "1"), ("kernel.*", "2")], "1"),
    ("a pattern stays within one part", [("*", "1"), ("kern*max", "2"), ("*.*.*", "3")], None),
    ("a range the wrong way round matches nothing", [("kernel.[z-a]*", "1")], None),
    ("an open bracket is a bracket", [("kernel.[pid_max", "1")], None),
    ("case counts", [("Kernel.PID_MAX", "1")], None),
    ("taken back", [(PID_MAX, "1"), (PID_MAX, None)], None),
    ("taken back, and set again", [(PID_MAX, None), (PID_MAX, "1")], "1"),
    ("exempted from a pattern", [("kernel.*", "1"), (PID_MAX, None)], None),
    ("a pattern taken back", [("kernel.*", "1"), ("kernel.*", None)], None),
    ("what says the same again keeps its place", [("kern*.*", "1"), ("*.pid_max", "2"), ("kern*.*", "1")], "2"),
]


@pytest.mark.parametrize(("pairs", "value"), [case[1:] for case in WINNERS], ids=[case[0] for case in WINNERS])
def test_winner(pairs, value):
    line = sysctl_d.winner(lines(*pairs), PID_MAX)
    assert (line.value if line else None) == value


def test_observing_reads_debian_s_link_to_sysctl_conf_and_not_our_own_file():
    host = FakeHost(
        {
            "/usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
            "/etc/sysctl.conf": "kernel.pid_max = 65536\n",
            OWN: "kernel.pid_max = 1\n",
        },
        links={"/etc/sysctl.d/99-sysctl.conf": "../sysctl.conf"},
    )
    assignments, garbled = sysctl_d.observe(host, NAMES, OWN)
    assert [(a.path, a.value) for a in assignments] == [
        ("/usr/lib/sysctl.d/50-pid-max.conf", "4194304"),
        ("/etc/sysctl.d/99-sysctl.conf", "65536"),
    ]
    assert garbled == []
    assert host.calls == []


def test_a_file_masked_by_dev_null_says_nothing():
    host = FakeHost(
        {"/usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n", "/dev/null": ""},
        links={"/etc/sysctl.d/50-pid-max.conf": "/dev/null"},
    )
    assert sysctl_d.observe(host, NAMES, OWN) == ([], [])
