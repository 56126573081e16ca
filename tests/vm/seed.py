"""What makes a machine this one: its name, its keys, its addresses, and the manager of links that reads them."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping

# Addresses that nobody has (RFC 5737); the default route's gateway is nobody: nothing leads out.
UPLINK = "192.0.2"
_TUNNELS = {"ipip": "10.233", "vxlan": "10.234", "wireguard": "10.235"}
_MAC = "66:00:00:00:00:0"  # and a machine's number
_SSH = "10.0.2.15/24"  # where QEMU's user network forwards to

_INTERFACES = """\
auto lo
iface lo inet loopback

# the uplink
auto eth0
iface eth0 inet static
    address {address}/24
    gateway {gateway}

auto eth1
iface eth1 inet static
    address {ssh}
"""
_KEYFILE = """\
[connection]
id={link}
uuid=5a3c1c5e-0000-4000-8000-{number:012d}
type=ethernet
interface-name={link}

[ethernet]

[ipv4]
method=manual
address1={address}
"""
_NETWORK = """\
[Match]
Name={link}

[Network]
Address={address}
"""
# With an id that is not the link's name, in the style of a person.
_NETPLAN = """\
network:
  version: 2
  renderer: networkd
  ethernets:
    uplink:
      match: {{name: eth0}}
      addresses: [{address}/24]
      routes:
      - to: default
        via: {gateway}
    eth1:
      addresses: [{ssh}]
"""
# Which service makes the links; netplan makes the files of networkd before that starts.
_SERVICES = {"netplan": "systemd-networkd"}
# Nothing hurries: an emulated processor that others use, too, may take minutes for what systemd gives 90 s, and
# a networkd that was asked twice was once ended by its own watchdog.
_PATIENCE = "[Manager]\nDefaultTimeoutStartSec=900\nDefaultDeviceTimeoutSec=900\n"
# What waits for udev before ifupdown has three minutes, and its udevadm two: once they were over, and a unit failed.
_IFUPDOWN_PATIENCE = "[Service]\nTimeoutSec=900\nExecStart=\nExecStart=/bin/udevadm settle --timeout=900\n"
# ifupdown itself has five.
_NETWORKING_PATIENCE = "[Service]\nTimeoutStartSec=900\n"
_NETWORKD_PATIENCE = "[Service]\nTimeoutStartSec=infinity\nWatchdogSec=0\n"
_TUNNEL_UNIT = """\
[Unit]
Description=Tunnels between the machines as Calico has them: IPIP, VXLAN and WireGuard
After=network.target networking.service NetworkManager.service systemd-networkd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/vm/tunnel

[Install]
WantedBy=multi-user.target
"""
# The kernel makes tunl0 with 1480 and wireguard with 1420, whatever the uplink has, and vxlan 50 below the uplink.
# Peers of VXLAN are told as Felix tells them: no flooding, an entry each for neighbour and forwarding.
_TUNNEL_SCRIPT = """\
#!/bin/sh
set -e
modprobe ipip
ip link set tunl0 up
ip address replace {ipip}.{number}.1/32 dev tunl0
tries=0
until ip -4 address show dev eth0 | grep -q 'inet '; do
    tries=$((tries + 1)); [ $tries -lt 300 ]; sleep 1
