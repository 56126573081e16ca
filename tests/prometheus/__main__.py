"""Write the rules' twin for the Prometheus operator anew: `python -m tests.prometheus`."""

from __future__ import annotations

from tests.prometheus.rules import TWIN, twin

TWIN.write_text(twin())
print(TWIN)
