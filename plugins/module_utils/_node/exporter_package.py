# Private to the collection nodeward.calico: may change in any release.
"""process_metrics where no node-exporter runs: the distribution's own is installed with consent, and removed again."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .._core import packages
from .._core.files import BYTES_SURVIVE, ENCODING
from .._core.host import Host
from .._core.packages import INSTALLED, Package
from .._core.plan import Plan
from .._core.verbs import Change, Reason, SetKey, SetPackage
from . import exporters, metrics_findings

CONSENT = "exporter_install"

# By the family of the distribution. The unit is called as the package is.
NAMES = {"debian": "prometheus-node-exporter"}

# Our programs' metrics, in the textfile folder, which goes with the package: they are no reason to keep it.
_OURS = "nodeward"


@dataclass(frozen=True)
class Facts:
    """The package; None where the node's distribution (``distribution``, for people) has none that we know.

    ``lacks`` says why nothing can be installed now. ``config`` are the texts of its configuration files, and ``added``
    files that others have put beside them: drop-ins of its unit, metrics in its textfile folder.
    """

    distribution: str
    package: Package | None = None
    lacks: str = ""
    config: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()


def observe(host: Host) -> Facts:
    """Look at the package; reads only."""
    family, distribution = packages.distribution(host)
    if family not in NAMES:
        return Facts(distribution)
    manager = packages.MANAGERS[family]
    package = manager.look(host, NAMES[family])
    if package.state is None:
        return Facts(distribution, package, manager.lacks(host))
    texts = {path: host.read_text(path) for path in package.config}
    folders = (f"/etc/systemd/system/{package.name}.service.d", exporters.OF_DEBIAN.get(package.name, ""))
    added = [posixpath.join(folder, name) for folder in folders if folder for name in host.list_folder(folder)]
    return Facts(
        distribution,
        package,
        config={path: text for path, text in texts.items() if text is not None},
        added=tuple(path for path in added if _OURS not in posixpath.basename(path)),
    )


def plan(facts: Facts, trap: str, why: str) -> Plan:
    """Decide about a node on which no exporter runs; pure."""
    package = facts.package
    if package is None:
        return _none(
            trap,
            "no node-exporter runs on it",
            f"it is {facts.distribution}, for which harden has no package to install",
        )
    if package.state is not None:
        does = "does not run" if package.state == INSTALLED else f"is {package.state}, to dpkg"
        return _none(trap, f"its package {package.name} {does}", f"see systemctl status {package.name}, and dpkg -l")
    if facts.lacks:
        return _none(trap, "no node-exporter runs on it", facts.lacks)
    reason = Reason(trap, f"no node-exporter runs on the node, and {why}", severity="info", disrupts=CONSENT)
    return Plan((SetPackage(package.name, None, INSTALLED, reason),))


def _none(trap: str, observed: str, hint: str) -> Plan:
    return Plan(findings=(metrics_findings.none(trap, observed, hint),))


def going_back(facts: Facts, changes: Sequence[Change], trap: str) -> Plan:
    """Plan the way back of the trap where a package of ours goes with it; pure.

    Its configuration is part of it, so all waits for one consent, and nothing is restarted that is then removed. It
    stays where somebody has configured it since.
    """
    removal = next((change for change in changes if isinstance(change, SetPackage)), None)
    if removal is None:
        return Plan(tuple(changes))
    theirs = (*_edited(facts, changes), *facts.added)
    if theirs:
        left = tuple(change for change in changes if change is not removal)
        return Plan(left, (metrics_findings.package_kept(trap, removal.package, theirs),))
    mine = [change for change in changes if change.reason.trap == trap and not change.follows]
    others = [change for change in changes if change.reason.trap != trap]
    return Plan((*others, *(replace(change, reason=replace(change.reason, disrupts=CONSENT)) for change in mine)))


def _edited(facts: Facts, changes: Sequence[Change]) -> list[str]:
    """Return the configuration files that are not as they came, once our own words are out of them."""
    came = facts.package.config if facts.package else {}
    ours = [change for change in changes if isinstance(change, SetKey)]
    found = []
    for path, present in facts.config.items():
        text = present
        for change in (each for each in ours if each.path == path):
            text = change.applied(text)
        if hashlib.md5(text.encode(ENCODING, BYTES_SURVIVE), usedforsecurity=False).hexdigest() != came[path]:
            found.append(path)
    return found
