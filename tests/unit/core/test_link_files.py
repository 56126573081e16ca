"""What has NetworkManager and netplan take up a file: what they are told, and what is believed of their answer."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._core import netplan, network_manager
from ansible_collections.nodeward.calico.plugins.module_utils._core.apply import PutBackError, apply
from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.formats import UnsureError
from ansible_collections.nodeward.calico.plugins.module_utils._core.host import LocalHost
from ansible_collections.nodeward.calico.plugins.module_utils._core.network_manager import Profile
from ansible_collections.nodeward.calico.plugins.module_utils._core.verbs import (
    GenerateNetplan,
    LoadProfile,
    Reason,
    SetKey,
    WriteFile,
    change_at,
)

from tests.unit.fake_host import FakeHost

WHY = Reason("link_mtu", "why", disrupts="uplink_change")
PATH = "/etc/NetworkManager/system-connections/up.nmconnection"
TEXT = "[connection]\nid=up\n[ethernet]\n"
RUNS = {"/run/systemd/units/invocation:NetworkManager.service": "0" * 32}
LIST = "nmcli --terse --escape yes --fields UUID,TYPE,AUTOCONNECT,AUTOCONNECT-PRIORITY,DEVICE,FILENAME connection show"
LISTED = f"u1:802-3-ethernet:yes:0:eth0:{PATH}\n"
MTU = "nmcli --get-values 802-3-ethernet.mtu connection show uuid u1"
LOAD = f"nmcli connection load {PATH}"

# As nmcli 1.42.4 prints it.
LINES: list[tuple[str, str, list[Profile]]] = [
    ("none", "", []),
    ("one", LISTED, [Profile("u1", "802-3-ethernet", True, 0, ("eth0",), PATH)]),
    ("not up, not by itself", "u1:vlan:no:-10::/a\n", [Profile("u1", "vlan", False, -10, (), "/a")]),
    ("on several links", "u1:vlan:yes:0:a,b:/a\n", [Profile("u1", "vlan", True, 0, ("a", "b"), "/a")]),
    ("no file", "u1:bond:yes:0:a:\n", [Profile("u1", "bond", True, 0, ("a",), "")]),
    ("colons and backslashes in a name", "u1:bond:yes:0:a:/x/a\\:b\\\\c\n",
     [Profile("u1", "bond", True, 0, ("a",), "/x/a:b\\c")]),
    ("a line that we do not know", "Warning: nmcli and NetworkManager versions differ\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("told", "profiles"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_what_nmcli_lists(told, profiles):
    assert network_manager.profiles(FakeHost(commands={LIST: told})) == profiles


@pytest.mark.parametrize(("told", "mtu"), [("1400\n", 1400), ("auto\n", None), ("0\n", None), ("\n", None), ("", None)])
def test_the_mtu_in_memory(told, mtu):
    assert network_manager.loaded(FakeHost(commands={MTU: told}), Profile("u1", "bond", True, 0, (), PATH)) == mtu


def test_the_section_that_is_there_counts():
    assert network_manager.key_in("[802-3-ethernet]\n", "vlan") == "802-3-ethernet/mtu"
    assert network_manager.key_in("[vlan]\n", "vlan") == "ethernet/mtu"
    assert network_manager.key_in("", "infiniband") == "infiniband/mtu"
    with pytest.raises(UnsureError, match="which are one"):
        network_manager.key_in("[ethernet]\n[802-3-ethernet]\n", "vlan")


def host(**commands: str) -> FakeHost:
    told = {LIST: LISTED, MTU: "1400\n", LOAD: ""}
    return FakeHost({PATH: TEXT}, links=RUNS, commands={**told, **{globals()[k]: v for k, v in commands.items()}})


SET = SetKey("keyfile", PATH, "ethernet/mtu", None, "1400", WHY)


def test_a_profile_is_written_and_loaded():
    node = host()
    apply([SET, LoadProfile(PATH, WHY)], node)
    assert node.files[PATH] == "[connection]\nid=up\n[ethernet]\nmtu=1400\n"
    assert ("run", LOAD) in node.calls


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("another MTU in memory", {"MTU": "auto\n"}, "it has another MTU in memory"),
    ("a file that it does not know", {"LIST": ""}, "it does not know the file"),
    ("the file of a kind without an MTU", {"LIST": LISTED.replace("802-3-ethernet", "wifi")}, "does not know the file"),
]


@pytest.mark.parametrize(("commands", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_profile_that_is_not_taken_is_as_it_was(commands, told):
    """nmcli connection load ends with 0 then, too."""
    node = host(**commands)
    with pytest.raises(NodewardError, match=told):
        apply([SET, LoadProfile(PATH, WHY)], node)
    assert node.files[PATH] == TEXT


def test_nothing_is_loaded_where_network_manager_does_not_run_or_the_file_is_gone():
    for node in (FakeHost({PATH: TEXT}), FakeHost(links=RUNS)):
        apply([LoadProfile(PATH, WHY)], node)
        assert [call for call in node.calls if call[0] == "run"] == []


# --- netplan ----------------------------------------------------------------------------------------

MADE = "/run/systemd/network/10-netplan-up.network"
OWN = "/etc/netplan/99-own.yaml"
GENERATE, GET = "netplan generate", "netplan get all"
NETPLAN = {"/usr/sbin/netplan": "#!/usr/bin/python3\n", "/etc/netplan/50.yaml": "network:\n"}
# As netplan 0.106 ends over a file that it does not understand.
ANGRY = """/etc/netplan/60-bad.yaml:8:19: Error in network definition: expected mapping (check indentation)
        password: hunter2
                  ^"""

GENERATED: list[tuple[str, str, int | None]] = [
    ("nothing", "", None),
    ("networkd's", "[Match]\nName=eth0\n\n[Link]\nMTUBytes=1400\n\n[Network]\n", 1400),
    ("networkd's, behind another key", "[Link]\nRequiredForOnline=no\nMTUBytes=1400\n", 1400),
    ("that of a route", "[Link]\nX=1\n\n[Route]\nMTUBytes=1400\n", None),
    ("NetworkManager's", "[ethernet]\nwake-on-lan=0\nmtu=1400\n\n[ipv4]\n", 1400),
    ("NetworkManager's, of IPv6", "[ethernet]\nwake-on-lan=0\n\n[ipv6]\nmtu=1400\n", None),
]


@pytest.mark.parametrize(("text", "mtu"), [case[1:] for case in GENERATED], ids=[case[0] for case in GENERATED])
def test_the_mtu_in_what_netplan_made(text, mtu):
    assert netplan.generated_mtu(text) == mtu


def test_where_netplan_stops_is_found_behind_a_traceback():
    """As 'netplan get' ends: 1,200 characters, of which the place is in the last 200."""
    said = (
        "Traceback (most recent call last):\n"
        + 20 * '  File "/usr/share/netplan/netplan/cli/core.py", line 50\n'
        + ANGRY
    )
    host = LocalHost(run_command=lambda _command: (1, "", said))
    with pytest.raises(NodewardError) as failed:
        netplan.merged(host)
    assert failed.value.what == "netplan cannot read /etc/netplan/60-bad.yaml, line 8"


class Planner(FakeHost):
    """Makes the backend's file as netplan does; ``says`` is its MTU then, ``fails`` what it complains of."""

    says = "1400"
    fails = ""

    def run(self, command, _patience=0):
        self._mutate("run", " ".join(command))
        if self.fails:
            raise NodewardError(what=f"the command ended with 1: {self.fails}", where="netplan", remedy="Mend it")
        self.files[MADE] = f"[Link]\nMTUBytes={self.says}\n" if OWN in self.files else "[Match]\nName=eth0\n"
        return ""


