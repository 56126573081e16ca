"""The lab's command line: python3 -m tests.lab COMMAND, from the checkout's root."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from tests.lab import registry
from tests.lab.host import LabError, exit_status, require
from tests.lab.lab import Lab, remove


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default="default", help="which lab of this checkout (default: %(default)s)")
    common.add_argument("--nodes", type=int, default=3, help="how many nodes `up` makes (default: %(default)s)")
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description="Debian nodes in containers")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[common], help="bring the lab up; reuses what runs")
    up.add_argument("--etcd", action="store_true", help="with a cluster of etcd on its first three nodes")
    up.add_argument("--api", action="store_true", help="with a Kubernetes API server and Calico's objects in it")
    down = commands.add_parser("down", parents=[common], help="remove it (the image stays)")
    down.add_argument("names", nargs="*", metavar="NAME", help="labs of this checkout, in place of --name")
    down.add_argument("--id", help="one whose checkout was moved or deleted; `status --all` shows ids")
    status = commands.add_parser("status", parents=[common], help="one line per node")
    status.add_argument("--all", action="store_true", help="all labs of this machine, one line each")
    reset = commands.add_parser("reset", parents=[common], help="a fresh disk, booted (all nodes if none is named)")
    reset.add_argument("node", nargs="*")
    for name, text in (("stop", "shut a node down, keep its disk"), ("start", "boot a stopped node")):
        commands.add_parser(name, parents=[common], help=text).add_argument("node")
    execute = commands.add_parser("exec", parents=[common], help="run a command on a node: exec NODE -- COMMAND")
    execute.add_argument("node")
    execute.add_argument("words", nargs="*", metavar="COMMAND", help="a shell, where there is none")
    return parser


def _exec(lab: Lab, node: str, words: list[str]) -> None:
    ssh = lab.ssh_command(node)
    if sys.stdin.isatty() and sys.stdout.isatty():
        ssh.insert(1, "-t")
    sys.exit(subprocess.run(ssh + ([shlex.join(words)] if words else []), check=False).returncode)


def _remove_id(lab_id: str) -> None:
    require("ip")
    entry = registry.entries().get(lab_id)
    if entry is None:
        raise LabError(f"no lab {lab_id} on this machine; it has: {', '.join(registry.entries()) or 'none'}")
    remove(lab_id)
    folder = Path(entry["checkout"]) / ".lab" / entry["name"]
    if folder.exists():
        print(f"its files are still in {folder}")


def _have_etcd(lab: Lab) -> None:
    from tests.lab.etcd import Etcd  # noqa: PLC0415 - needs cryptography, the rest does not

    made = Etcd(lab, lab.folder / "etcd").ensure()
    print(
        f"lab {lab.name}: etcd: {'made a new cluster of 3 members, empty' if made else 'reused the cluster'}",
        flush=True,
    )


def _have_api(lab: Lab) -> None:
    from tests.api import build  # noqa: PLC0415 - as above
    from tests.lab.cluster import Cluster  # noqa: PLC0415

    cluster = Cluster(lab)
    try:
        build.ensure()  # here, so that its progress is seen
    except LabError as error:
        cluster.down()
        print(f"lab {lab.name}: no API server, so the cluster's side is left out: {error}", flush=True)
        return
    made = cluster.ensure()
    print(f"lab {lab.name}: Kubernetes API server: {'made' if made else 'reused'}", flush=True)


def _bring_up(lab: Lab, wanted: argparse.Namespace) -> None:
    lab.up()
    if wanted.etcd:
        _have_etcd(lab)
    if wanted.api:
        _have_api(lab)


def _act(arguments: argparse.Namespace) -> None:
    lab = Lab(arguments.name, arguments.nodes)
    if arguments.command == "down" and arguments.id:
        _remove_id(arguments.id)
    elif arguments.command == "status" and arguments.all:
        for lab_id, entry in registry.entries().items():
            gone = "" if Path(entry["checkout"]).exists() else "  (checkout is gone)"
            print(f"{lab_id}  {entry['checkout']}  {entry['name']}  {entry['nodes']} nodes  {entry['subnet']}{gone}")
    elif arguments.command == "status":
        print("\n".join(lab.status()))
    elif arguments.command == "exec":
        _exec(lab, arguments.node, arguments.words)
    elif arguments.command == "reset":
        lab.reset(*arguments.node)
    elif arguments.command in ("stop", "start"):
        getattr(lab, arguments.command)(arguments.node)
    elif arguments.command == "down":
        for name in arguments.names or [arguments.name]:
            Lab(name).down()
    else:
        _bring_up(lab, arguments)


def _run() -> None:
    words = sys.argv[1:]
    # argparse gives up on "exec NODE --name NAME -- COMMAND": what follows the dashes is taken off first.
    split = words.index("--") if "--" in words else len(words)
    arguments = _parser().parse_args(words[:split])
    if words[split + 1 :]:
        arguments.words = words[split + 1 :]
    _act(arguments)


if __name__ == "__main__":
    sys.exit(exit_status(_run, "lab"))
