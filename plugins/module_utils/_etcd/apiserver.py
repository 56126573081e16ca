# Private to the collection nodeward.calico: may change in any release.
"""The API server of this node that uses a member of etcd: ready again after the member's restart?"""

from __future__ import annotations

from .._core.errors import NodewardError
from .._core.host import Host
from .._core.host_processes import on_the_host
from .._core.http import LOOPBACK, Request
from .._kube import kubeconfig
from .access import parts
from .flavours import flags

NAME = "kube-apiserver"
KUBECONFIG = "/etc/kubernetes/admin.conf"


def trouble(host: Host, port: int | None) -> str:
    """Say why an API server of this node that uses etcd at this port is not ready, '' where none is unwell."""
    for pid in on_the_host(host, (NAME,)):
        text = host.read_text(f"/proc/{pid}/cmdline") or ""
        given = flags(tuple(text.rstrip("\0").split("\0")))
        used = {parts(url)[1] for url in given.get("etcd-servers", "").split(",")}
        if port in used:
            told = _trouble(host, f"https://127.0.0.1:{given.get('secure-port') or '6443'}", given)
            if told:
                return told
    return ""


def _trouble(host: Host, url: str, given: dict[str, str]) -> str:
    address = given.get("bind-address", "")
    if address and address not in LOOPBACK:
        url = url.replace("127.0.0.1", f"[{address}]" if ":" in address else address)
    # /readyz is open to everybody (system:public-info-viewer), unless anonymous requests are off
    status = _status(host, Request(f"{url}/readyz", verify=False))
    if status in (401, 403) and host.read_text(KUBECONFIG) is not None:
        access = kubeconfig.read(KUBECONFIG, host.read_text)
        status = _status(host, access.request("/readyz"))
    # one that does not let us ask is not known to be unwell
    is_well = status in (200, 401, 403)
    return "" if is_well else f"the API server at {url} is not ready ({status or 'it does not answer'})"


def _status(host: Host, request: Request) -> int:
    try:
        return host.send_http(request).status
    except NodewardError:
        return 0
