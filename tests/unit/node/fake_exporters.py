"""A node whose unit of systemd runs a node-exporter, as systemd and kingpin have it: a wrong command ends at once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.nodeward.calico.plugins.module_utils._core.errors import NodewardError
from ansible_collections.nodeward.calico.plugins.module_utils._core.http import Answer, Request

from tests.unit.fake_host import FakeHost

UNIT = "prometheus-node-exporter.service"
DEFAULTS = "/etc/default/prometheus-node-exporter"
FOLDER = "/var/lib/prometheus/node-exporter"

# As the packages and the role write them, shortened.
DEBIAN = (
    "/lib/systemd/system/prometheus-node-exporter.service",
    """\
[Service]
Restart=on-failure
User=prometheus
EnvironmentFile=/etc/default/prometheus-node-exporter
ExecStart=/usr/bin/prometheus-node-exporter $ARGS
""",
)
ROLE = (
    "/etc/systemd/system/node_exporter.service",
    """\
#
# Ansible managed
#
[Service]
Type=simple
User=node-exp
ExecStart=/usr/local/bin/node_exporter \\
    '--collector.systemd' \\
    '--collector.textfile' \\
    '--collector.textfile.directory=/var/lib/node_exporter' \\
    '--web.listen-address=0.0.0.0:9100' \\
    '--web.telemetry-path=/metrics'

SyslogIdentifier=node_exporter
Restart=always
""",
)
PLAIN = (
    "/etc/systemd/system/node-exporter.service",
    "[Service]\nExecStart=/opt/node_exporter --web.listen-address=127.0.0.1:9101\n",
)

METRICS = "# HELP\nnode_load1 0.5\n"
THREADS = "node_processes_threads 412\n"


class ExporterHost(FakeHost):
    """``slow`` are the seconds that a scrape takes with the collector; ``dies`` has it end once it is on.

    ``main`` is the main process that systemd tells of its unit, its own.
    """

    def __init__(self, unit: tuple[str, str], defaults: str | None = None, *, slow: float = 0.1, dies: bool = False):
        self.fragment, text = unit
        self.unit = self.fragment.rpartition("/")[2]
        super().__init__({self.fragment: text})
        if defaults is not None:
            self.files[DEFAULTS] = defaults
        self.slow, self.dies, self.starts, self.restarts = slow, dies, 0, 0
        self.folders.add(FOLDER)
        self.folders.add("/var/lib")
        self.scrapes, self.main = 0, "77"
        self._start()

    @property
    def drop_ins(self) -> list[str]:
        return sorted(path for path in self.files if f"/{self.unit}.d/" in path)

    @property
    def words(self) -> list[str]:
        return self.files.get("/proc/77/cmdline", "").rstrip("\0").split("\0")

    def _start(self) -> None:
        self.starts += 1
        self.links[f"/run/systemd/units/invocation:{self.unit}"] = f"start{self.starts}"
        command = ""
        for path in (self.fragment, *self.drop_ins):
            for found in re.finditer(r"^ExecStart=((?:.*\\\n)*.*)$", self.files[path], re.MULTILINE):
                command = found[1]
        args = [line[6:-1] for line in self.files.get(DEFAULTS, "").splitlines() if line.startswith("ARGS=")]
        words = [word.strip("'") for word in command.replace("\\\n", " ").replace("$ARGS", (args or [""])[-1]).split()]
        flags = [word.partition("=")[0] for word in words[1:]]
        off = [flag.replace("--no-", "--") for flag in flags if flag.startswith("--no-")]
        ends = len(set(flags)) < len(flags) or set(off) & set(flags) or "--collector.processes=true" in words
        if ends or (self.dies and "--collector.processes" in words):
            for path in ("comm", "cmdline", "cgroup"):
                self.files.pop(f"/proc/77/{path}", None)
            return
        self.files["/proc/77/comm"] = words[0].rpartition("/")[2][:15] + "\n"
        self.files["/proc/77/cmdline"] = "\0".join(words) + "\0"
        self.files["/proc/77/cgroup"] = f"0::/system.slice/{self.unit}\n"

    def run(self, command: Sequence[str], _patience: float = 0.0) -> str:
        words = " ".join(command)
        if words == f"systemctl show --property=FragmentPath,DropInPaths,EnvironmentFiles,MainPID {self.unit}":
            files = f"FragmentPath={self.fragment}\nDropInPaths={' '.join(self.drop_ins)}\nMainPID={self.main}\n"
            return files + (f"EnvironmentFiles={DEFAULTS} (ignore_errors=no)\n" if DEFAULTS in self.files else "")
        self._mutate("run", words)
        if words == f"systemctl restart {self.unit}":
            self.restarts += 1
            self._start()
        elif words == f"systemctl show --property=NeedDaemonReload {self.unit}":
            return "NeedDaemonReload=no\n"
        elif words == f"systemctl show --property=ActiveState --value {self.unit}":
            return "active\n"
        elif words not in ("systemctl daemon-reload", f"systemctl reset-failed {self.unit}"):
            raise NodewardError(what="the command ended with 1: unknown", where=words, remedy="Teach the fake host")
        return ""

    def send_http(self, request: Request) -> Answer:
        self.scrapes += 1
        if "/proc/77/comm" not in self.files:
            raise NodewardError(what="does not answer (Connection refused)", where=request.url, remedy="Start it")
        answer = self.answers.get(f"{request.method} {request.url}", Answer(404))
        if callable(answer) or answer.status != 200:
            return super().send_http(request)
        if "--collector.processes" not in self.words:
            self.now += 0.05
            return Answer(200, METRICS)
        self.now += self.slow
        return Answer(200, METRICS + THREADS)
