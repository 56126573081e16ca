"""A Debian node without node-exporter, as apt and dpkg have it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request
from ansible_collections.nodeward.calico.plugins.module_utils._core.packages import Apt

from tests.unit.node.fake_exporters import DEBIAN, DEFAULTS, FOLDER, UNIT, ExporterHost

NAME = "prometheus-node-exporter"
CAME = '# Set the command-line arguments to pass to the server.\nARGS=""\n'
OTHERS = "Package: adduser\nStatus: install ok installed\nVersion: 3\n\n"
LIST = "/var/lib/apt/lists/deb.debian.org_dists_bookworm_main_binary-amd64_Packages"
RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'


class PackageHost(ExporterHost):
    """``fails`` has apt fail at a word of its command; ``others`` are packages that it would install too.

    ``starts`` is False where a policy keeps services of new packages from being started.
    """

    def __init__(self, release: str = RELEASE, *, fails: str = "", others: str = "", starts: bool = True) -> None:
        super().__init__(DEBIAN)
        self.files = {"/etc/os-release": release, Apt.STATUS: OTHERS, LIST: ""}
        self.links, self.folders = {}, {"/var/lib"}
        self.fails, self.others, self.starts_services = fails, others, starts
        self.answers["GET http://127.0.0.1:9100/metrics"] = Answer(200)
        self._asked = 0

    def send_http(self, request: Request) -> Answer:
        """Answer as one that has just started: not at once."""
        self._asked += 1
        if self._asked == 1:
            raise NodewardError(what="does not answer (Connection refused)", where=request.url, remedy="Wait")
        return super().send_http(request)

    def run(self, command: Sequence[str], _patience: float = 0.0) -> str:
        words = list(command)
        if words[0] != "env":
            return super().run(command)
        self._mutate("run", " ".join(words[4:]))
        if self.fails and self.fails in words:
            raise NodewardError("the command ended with 100: E: no such host", " ".join(words), "Run it on the node")
        if "--simulate" in words:
            return "".join(f"Inst {each} (1 Debian:12/stable [amd64])\n" for each in [NAME, *self.others.split()])
        if words[-3:-1] == ["dpkg", "--purge"]:
            self._purge()
        elif words[-2] == "install":
            self._install()
        return ""

    def _install(self) -> None:
        digest = hashlib.md5(CAME.encode(), usedforsecurity=False).hexdigest()
        config = f"Conffiles:\n {DEFAULTS} {digest}\nDescription: x\n"
        self.files |= {Apt.STATUS: f"Package: {NAME}\nStatus: install ok installed\n{config}\n{OTHERS}", DEFAULTS: CAME}
        self.files[self.fragment] = DEBIAN[1]
        self.folders.add(FOLDER)
        if self.starts_services:
            self._start()

    def _purge(self) -> None:
        gone = ("/proc/77/", f"{FOLDER}/")
        self.files = {path: text for path, text in self.files.items() if not path.startswith(gone)}
        for path in (DEFAULTS, self.fragment):
            self.files.pop(path, None)
        self.links.pop(f"/run/systemd/units/invocation:{UNIT}", None)
        self.folders.discard(FOLDER)
        self.files[Apt.STATUS] = OTHERS
