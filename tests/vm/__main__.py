"""The machines' command line: python3 -m tests.vm up|status|down, from the checkout's root."""

from __future__ import annotations

import argparse
import sys

from tests.lab.host import exit_status
from tests.vm.vms import Vms


def _run() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm", description="Debian in virtual machines")
    parser.add_argument("command", choices=["up", "status", "down"])
    parser.add_argument("--name", default="default", help="which machines of this checkout (default: %(default)s)")
    arguments = parser.parse_args()
    vms = Vms(arguments.name)
    if arguments.command == "status":
        print("\n".join(vms.status()))
    else:
        getattr(vms, arguments.command)()


if __name__ == "__main__":
    sys.exit(exit_status(_run, "vm"))
