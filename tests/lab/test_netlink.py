"""The netlink port against this machine's kernel, in network namespaces of its own. Looked at with ip. Needs root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NODE, POD = f"nwl{os.getpid()}n", f"nwl{os.getpid()}p"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

LINKS = """
link set lo up
link add up0 mtu 1600 type veth peer name far0
link add br0 type bridge
link set far0 master br0
link set up0 up
link set far0 up
link set br0 up
address add 192.0.2.4/24 dev up0
address add 2001:db8::4/64 dev up0 nodad
link add vxlan.calico mtu 1450 type vxlan id 4096 dstport 4789 local 192.0.2.4
route add default via 192.0.2.1 dev up0 metric 50
route add default via 2001:db8::1 dev up0
route add 198.51.100.0/24 via 192.0.2.1 dev up0
route add default via 192.0.2.9 dev up0 table 77
"""


def ip(words: str, node: str = NODE) -> str:
    return subprocess.run(["ip", "-netns", node, *words.split()], capture_output=True, text=True, check=True).stdout


def of(link: str, node: str = NODE) -> dict[str, Any]:
    [found] = json.loads(ip(f"-json -details link show dev {link}", node))
    return dict(found)


def mtus() -> list[tuple[str, int]]:
    return [(each["ifname"], each["mtu"]) for node in (NODE, POD) for each in json.loads(ip("-json link show", node))]


def run(code: str) -> str:
    """Run code that has ``netlink`` in the node's namespace; return what it printed."""
    package = "ansible_collections.nodeward.calico.plugins.module_utils._core"
    text = f"from {package} import netlink\nfrom {package}.links import *\n{code}"
    done = subprocess.run(
        ["ip", "netns", "exec", NODE, sys.executable, "-W", "error", "-c", text],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / ".ansible/collections"), "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.fixture
def node() -> Iterator[None]:
    """A node with an uplink and its VLAN, a bridge, a tunnel, and a pod that runs a process."""
    for name in (NODE, POD):
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        batch = ["ip", "-netns", NODE, "-batch", "-"]
        subprocess.run(batch, input=LINKS, text=True, check=True)
        ip(f"link add cali1 mtu 1450 type veth peer name eth0 netns {POD} mtu 1440")
        with subprocess.Popen(["ip", "netns", "exec", POD, "sleep", "120"]) as process:
            yield
            process.kill()
    finally:
        for name in (NODE, POD):
            subprocess.run(["ip", "netns", "delete", name], check=False)


@pytest.mark.usefixtures("node")
def test_links_are_as_ip_shows_them() -> None:
    rows = json.loads(
        run("import json\nprint(json.dumps([vars(l) for l in netlink.read().links]))"),
    )
    by_name = {row["name"]: row for row in rows}
    by_index = {row["index"]: row["name"] for row in rows}
    shown = json.loads(ip("-json -details link show"))
    assert [each["ifname"] for each in shown] == [row["name"] for row in rows]
    for each in shown:
        row = by_name[each["ifname"]]
        assert (row["index"], row["mtu"], row["min_mtu"], row["max_mtu"]) == (
            each["ifindex"],
            each["mtu"],
            each["min_mtu"],
            each["max_mtu"],
        )
        assert row["kind"] == each.get("linkinfo", {}).get("info_kind", "")
        assert by_index.get(row["master"]) == each.get("master")
        assert row["up"] == ("UP" in each["flags"])
        assert row["loopback"] == ("LOOPBACK" in each["flags"])
        assert row["netnsid"] == each.get("link_netnsid")
        assert row["lower"] == (each.get("link_index") or {r["name"]: r["index"] for r in rows}.get(each.get("link")))
    assert by_name["vxlan.calico"]["local"] == "192.0.2.4"


@pytest.mark.usefixtures("node")
def test_addresses_default_routes_and_the_pod_s_end() -> None:
    up = of("up0")["ifindex"]
    told = run(
        "n = netlink.read()\n"
        "print(sorted(a.address for a in n.addresses if not a.address.startswith('fe80')))\n"
        f"print(sorted((r.family, r.table, r.metric) for r in n.default_routes if r.link == {up}))\n"
        "print({name: (end.name, end.mtu) for name, end in n.pod_ends.items()})"
    ).splitlines()
    assert told == [
        "['127.0.0.1', '192.0.2.4', '2001:db8::4', '::1']",
        "[(4, 77, 0), (4, 254, 50), (6, 254, 1024)]",
        "{'cali1': ('eth0', 1440)}",
    ]


@pytest.mark.usefixtures("node")
def test_one_link_is_read_and_set() -> None:
    assert run("print(netlink.link('up0').mtu, netlink.link('nosuch'), netlink.link('up0', True))") == "1600 None None"
    run("netlink.set_mtu('up0', 1500)")
    assert of("up0")["mtu"] == 1500
    assert "UP" in of("up0")["flags"]


@pytest.mark.usefixtures("node")
def test_the_pod_s_end_is_set_in_its_namespace_and_we_stay_in_ours() -> None:
    pid = "import os, threading\nbefore = os.readlink('/proc/self/ns/net')\n"
    after = "\nprint(before == os.readlink('/proc/thread-self/ns/net'), threading.active_count())"
    assert run(f"{pid}netlink.set_other_mtu('cali1', 1400){after}") == "True 1"
    assert (of("cali1")["mtu"], of("eth0", POD)["mtu"]) == (1450, 1400)
    assert run("print(netlink.link('cali1', True).mtu)") == "1400"


REFUSED = [
    ("a link that is gone", "netlink.set_mtu('nosuch', 1500)", "the link, or its other end, is gone"),
    ("more than the driver takes", "netlink.set_mtu('up0', 70000)", "the kernel refused MTU 70000"),
    ("no link of a pod", "netlink.set_other_mtu('up0', 1500)", "the link, or its other end, is gone"),
    ("more than the pod's driver takes", "netlink.set_other_mtu('cali1', 70000)", "the kernel refused MTU 70000"),
]


@pytest.mark.parametrize(("code", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
@pytest.mark.usefixtures("node")
def test_what_cannot_be_done_is_an_oserror(code: str, told: str) -> None:
    before = mtus()
    assert told in run(f"try:\n    {code}\nexcept OSError as error:\n    print(error)")
    assert mtus() == before


@pytest.mark.usefixtures("node")
def test_a_pod_without_a_process() -> None:
    """Its namespace is found where runtimes pin it; where nothing leads in, the error says so."""
    empty = f"{POD}e"
    subprocess.run(["ip", "netns", "add", empty], check=True)
    try:
        ip(f"link add cali2 mtu 1450 type veth peer name eth0 netns {empty} mtu 1450")
        told = run(
            "netlink.PINS = ()\n"
            "try:\n    netlink.set_other_mtu('cali2', 1400)\nexcept OSError as error:\n    print(error)"
        )
        assert "nothing leads into the network namespace of its other end: 'cali2'" in told
        run("netlink.set_other_mtu('cali2', 1400)")
        shown = subprocess.run(
            ["ip", "-netns", empty, "link", "show", "eth0"], capture_output=True, text=True, check=True
        )
        assert "mtu 1400" in shown.stdout
    finally:
        subprocess.run(["ip", "netns", "delete", empty], check=True)
