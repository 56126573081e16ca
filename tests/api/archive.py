"""Packages and sources of a Debian release, by way of this machine's mirrors but not of its apt's state."""

from __future__ import annotations

from pathlib import Path

from tests.lab import apt
from tests.lab.host import LabError, run

_TIMEOUT = 600  # seconds for one download; all of them took 4


class Archive:
    """One release (suite) as apt sees it in `folder`: lists, cache and status of its own.

    /etc/apt gives the mirrors, their keys and the proxies. What is installed here, and which release this
    machine has, makes no difference.
    """

    def __init__(self, folder: Path, suite: str) -> None:
        self._folder = folder
        entries = apt.sources(suite)
        if not entries:
            raise LabError(
                f"apt on this machine names no Debian mirror, so nothing of {suite} can be had; "
                "name the folder of Kubernetes' programs in KUBEBUILDER_ASSETS"
            )
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        source_entries = "".join(f"deb-src{line.removeprefix('deb')}\n" for line in entries.splitlines())
        (folder / "sources.list").write_text(entries + source_entries)
        self._apt_get("update", cwd=folder)

    def unpack(self, packages: tuple[str, ...], into: Path) -> None:
        """Unpack packages as dpkg would, without installing them: none of their services starts here."""
        downloads = self._folder / "packages"
        self.download(packages, downloads)
        for package in packages:
            for path in downloads.glob(f"{package}_*.deb"):
                run(["dpkg-deb", "--extract", str(path), str(into)], timeout=_TIMEOUT)

    def download(self, packages: tuple[str, ...], into: Path) -> None:
        """Fetch packages into a folder."""
        into.mkdir(exist_ok=True)
        self._apt_get("download", *packages, cwd=into)

    def upstream_source(self, name: str) -> Path:
        """The tar file of a source package as upstream made it, without Debian's patches."""
        downloads = self._folder / f"source-{name}"
        downloads.mkdir()
        self._apt_get("source", "--only-source", "--download-only", "--tar-only", name, cwd=downloads)
        found = list(downloads.glob(f"{name}_*.orig.tar.*"))
        if len(found) != 1:
            raise LabError(f"the source package {name} has {len(found)} upstream tar files, and should have one")
        return found[0]

    def _apt_get(self, *words: str, cwd: Path) -> None:
        settings = {
            "Dir::Etc::SourceList": self._folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": self._folder / "lists",
            "Dir::State::Status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
            "APT::Sandbox::User": "root",  # its own user may not be let into a checkout
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        run(["setpriv", "--pdeathsig", "KILL", "apt-get", "-qq", *options, *words], cwd=cwd, timeout=_TIMEOUT)
