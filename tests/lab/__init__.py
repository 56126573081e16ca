"""The lab: Debian nodes that boot systemd in containers on this machine; see README.md beside this file."""

from tests.lab.host import LabError
from tests.lab.lab import Lab

__all__ = ["Lab", "LabError"]