WRITE = WriteFile(OWN, None, "network:\n", WHY, 0o600)


def test_netplan_makes_its_files_anew():
    node = Planner(NETPLAN)
    apply([WRITE, GenerateNetplan(MADE, WHY, 1400)], node)
    assert (node.files[MADE], node.modes[OWN]) == ("[Link]\nMTUBytes=1400\n", 0o600)


def test_a_file_that_netplan_does_not_take_is_gone_again_and_what_it_made_too():
    node = Planner(NETPLAN)
    node.says = "1500"
    with pytest.raises(PutBackError, match="wanted an MTU of 1400, it made 1500"):
        apply([WRITE, GenerateNetplan(MADE, WHY, 1400)], node)
    assert OWN not in node.files
    assert node.files[MADE] == "[Match]\nName=eth0\n"


def test_no_error_tells_what_netplan_quotes():
    node = Planner(NETPLAN)
    node.fails = ANGRY
    for ask in (netplan.generate, netplan.merged):
        with pytest.raises(NodewardError) as failed:
            ask(node)
        assert "hunter2" not in str(failed.value)
        assert failed.value.what == "netplan cannot read /etc/netplan/60-bad.yaml, line 8"
        assert failed.value.__cause__ is None
    node.fails = "it says something else: hunter2"
    with pytest.raises(NodewardError) as failed:
        netplan.generate(node)
    assert failed.value.what == "netplan generate fails"


UNFINISHED: list[tuple[str, int | OSError, str, str]] = [
    ("too long", 124, "the command was ended, as it took more than 150 s", "see what it waits for"),
    ("no process can start", OSError(errno.EAGAIN, "Resource temporarily unavailable"),
     "the command cannot be started: Resource temporarily unavailable", "see what holds the process ids"),
]  # fmt: skip


@pytest.mark.parametrize("ask", [netplan.generate, netplan.merged, network_manager.profiles])
@pytest.mark.parametrize(
    ("ends", "what", "remedy"), [case[1:] for case in UNFINISHED], ids=[case[0] for case in UNFINISHED]
)
def test_a_command_that_was_not_through_has_no_file_blamed(ask, ends, what, remedy):
    """It printed hunter2, and had as long as any other command."""

    def run_command(_command: list[str]) -> tuple[int, str, str]:
        if isinstance(ends, OSError):
            raise ends
        return ends, "hunter2", "hunter2"

    with pytest.raises(NodewardError) as failed:
        ask(LocalHost(run_command=run_command))
    assert failed.value.what == what
    assert failed.value.where.split()[0] in ("netplan", "nmcli")
    assert remedy in failed.value.remedy
    assert "hunter2" not in str(failed.value)


def test_nothing_is_generated_where_netplan_is_no_more():
    node = Planner()
    apply([GenerateNetplan(MADE, WHY)], node)
    assert [call for call in node.calls if call[0] == "run"] == []


def test_the_journal_brings_them_back():
    for change in (LoadProfile(PATH, WHY), GenerateNetplan(MADE, WHY)):
        assert change_at(change.target, None, None, WHY) == change
        assert change.inverse() == change
    assert GenerateNetplan(MADE, WHY, 1400).inverse() == GenerateNetplan(MADE, WHY), "it is another one then"
