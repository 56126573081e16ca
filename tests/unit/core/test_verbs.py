"""Each verb: look, act, read back, turn round."""

from __future__ import annotations

from hashlib import sha256

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    Change,
    Reason,
    RemoveFile,
    SetKey,
    SetPackage,
    SetSysctl,
    WriteFile,
    change_at,
    describe,
    diff,
    sysctl_path,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_host import FakeHost, clamps

PID_MAX = "kernel.pid_max"
PID_MAX_FILE = "/proc/sys/kernel/pid_max"
OTHER = {"/etc/other": "untouched"}
REASON = Reason("pid_limits", "because")

texts = st.text()
numbers = st.integers(min_value=1, max_value=4194304).map(str)


@st.composite
def changes_and_hosts(draw: st.DrawFn) -> tuple[Change, FakeHost]:
    """Any change, and a host that is as the change expects it."""
    verb = draw(st.sampled_from([SetSysctl, SetKey, WriteFile, RemoveFile]))
    if verb is SetSysctl:
        before = draw(numbers)
        return SetSysctl(PID_MAX, before, draw(numbers), REASON), FakeHost({**OTHER, PID_MAX_FILE: before + "\n"})
    if verb is SetKey:
        states = st.none() | numbers
        present = draw(states)
        host = FakeHost({**OTHER, "/f": f"a: 1\nb: {present}\n" if present else "a: 1\n"})
        return SetKey("yaml", "/f", "b", present, draw(states), REASON), host
    present = draw(texts)
    if verb is RemoveFile:
        return RemoveFile("/f", present, REASON), FakeHost({**OTHER, "/f": present})
    was_there = draw(st.booleans())
    files = {**OTHER, "/f": present} if was_there else OTHER
    return WriteFile("/f", present if was_there else None, draw(texts), REASON), FakeHost(files)


@given(changes_and_hosts())
def test_acting_and_then_the_inverse_restores_the_host(case):
    change, host = case
    before = dict(host.files)
    for step in (change, change.inverse()):
        step.check(host)
        step.act(host)
        step.verify(host)
    assert host.files == before


@given(changes_and_hosts())
def test_turning_round_twice_is_the_change_itself(case):
    change, _host = case
    assert change.inverse().inverse() == change


@given(changes_and_hosts())
def test_a_check_only_looks(case):
    change, host = case
    change.check(host)
    assert host.calls == []


def test_a_removed_file_comes_back_with_its_mode():
    host = FakeHost({"/f": "x"})
    removal = RemoveFile("/f", "x", REASON, mode=0o600)
    removal.act(host)
    removal.inverse().act(host)
    assert host.modes == {"/f": 0o600}


SET = SetSysctl(PID_MAX, "32768", "4194304", REASON)
WRITE = WriteFile("/etc/f", None, "new\n", REASON)
REWRITE = WriteFile("/etc/f", "old\n", "new\n", REASON)
REMOVE = RemoveFile("/etc/f", "old\n", REASON)
LIMIT = SetKey("yaml", "/etc/f", "podPidsLimit", None, "4096", REASON)
RELIMIT = SetKey("yaml", "/etc/f", "podPidsLimit", "-1", "4096", REASON)
INSTALL = SetPackage("exporter", None, "installed", REASON)
DEBIAN = {"/etc/os-release": "ID=debian\n", "/var/lib/dpkg/status": "Package: exporter\nStatus: install ok installed\n"}
UNLIMIT = SetKey("yaml", "/etc/f", "podPidsLimit", "4096", None, REASON)

# printf theirs | sha256sum
THEIRS = "sha256 4c55a8552a2c"

CHECKS: list[tuple[str, Change, FakeHost, str]] = [
    ("a value that changed", SET, FakeHost({PID_MAX_FILE: "65536\n"}), "expected '32768', found '65536'"),
    ("a parameter that is gone", SET, FakeHost(), "expected '32768', found nothing"),
    ("a read-only parameter", SET, FakeHost({PID_MAX_FILE: "32768\n"}, read_only=("/proc/sys",)), "read-only here"),
    ("a file that appeared", WRITE, FakeHost({"/etc/f": "theirs"}), f"expected nothing, found {THEIRS}"),
    ("a file that changed", REWRITE, FakeHost({"/etc/f": "theirs"}), f"found {THEIRS}"),
    ("a file that changed by a newline", REWRITE, FakeHost({"/etc/f": "old"}), "expected sha256 "),
    ("a file that is gone", REWRITE, FakeHost(), "found nothing"),
    ("a file to remove that changed", REMOVE, FakeHost({"/etc/f": "theirs"}), f"found {THEIRS}"),
    ("a key that appeared", LIMIT, FakeHost({"/etc/f": "podPidsLimit: 5\n"}), "expected nothing, found '5'"),
    ("a key that changed", RELIMIT, FakeHost({"/etc/f": "podPidsLimit: 5\n"}), "expected '-1', found '5'"),
    ("a key's file that is gone", LIMIT, FakeHost(), "podPidsLimit cannot be set: there is no such file"),
    ("a key's file that is strange", LIMIT, FakeHost({"/etc/f": "a: 1\n\t\n"}), "line 2: it holds a tab"),
    ("a key's file in a read-only folder", LIMIT, FakeHost({"/etc/f": "a: 1\n"}, read_only=("/etc",)), "read-only"),
    ("a read-only folder", WRITE, FakeHost(read_only=("/etc",)), "cannot be written: /etc is read-only"),
    ("a full disk", WRITE, FakeHost(disk_full=True), "cannot be written: no room for"),
    ("a package that appeared", INSTALL, FakeHost(DEBIAN), "expected nothing, found 'installed'"),
    ("a package for nobody knows what", INSTALL, FakeHost(), "the node is of an unknown distribution"),
    ("a removal in a read-only folder", REMOVE, FakeHost({"/etc/f": "old\n"}, read_only=("/etc",)), "read-only"),
]


