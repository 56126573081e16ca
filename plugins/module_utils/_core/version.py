# Private to the collection nodeward.calico: may change in any release.
"""Which release of the collection this is, where galaxy.yml does not travel to."""

from __future__ import annotations

VERSION = "0.1.0"
