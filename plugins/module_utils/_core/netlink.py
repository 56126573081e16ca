# Private to the collection nodeward.calico: may change in any release.
"""The kernel's links, addresses and routes over netlink; the only file that imports pyroute2, and only when asked.

pyroute2 unpacks every attribute into an object of its own: 5,000 links took 2.2 s (0.7.2) to 3.7 s (0.9.7).
Message classes that keep the bytes (pyroute2 documents the override of ``decode``) take 0.3 s.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from . import netlink_messages as messages
from .links import PODS, Link, MissingPackageError, Network

# Where the roles bring pyroute2 to on a node that has none. Gone after a reboot, so nothing is left behind.
BROUGHT = "/run/nodeward/pyroute2.zip"

# linux/rtnetlink.h RTM_NEW*
_NEW_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 20, 24
_HEADER = 16  # bytes of struct nlmsghdr
_ATTEMPTS = 5

# Where "ip netns", containerd and CRI-O, and docker keep network namespaces.
PINS = ("/run/netns", "/run/docker/netns")


def read(pods: str = PODS) -> Network:
    """Return the node's links (with the other ends of those whose name begins with ``pods``) and more.

    One dump each; for the pods' ends one question each (250 took 0.07 s).
    Raises MissingPackageError, OSError.
    """
    with _opened() as socket_:
        links = tuple(messages.link(message) for message in _dumped(socket_.link))
        addresses = tuple(messages.address(message) for message in _dumped(socket_.addr))
        dumps = [_dumped(socket_.route, family=family) for family in (socket.AF_INET, socket.AF_INET6)]
        ends = {link.name: _other_end(socket_, link) for link in links if link.name.startswith(pods)}
    return Network(
        links=links,
        addresses=addresses,
        default_routes=tuple(route for dump in dumps for message in dump for route in messages.default_routes(message)),
        pod_ends={name: end for name, end in ends.items() if end is not None},
    )


def link(name: str, other_end: bool = False) -> Link | None:
    """Return one link, or its other end in another network namespace; None where there is none."""
    with _opened() as socket_:
        found = _named(socket_, name)
        return _other_end(socket_, found) if found is not None and other_end else found


def set_mtu(name: str, mtu: int) -> None:
    """Set a link's MTU. Raises OSError."""
    with _opened() as socket_:
        _set(socket_, _there(_named(socket_, name), name), mtu)


def set_other_mtu(name: str, mtu: int) -> None:
    """Set the MTU of a link's other end, in the network namespace of a pod. Raises OSError.

    The kernel answers questions about a link of another namespace, but a change has to come from inside (with
    IFLA_TARGET_NETNSID the link would be moved there).
    """
    with _opened() as socket_:
        near = _there(_named(socket_, name), name)
        far = _there(_other_end(socket_, near), name)
        namespace = _namespace(socket_, near)
    try:
        _inside(namespace, far, near, mtu)
    finally:
        os.close(namespace)


# --- pyroute2 ---------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _pyroute2() -> Any:
    try:
        return importlib.import_module("pyroute2")
    except ImportError as error:
        why = str(error)
    if not _is_ours(BROUGHT):
        raise MissingPackageError("pyroute2", why)
    sys.path.append(BROUGHT)
    importlib.invalidate_caches()
    try:
        return importlib.import_module("pyroute2")
    except ImportError as error:
        raise MissingPackageError("pyroute2", f"not in {BROUGHT} either: {error}") from error


def _is_ours(path: str) -> bool:
    """Tell whether only root could have written a file: what is in it will run as root."""
    for place in (path, os.path.dirname(path)):
        try:
            state = os.lstat(place)
        except FileNotFoundError:
            return False
        if state.st_uid != 0 or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or stat.S_ISLNK(state.st_mode):
            return False
    return True