done
ip link add vxlan.calico address {mac}{number} type vxlan id 4096 dev eth0 local {address} dstport 4789 nolearning
ip link add wireguard.cali type wireguard
ip link set vxlan.calico up
ip link set wireguard.cali up
ip address replace {vxlan}.{number}.1/32 dev vxlan.calico
ip address replace {wireguard}.{number}.1/32 dev wireguard.cali
echo {key} | wg set wireguard.cali listen-port 51820 private-key /dev/stdin
{peers}"""
_PEER = """\
ip route replace {ipip}.{number}.0/24 via {address} dev tunl0 onlink
ip neighbour replace {vxlan}.{number}.1 lladdr {mac}{number} dev vxlan.calico nud permanent
bridge fdb replace {mac}{number} dev vxlan.calico dst {address}
ip route replace {vxlan}.{number}.0/24 via {vxlan}.{number}.1 dev vxlan.calico onlink
wg set wireguard.cali peer "$(echo {key} | wg pubkey)" endpoint {address}:51820 allowed-ips {wireguard}.{number}.0/24
ip route replace {wireguard}.{number}.0/24 dev wireguard.cali
"""


def _names(number: int) -> dict[str, str]:
    """Return what a machine's number makes of it; its WireGuard key is no secret, so that each can tell the others'."""
    key = base64.b64encode(hashlib.sha256(f"vm{number}".encode()).digest()).decode()
    address = f"{UPLINK}.{10 + number}"
    return {"number": str(number), "address": address, "key": key, "mac": _MAC, **_TUNNELS}


def files(number: int, count: int, manager: str) -> dict[str, tuple[str, int]]:
    """Return path -> (text, mode) of a machine's network: incident B is in it, and what incident C needs."""
    others = [other for other in range(1, count + 1) if other != number]
    peers = "".join(_PEER.format(**_names(other)) for other in others)
    hosts = "".join(f"{UPLINK}.{10 + each} vm{each}\n" for each in range(1, count + 1))
    return {
        "etc/hostname": (f"vm{number}\n", 0o644),
        "etc/hosts": (f"127.0.0.1 localhost\n{hosts}", 0o644),
        "etc/resolv.conf": ("", 0o644),
        "etc/sysctl.d/60-incident-b.conf": ("kernel.pid_max = 49152\n", 0o644),
        "etc/systemd/system.conf.d/vm.conf": (_PATIENCE, 0o644),
        "etc/systemd/system/systemd-networkd.service.d/vm.conf": (_NETWORKD_PATIENCE, 0o644),
        "etc/systemd/system/ifupdown-pre.service.d/vm.conf": (_IFUPDOWN_PATIENCE, 0o644),
        "etc/systemd/system/networking.service.d/vm.conf": (_NETWORKING_PATIENCE, 0o644),
        "etc/systemd/system/vm-tunnel.service": (_TUNNEL_UNIT, 0o644),
        "usr/local/lib/vm/tunnel": (_TUNNEL_SCRIPT.format(**_names(number), peers=peers), 0o755),
        **_managed(number, manager),
    }


def _managed(number: int, manager: str) -> dict[str, tuple[str, int]]:
    address, gateway = f"{UPLINK}.{10 + number}", f"{UPLINK}.1"
    if manager == "networking":
        text = _INTERFACES.format(address=address, gateway=gateway, ssh=_SSH)
        return {"etc/network/interfaces": (text, 0o644)}
    lo_only = {"etc/network/interfaces": ("auto lo\niface lo inet loopback\n", 0o644)}
    if manager == "netplan":
        text = _NETPLAN.format(address=address, gateway=gateway, ssh=_SSH)
        return {**lo_only, "etc/netplan/50-vm.yaml": (text, 0o600)}
    links = {"eth0": f"{address}/24", "eth1": _SSH}
    if manager == "systemd-networkd":
        networks = {link: _NETWORK.format(link=link, address=its) for link, its in links.items()}
        networks["eth0"] += f"Gateway={gateway}\n"
        return {**lo_only, **{f"etc/systemd/network/10-{link}.network": (networks[link], 0o644) for link in links}}
    keyfiles = {
        link: _KEYFILE.format(link=link, number=position, address=its)
        for position, (link, its) in enumerate(links.items())
    }
    keyfiles["eth0"] += f"gateway={gateway}\n"
    folder = "etc/NetworkManager/system-connections"
    return {**lo_only, **{f"{folder}/{link}.nmconnection": (keyfiles[link], 0o600) for link in links}}


def tar(content: Mapping[str, tuple[str, int]], services: Iterable[str]) -> bytes:
    """Pack the files as the second disk holds them, and have systemd start these services and the tunnels.

    A manager of links counts as a service, whatever its own is called.
    """
    wanted = "etc/systemd/system/multi-user.target.wants"
    names = [_SERVICES.get(service, service) for service in services]
    units = {f"{wanted}/{name}.service": f"/lib/systemd/system/{name}.service" for name in names}
    units[f"{wanted}/vm-tunnel.service"] = "/etc/systemd/system/vm-tunnel.service"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, (text, mode) in content.items():
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = mode, len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
        for path, target in units.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    # a disk has whole sectors
    return buffer.getvalue() + bytes(-len(buffer.getvalue()) % 512)
