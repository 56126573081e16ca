"""The kubelet's part with one container of a pod: start it, probe it by the kubelet's rules, kill it, start it anew.

Runs on a node, with Python's standard library alone: kubelet_probes.py POD ADDRESS CONTAINER LOG. The pod is one of
the lab's (`pod add`), CONTAINER a file with a container as a DaemonSet has it. Each event is a line of JSON in LOG,
`at` is in seconds since the start.

The rules are those of Kubernetes 1.20 and later: pkg/kubelet/prober/worker.go (doProbe), and for the pauses between
restarts kuberuntime_manager.go (doBackOff). No jitter, which only shifts the first probe.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

_START = time.monotonic()
_KINDS = ("startupProbe", "livenessProbe", "readinessProbe")
_PAUSES = (0, 10, 20, 40, 80, 160, 300)  # seconds before the restarts, one after another


class Container:
    """What is running now. `number` counts its starts, `started` is whether its startup probe has passed."""

    def __init__(self, pod: str, address: str, item: dict[str, Any], log: str) -> None:
        self.pod, self.address, self.item = pod, address, item
        self.environment = {**os.environ, **{each["name"]: each["value"] for each in item.get("env", [])}}
        self.number = 0
        self.running_since: float | None = None
        self.started = False
        self._log, self._writing = log, threading.Lock()
        self._process: subprocess.Popen[bytes]

    def tell(self, event: str, **more: Any) -> None:
        line = {"at": round(time.monotonic() - _START, 3), "event": event, "start": self.number, **more}
        with self._writing, open(self._log, "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def inside(self, command: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.pod, *command]

    def run(self) -> None:
        """Start it, and again whenever it has ended."""
        while True:
            time.sleep(_PAUSES[min(self.number, len(_PAUSES)) - 1] if self.number else 0)
            self.number += 1
            self.started = "startupProbe" not in self.item
            self._process = subprocess.Popen(
                self.inside(self.item["command"]), env=self.environment, start_new_session=True
            )
            self.running_since = time.monotonic()
            self.tell("started")
            self._process.wait()
            self.running_since = None
            self.tell("ended")

    def kill(self, kind: str) -> None:
        """calico-node's pod has a grace period of 0."""
        self.tell("killed", by=kind)
        end(self._process)


def end(process: subprocess.Popen[Any]) -> None:
    """With all that it has started; it may just have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def give_up(error: threading.ExceptHookArgs) -> None:
    """End all where one thread ends: a probe that nobody asks any more would never fail."""
    threading.__excepthook__(error)
    os._exit(1)


class Worker:
    """One probe of a container."""

    def __init__(self, container: Container, kind: str) -> None:
        self._container, self._kind = container, kind
        self._probe: dict[str, Any] = container.item[kind]
        self._seen = 0  # the start of the container that the results are of
        self._on_hold = False
        self._last: bool | None = None
        self._times = 0  # results in a row that were like the last one

    def run(self) -> None:
        """Look once each period; looks that a long probe leaves no time for are left out."""
        due = time.monotonic()
        while True:
            self._look()
            due += self._probe["periodSeconds"]
            while due < time.monotonic() - self._probe["periodSeconds"]:
                due += self._probe["periodSeconds"]
            time.sleep(max(due - time.monotonic(), 0))

    def _look(self) -> None:
        container = self._container
        number, since = container.number, container.running_since
        if number != self._seen:
            self._seen, self._on_hold, self._last, self._times = number, False, None, 0
        if since is None or self._on_hold or time.monotonic() - since < self._probe.get("initialDelaySeconds", 0):
            return
        if container.started == (self._kind == "startupProbe"):
            return  # a startup probe has passed, or the others wait for it
        passed = self._try()
        if container.number != number:
            return
        self._times = self._times + 1 if passed == self._last else 1
        self._last = passed
        if self._times < self._probe["successThreshold" if passed else "failureThreshold"]:
            return
        if passed and self._kind == "startupProbe":
            container.started = True
            container.tell("startup passed")
        elif not passed and self._kind != "readinessProbe":
            self._on_hold = True
            container.kill(self._kind)

    def _try(self) -> bool:
        begin = time.monotonic()
        passed, said = self._exec() if "exec" in self._probe else self._get()
        seconds = round(time.monotonic() - begin, 3)
        self._container.tell("probed", kind=self._kind, passed=passed, seconds=seconds, said=said)
        return passed

    def _exec(self) -> tuple[bool, str]:
        """A command that takes too long is a failure (ExecProbeTimeout), and ended by the runtime."""
        command = self._container.inside(self._probe["exec"]["command"])
        with subprocess.Popen(
            command, env=self._container.environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            try:
                said, _ = process.communicate(timeout=self._probe["timeoutSeconds"])
            except subprocess.TimeoutExpired:
                end(process)
                return False, f"command timed out after {self._probe['timeoutSeconds']} s"
        return process.returncode == 0, said.strip().rpartition("\n")[2]

    def _get(self) -> tuple[bool, str]:
        asked = self._probe["httpGet"]
        line = http.client.HTTPConnection(self._container.address, asked["port"], timeout=self._probe["timeoutSeconds"])
        try:
            line.request("GET", asked["path"])
            status = line.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return False, str(error)
        finally:
            line.close()
        return 200 <= status < 400, str(status)


def main(pod: str, address: str, item: str, log: str) -> None:
    with open(item, encoding="utf-8") as file:
        container = Container(pod, address, json.load(file), log)
    threading.excepthook = give_up
    for kind in _KINDS:
        if kind in container.item:
            threading.Thread(target=Worker(container, kind).run, daemon=True).start()
    container.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