@contextlib.contextmanager
def _opened() -> Iterator[Any]:
    library = _pyroute2()
    with _told(), contextlib.closing(library.IPRoute()) as opened:
        opened.marshal.msg_map = {**opened.marshal.msg_map, **_messages()}
        yield opened


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what pyroute2 raises (no OSError) into one."""
    errors = importlib.import_module("pyroute2.netlink.exceptions")
    try:
        yield
    except errors.NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code), "netlink") from error


@lru_cache(maxsize=1)
def _messages() -> Mapping[int, type]:
    """Return message classes that unpack the fixed part only and keep the attributes as bytes."""
    netlink = importlib.import_module("pyroute2.netlink")
    rtnl = "pyroute2.netlink.rtnl"

    def plain(name: str, fixed: int) -> type:
        def decode(self: Any) -> None:
            netlink.nlmsg.decode(self)
            start, end = self.offset + _HEADER + fixed, self.offset + self["header"]["length"]
            self["attributes"] = messages.attributes(self.data, start, end)

        fields = getattr(importlib.import_module(f"{rtnl}.{name}"), name).fields
        return type(f"plain_{name}", (netlink.nlmsg,), {"fields": fields, "decode": decode})

    # sizes of struct ifinfomsg, ifaddrmsg, rtmsg
    return {_NEW_LINK: plain("ifinfmsg", 16), _NEW_ADDRESS: plain("ifaddrmsg", 8), _NEW_ROUTE: plain("rtmsg", 12)}


def _dumped(question: Any, **keys: Any) -> Iterable[Any]:
    """Ask for all there are; anew where something came or went meanwhile, as pods do (NLM_F_DUMP_INTR)."""
    interrupted = importlib.import_module("pyroute2.netlink.exceptions").NetlinkDumpInterrupted
    for _attempt in range(_ATTEMPTS - 1):
        with contextlib.suppress(interrupted):
            return _asked(question, "dump", **keys)
    return _asked(question, "dump", **keys)


def _asked(question: Any, *words: str, **keys: Any) -> Iterable[Any]:
    """Ask and return all messages of the answer that carry something."""
    return [message for message in question(*words, **keys) if "attributes" in message]


# --- one link ---------------------------------------------------------------------------------------


def _named(socket_: Any, name: str) -> Link | None:
    try:
        with _told():
            return next((messages.link(message) for message in _asked(socket_.link, "get", ifname=name)), None)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def _other_end(socket_: Any, near: Link) -> Link | None:
    """Return the other end of a veth in another namespace, None when it is gone, or is none of that."""
    if near.lower is None or near.netnsid is None:
        return None
    try:
        with _told():
            # pyroute2 calls IFLA_TARGET_NETNSID by its older name, in 0.9.7 as well
            answers = list(_asked(socket_.link, "get", index=near.lower, if_netnsid=near.netnsid))
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.EINVAL):  # the link is gone, or its namespace
            return None
        raise
    # an older kernel (before 4.15) or another pyroute2 would answer for our own namespace
    from_there = [messages.link(answer) for answer in answers if messages.TARGET_NETNSID in answer["attributes"]]
    return next((far for far in from_there if far.lower == near.index), None)


def _there(found: Link | None, name: str) -> Link:
    if found is None:
        raise OSError(errno.ENODEV, "the link, or its other end, is gone", name)
    return found


def _set(socket_: Any, wanted: Link, mtu: int) -> None:
    try:
        with _told():
            socket_.link("set", index=wanted.index, mtu=mtu)
    except OSError as error:
        raise OSError(error.errno, f"the kernel refused MTU {mtu}: {error.strerror}", wanted.name) from error


# --- another network namespace ----------------------------------------------------------------------


def _namespace(socket_: Any, near: Link) -> int:
    """Open the network namespace that has a link's other end, through a process in it.

    The descriptor is asked about, not the process: a process id may be another's by then.
    """
    seen: set[int] = set()
    for path in _namespace_paths():
        # a process may end meanwhile, or be one that even root may not look at; a pin may be half made
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            inode = os.stat(path).st_ino
            if inode in seen:
                continue
            seen.add(inode)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if _is_of(socket_, descriptor, near):
                return descriptor
            os.close(descriptor)
    raise OSError(errno.ESRCH, "nothing leads into the network namespace of its other end", near.name)


def _namespace_paths() -> Iterator[str]:
    """Name what leads into network namespaces: what runtimes pin (also of a sandbox that died), and processes."""
    for folder in PINS:
        with contextlib.suppress(FileNotFoundError):
            yield from (f"{folder}/{name}" for name in sorted(os.listdir(folder)))
    yield from (f"/proc/{name}/ns/net" for name in os.listdir("/proc") if name.isdigit())


def _is_of(socket_: Any, descriptor: int, near: Link) -> bool:
    try:
        with _told():
            return bool(socket_.get_netnsid(fd=descriptor)["nsid"] == near.netnsid)
    except OSError:  # a file that is no namespace
        return False


def _inside(namespace: int, far: Link, near: Link, mtu: int) -> None:
    """Set the MTU from a thread of its own: it ends there, so that this process never stands in a wrong namespace."""
    errors: list[OSError] = []

    def work() -> None:
        try:
            importlib.import_module("pyroute2.netns").setns(namespace, flags=0)
            with _opened() as socket_:
                found = [messages.link(message) for message in _asked(socket_.link, "get", index=far.index)]
                same = next((link for link in found if (link.name, link.lower) == (far.name, near.index)), None)
                _set(socket_, _there(same, near.name), mtu)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
