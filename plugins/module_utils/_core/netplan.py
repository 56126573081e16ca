# Private to the collection nodeward.calico: may change in any release.
"""netplan: what its files come to, and its backend's files made anew. Never 'netplan apply': it bounces links.

What netplan says of a file that it does not understand quotes its lines, passwords too: none goes into an error.
"""

from __future__ import annotations

import re

from .errors import NodewardError
from .formats import yaml_lines
from .formats.yaml_lines import Path
from .host import Host, UnfinishedError

_PROGRAMS = ("/usr/sbin/netplan", "/usr/bin/netplan", "/sbin/netplan")
_PLACE = re.compile(r"(/[^\s:]+\.ya?ml):([0-9]+)")
# Of the link; routes have MTUs of their own.
_MTU = re.compile(r"^\[(?:Link|ethernet|infiniband)\]\n(?:[^\[\n].*\n)*?(?:MTUBytes|mtu)=([0-9]{1,9})$", re.MULTILINE)


def is_there(host: Host) -> bool:
    """Tell whether netplan is installed."""
    return any(host.read_text(path) is not None for path in _PROGRAMS)


def merged(host: Host) -> dict[Path, str]:
    """Return the values of all files as netplan merges them, by their paths. Raises NodewardError, UnsureError.

    A mapping has '' for its value.
    """
    text = _run(host, "get", "all")
    return {entry.path: yaml_lines.unquoted(entry.value) for entry in yaml_lines.parse(text)}


def generate(host: Host) -> None:
    """Write the backend's files anew, as at boot; what is up stays as it is. Raises NodewardError."""
    _run(host, "generate")


def generated_mtu(text: str) -> int | None:
    """Return the MTU in a file that netplan made for its backend, None where it sets none."""
    found = _MTU.search(text)
    return int(found.group(1)) if found else None


def require_generated(host: Host, path: str, mtu: int) -> None:
    """Raise NodewardError where a file that netplan made does not set an MTU."""
    present = generated_mtu(host.read_text(path) or "")
    if present != mtu:
        raise NodewardError(
            what=f"netplan did not take it: wanted an MTU of {mtu}, it made {present or 'none'}",
            where=path,
            remedy="See what netplan get prints, and which file in /etc/netplan sets the MTU last",
        )


def _run(host: Host, *words: str) -> str:
    try:
        return host.run(["netplan", *words])
    except UnfinishedError:
        raise  # it has nothing of what netplan printed
    except NodewardError as error:
        places = _PLACE.findall(error.what)
        raise NodewardError(
            what="netplan cannot read {}, line {}".format(*places[-1]) if places else f"netplan {words[0]} fails",
            where=places[-1][0] if places else "/etc/netplan",
            remedy=f"Run netplan {words[0]} on the node and mend what it names, then run again",
        ) from None
