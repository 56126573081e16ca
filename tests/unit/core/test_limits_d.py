"""limits.d as pam_limits reads it."""

from __future__ import annotations

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import limits_d
from ansible_collections.nodeward.calico.plugins.module_utils._core.limits_d import KINDS, UNLIMITED, Line
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost

LINES: list[tuple[str, str, tuple[str, tuple[str, ...], int] | None]] = [
    ("as RHEL ships it", "*          soft    nproc     4096", ("*", ("soft",), 4096)),
    ("both", "@students - nproc 20 # a course", ("@students", KINDS, 20)),
    ("capitals", "root HARD NPROC Unlimited", ("root", ("hard",), UNLIMITED)),
    ("infinity", "* - nproc infinity", ("*", KINDS, UNLIMITED)),
    ("-1", "* - nproc -1", ("*", KINDS, UNLIMITED)),
    ("a dash", "* - nproc -", ("*", KINDS, UNLIMITED)),
    ("words behind it", "* - nproc 7 more words", ("*", KINDS, 7)),
    ("letters behind the number", "* - nproc 7k", ("*", KINDS, 7)),
    ("a negative number is very large", "* - nproc -2", ("*", KINDS, UNLIMITED - 1)),
    ("a number without end", "* - nproc " + "9" * 900, ("*", KINDS, UNLIMITED)),
    ("a range", "1000:2000 soft nproc 9", ("1000:2000", ("soft",), 9)),
    ("a tab", "\t*\tsoft\tnproc\t5", ("*", ("soft",), 5)),
    ("another item", "* soft nofile 5", None),
    ("no value", "* soft nproc", None),
    ("the rest is a comment", "* soft nproc # 5", None),
    ("no number", "* soft nproc lots", None),
    ("no kind", "* both nproc 5", None),
    ("no limits at all for a user", "ftp -", None),
    ("empty", "", None),
]


@pytest.mark.parametrize(("text", "line"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_lines(text, line):
    found = limits_d.parse(f"# a comment\n{text}\n", "/x")
    assert [(each.domain, each.kinds, each.value) for each in found] == ([line] if line else [])
    assert all((each.path, each.line) == ("/x", 2) for each in found)


ORDERS: list[tuple[str, list[str], list[str]]] = [
    ("the file comes before the folder", ["/etc/security/limits.d/00.conf", "/etc/security/limits.conf"],
     ["/etc/security/limits.conf", "/etc/security/limits.d/00.conf"]),
    ("capitals first", ["/etc/security/limits.d/a.conf", "/etc/security/limits.d/B.conf"],
     ["/etc/security/limits.d/B.conf", "/etc/security/limits.d/a.conf"]),
    ("other endings and hidden files are not read",
     ["/etc/security/limits.d/a.conf.bak", "/etc/security/limits.d/.a.conf", "/etc/security/limits.d/README"], []),
    ("the vendor's stand behind", ["/usr/etc/security/limits.conf", "/usr/etc/security/limits.d/20.conf",
     "/usr/etc/security/limits.d/10.conf", "/etc/security/limits.d/20.conf"],
     ["/usr/etc/security/limits.conf", "/usr/etc/security/limits.d/10.conf", "/etc/security/limits.d/20.conf"]),
    ("our own is left out", ["/etc/security/limits.d/own.conf"], []),
]  # fmt: skip


@pytest.mark.parametrize(("paths", "order"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS])
def test_the_order_in_which_files_are_read(paths, order):
    host = FakeHost(dict.fromkeys(paths, "* - nproc 1\n"))
    assert [line.path for line in limits_d.observe(host, "/etc/security/limits.d/own.conf")] == order


SERVICES = [
    ("Debian", {"/etc/pam.d/sshd": "session    required     pam_limits.so\n"}, True),
    ("RHEL", {"/etc/pam.d/system-auth": "session required pam_limits.so\n"}, True),
    ("the vendor's folder", {"/usr/lib/pam.d/login": "session required pam_limits.so\n"}, True),
    ("commented out", {"/etc/pam.d/sshd": "# session required pam_limits.so\n"}, False),
    ("another file", {"/etc/pam.d/sshd": "session required pam_limits.so conf=/etc/other.conf\n"}, False),
    ("not there", {"/etc/pam.d/sshd": "session required pam_unix.so\n"}, False),
    ("no PAM", {}, False),
]


@pytest.mark.parametrize(("files", "applied"), [case[1:] for case in SERVICES], ids=[case[0] for case in SERVICES])
def test_whether_logins_ask_pam_limits(files, applied):
    assert limits_d.is_applied(FakeHost(files)) is applied


def test_the_last_line_of_a_domain_counts():
    lines = [Line("*", KINDS, 1, "/a", 1), Line("*", ("soft",), 2, "/b", 1), Line("@x", KINDS, 3, "/c", 1)]
    assert limits_d.winner(lines, "*", "soft") == lines[1]
    assert limits_d.winner(lines, "*", "hard") == lines[0]
    assert limits_d.winner(lines, "root", "soft") is None


wanted = st.dictionaries(
    st.tuples(st.sampled_from(["*", "root"]), st.sampled_from(KINDS)), st.integers(0, UNLIMITED), min_size=1
)


@given(wanted)
def test_what_is_rendered_is_read_as_it_was_meant(values):
    lines = limits_d.parse(limits_d.render(values, "managed"), "/x")
    assert {(line.domain, kind): line.value for line in lines for kind in line.kinds} == values


@given(st.text())
def test_no_text_stops_us(text):
    limits_d.parse(text, "/x")