@pytest.mark.parametrize(("change", "host", "what"), [c[1:] for c in CHECKS], ids=[c[0] for c in CHECKS])
def test_a_check_refuses(change, host, what):
    with pytest.raises(NodewardError) as refused:
        change.check(host)
    assert what in refused.value.what
    assert refused.value.where
    assert refused.value.remedy
    assert host.calls == []


VERIFICATIONS: list[tuple[str, Change, FakeHost]] = [
    ("a clamped value", SET, FakeHost({PID_MAX_FILE: "32768\n"}, kernel={PID_MAX_FILE: clamps("192731")})),
    ("a file that somebody rewrote", WRITE, FakeHost({"/etc/f": "theirs"})),
    ("a key that somebody reset", RELIMIT, FakeHost({"/etc/f": "podPidsLimit: -1\n"})),
    ("a file that came back", REMOVE, FakeHost({"/etc/f": "old\n"})),
]


@pytest.mark.parametrize(("change", "host"), [c[1:] for c in VERIFICATIONS], ids=[c[0] for c in VERIFICATIONS])
def test_what_did_not_take_is_seen(change, host):
    if isinstance(change, SetSysctl):
        change.act(host)
    with pytest.raises(NodewardError, match="did not take"):
        change.verify(host)


def test_one_key_of_a_file_is_set_and_the_rest_is_what_others_make_of_it():
    host = FakeHost({"/real": "# theirs\na: 1\n"}, links={"/etc/f": "/real"})
    LIMIT.act(host)
    assert host.files == {"/real": "# theirs\na: 1\npodPidsLimit: 4096\n"}
    host.files["/real"] = "podPidsLimit: 4096\nb: 2\n"
    LIMIT.verify(host)
    LIMIT.inverse().check(host)
    LIMIT.inverse().act(host)
    assert host.files == {"/real": "b: 2\n"}
    assert host.links == {"/etc/f": "/real"}


def test_a_key_that_is_as_it_should_be_is_not_written_again():
    host = FakeHost({"/etc/f": "podPidsLimit: 4096\n"})
    RELIMIT.act(host)
    UNLIMIT.act(FakeHost())
    assert host.calls == []


@given(changes_and_hosts())
def test_a_change_is_known_by_its_target(case):
    change, _host = case
    assert change_at(change.target, change.before, change.after, REASON) == change


def test_a_parameter_is_a_file_of_the_kernel():
    assert sysctl_path("net.ipv4.ip_forward") == "/proc/sys/net/ipv4/ip_forward"
    assert sysctl_path("kernel.threads-max") == "/proc/sys/kernel/threads-max"


DIFFS: list[tuple[str, Change, str, str, str]] = [
    ("sysctl", SET, "sysctl kernel.pid_max", "32768\n", "4194304\n"),
    ("a key", RELIMIT, "yaml /etc/f#podPidsLimit", "-1\n", "4096\n"),
    ("a new key", LIMIT, "yaml /etc/f#podPidsLimit", "", "4096\n"),
    ("new file", WRITE, "file /etc/f", "", "new\n"),
    ("rewritten file", REWRITE, "file /etc/f", "old\n", "new\n"),
    ("removed file", REMOVE, "file /etc/f", "old\n", ""),
]


@pytest.mark.parametrize(("change", "header", "before", "after"), [c[1:] for c in DIFFS], ids=[c[0] for c in DIFFS])
def test_a_diff_has_the_shape_that_ansible_prints(change, header, before, after):
    assert diff(change) == {"before_header": header, "after_header": header, "before": before, "after": after}


def test_of_a_program_the_description_has_the_size_and_the_diff_the_text():
    text = "x = 1\n" * 5000
    change = WriteFile("/usr/local/lib/nodeward/x.py", None, text, Reason("t", "why"))
    told = describe(change)
    assert (told["before"], told["after"]) == (None, f"30000 characters, SHA-256 {sha256(text.encode()).hexdigest()}")
    assert diff(change)["after"] == text


def test_a_change_is_described_with_its_reason():
    change = SetSysctl(PID_MAX, "1", "2", Reason("pid_limits", "because", disrupts="kubelet_restart"))
    assert describe(change) == {
        "trap": "pid_limits",
        "target": "sysctl kernel.pid_max",
        "before": "1",
        "after": "2",
        "why": "because",
        "disrupts": "kubelet_restart",
    }
