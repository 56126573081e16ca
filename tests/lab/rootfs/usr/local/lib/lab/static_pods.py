#!/usr/bin/python3
"""The kubelet's part for static pods, on a node of the lab: run what the manifests say, anew where a file changes.

As the kubelet does (pkg/kubelet/config/file.go): every file of the folder whose name does not begin with a dot is a
pod, whatever its ending. Each start is a line in /run/lab/static-pods.log. Runs the first container's command in a
cgroup of pods, on the node's own file system and network.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

import yaml

FOLDER = pathlib.Path("/etc/kubernetes/manifests")
LOG = pathlib.Path("/run/lab/static-pods.log")


def unit(name: str) -> str:
    return "pod-" + "".join(letter if letter.isalnum() else "-" for letter in name)


def start(name: str, text: str) -> None:
    container = yaml.safe_load(text)["spec"]["containers"][0]
    command = [*container.get("command", []), *container.get("args", [])]
    with LOG.open("a") as log:
        log.write(f"{name}\n")
    # the kubelet starts a container again that ends by itself
    subprocess.run(
        ["systemd-run", "--quiet", f"--unit={unit(name)}", "--slice=kubepods-burstable.slice",
         "--property=Restart=always", "--property=RestartSec=1", "--property=StartLimitIntervalSec=0", *command],
        check=True,
    )  # fmt: skip


def stop(name: str) -> None:
    subprocess.run(["systemctl", "stop", unit(name)], check=False)
    subprocess.run(["systemctl", "reset-failed", unit(name)], check=False, stderr=subprocess.DEVNULL)


def main() -> None:
    LOG.parent.mkdir(exist_ok=True)
    running: dict[str, str] = {}
    while True:
        found = {p.name: p.read_text() for p in FOLDER.iterdir() if not p.name.startswith(".") and p.is_file()}
        for name in [name for name, text in running.items() if found.get(name) != text]:
            stop(name)
            del running[name]
        for name in [name for name in found if name not in running]:
            try:
                start(name, found[name])
            except Exception as error:  # noqa: BLE001 - a pod that cannot start is no end of the kubelet
                print(f"{name}: {error}", file=sys.stderr, flush=True)
            running[name] = found[name]
        time.sleep(0.2)


if __name__ == "__main__":
    main()
