"""The machines' command line: python3 -m tests.vm up|status|down, from the checkout's root."""

from __future__ import annotations

import argparse
import sys

from tests.lab.host import LabError
from tests.vm.vms import Vms


def main() -> int:
    """Exit status: 0 done, 1 not done (stderr says why), 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.vm", description="Debian in virtual machines")
    parser.add_argument("command", choices=["up", "status", "down"])
    parser.add_argument("--name", default="default", help="which machines of this checkout (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        vms = Vms(arguments.name)
        if arguments.command == "status":
            print("\n".join(vms.status()))
        else:
            getattr(vms, arguments.command)()
    except LabError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
