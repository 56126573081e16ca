# Private to the collection nodeward.calico: may change in any release.
"""The calls of the gateway by etcdctl on the node, where etcd was started without one. In the gateway's words.

Read in etcdctl/ctlv3/command of 3.4 to 3.6 and tried with 3.4.23: it shows ids as decimal numbers in JSON, and takes
them in hexadecimal. It ends at once where a flag is in its environment as well, so it is given none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._core.errors import NodewardError
from .._core.host import Host
from .access import Access
from .gateway import GatewayError, checked, decoded

# A login's PATH is not that of a unit or of Ansible: where packages, kubespray and Flatcar have it.
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/opt/bin")
# Bytes a second that a snapshot is written with at least, and seconds that it is given beyond that.
SPEED, PATIENCE = 10 * 1024**2, 60.0
GRACE = 10.0  # seconds that it is given to end by itself
_GONE = "requested lease not found"


def instead(off: GatewayError, host: Host, access: Access, url: str) -> Etcdctl:
    """Return the other way to a member whose gateway is off; raises ``off`` where there is none."""
    for folder in FOLDERS:
        if host.modified(f"{folder}/etcdctl") is not None:
            return Etcdctl(host, access, url, f"{folder}/etcdctl")
    raise off


class Etcdctl:
    """The calls of one member at its address for gRPC. Keys go by the names of their files."""

    def __init__(self, host: Host, access: Access, url: str, program: str) -> None:
        self._host = host
        self._url = url
        self._program = [program, f"--endpoints={url}", *_certificates(access, url)]

    def call(self, path: str, body: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """Make one call of the gateway's. Raises NodewardError."""
        if path == "/v3/kv/txn":
            return _transacted(self._json(["txn"], patience, _transaction(body)))
        if path == "/v3/cluster/member/list":
            return self._json(["member", "list"], patience)
        if path == "/v3/maintenance/status":
            return self._json(["endpoint", "status"], patience)
        if path == "/v3/lease/grant":
            return self._json(["lease", "grant", str(body["TTL"])], patience)
        if path == "/v3/lease/keepalive":
            return self._kept(_hex(body["ID"]), patience)
        words = {
            "/v3/lease/revoke": lambda: ["lease", "revoke", _hex(body["ID"])],
            "/v3/maintenance/transfer-leadership": lambda: ["move-leader", _hex(body["targetID"])],
            "/v3/maintenance/defragment": lambda: ["defrag"],
        }[path]()
        self._run(words, patience)
        return {}

    def save(self, path: str, size: int) -> None:
        """Write a snapshot into a file, which it makes for root alone. Raises NodewardError, OSError."""
        self._host.make_folder(path.rpartition("/")[0])
        try:
            self._run(["snapshot", "save", path], PATIENCE + size / SPEED)
            for _piece in checked(self._host.pieces(path), self._url):
                pass  # 3.4 does not look whether the sum fits
        except NodewardError:
            for left in (path, f"{path}.part"):  # it holds Secrets
                if self._host.modified(left) is not None:
                    self._host.remove_file(left)
            raise

    def _kept(self, lease: str, patience: float) -> dict[str, Any]:
        try:
            return {"result": self._json(["lease", "keep-alive", "--once", lease], patience)}
        except NodewardError as error:
            if _GONE in error.what:
                return {"result": {}}  # what the gateway says of a lease that has ended
            raise

    def _json(self, words: Sequence[str], patience: float, typed: str = "") -> dict[str, Any]:
        output = self._run([*words, "--write-out=json"], patience, typed)
        try:
            told = json.loads(output)
            told = told[0]["Status"] if isinstance(told, list) else told
        except (ValueError, LookupError, TypeError):
            told = None
        if not isinstance(told, dict):
            raise self._error(words, "it told no JSON that etcd's would be")
        return told

    def _run(self, words: Sequence[str], patience: float, typed: str = "") -> str:
        command = [*self._program, f"--command-timeout={patience:.0f}s", *words]
        # printf is the shell's own: there is no PATH
        piped = ["/bin/sh", "-c", 'printf %s "$0" | "$@"', typed] if typed else []
        try:
            return self._host.run(["env", "-i", "ETCDCTL_API=3", *piped, *command], patience + GRACE)
        except NodewardError as error:
            # why a certificate is not trusted stands in its log only, and its error is that time has run out
            why = re.search(r"x509: [^\"\\\n]*", error.what)
            raise self._error(words, why[0] if why else error.what.rpartition("Error: ")[2]) from error

    def _error(self, words: Sequence[str], what: str) -> NodewardError:
        return NodewardError(f"etcdctl {' '.join(words[:2])}: {what}", self._url, "See the log of etcd")


def _certificates(access: Access, url: str) -> list[str]:
    if not url.startswith("https:"):
        return []
    ca, certificate, key = access.files
    # without an authority of its own (self-signed, auto-tls) there is nothing to check by
    trust = f"--cacert={ca}" if ca else "--insecure-skip-tls-verify=true"
    return [trust, *([f"--cert={certificate}", f"--key={key}"] if certificate and key else [])]


def _hex(number: object) -> str:
    return f"{int(str(number)):x}"


def _transaction(body: Mapping[str, Any]) -> str:
    """Write the lock's transaction as etcdctl reads it: comparisons, what then, what else; an empty line ends each."""
    compares = [f'create({_quoted(each["key"])}) = "{each["create_revision"]}"' for each in body["compare"]]
    puts = [each["request_put"] for each in body["success"]]
    gets = [each["request_range"] for each in body["failure"]]
    success = [f"put --lease={_hex(each['lease'])} {_quoted(each['key'])} {_quoted(each['value'])}" for each in puts]
    failure = [f"get {_quoted(each['key'])}" for each in gets]
    return "".join("".join(f"{line}\n" for line in (*lines, "")) for lines in (compares, success, failure))


def _quoted(text: str) -> str:
    return json.dumps(decoded(text))


def _transacted(told: Mapping[str, Any]) -> dict[str, Any]:
    ranges = [(each.get("Response") or {}).get("ResponseRange") for each in told.get("responses") or []]
    return {**told, "responses": [{"response_range": each} for each in ranges if each]}
