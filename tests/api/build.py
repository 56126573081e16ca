"""The programs of a Kubernetes API server, in one folder: found, unpacked from a cache, or made.

Debian 12 packages etcd and kubectl, and has the source of the others, which its Go compiles. All is
unpacked below .cache: nothing is installed on this machine.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.api.archive import Archive
from tests.api.compiler import compile_programs
from tests.lab.host import LabError, locked, run

CHECKOUT = Path(__file__).resolve().parents[2]
BUILDS = CHECKOUT / ".cache/kubernetes"
SUITE = "bookworm"  # later releases have no etcd and Go of the age of their kubernetes source
SOURCE = "kubernetes"
GO = ("golang-1.19-go", "golang-1.19-src")
GOROOT = "usr/lib/go-1.19"
# What the source has inside is not for Go 1.18 and later: the first custom resource with labels or annotations would
# crash the API server (github.com/modern-go/reflect2 before 1.0.2, a map iterator of another shape).
REFLECT = "golang-github-modern-go-reflect2-dev"
REPLACED = {"github.com/modern-go/reflect2": "usr/share/gocode/src/github.com/modern-go/reflect2"}
PACKAGED = {"etcd": "etcd-server", "kubectl": "kubernetes-client"}
COMPILED = ("kube-apiserver", "kube-controller-manager")
PROGRAMS = (*PACKAGED, *COMPILED)
_DURATION = "4 minutes"
_LOCK_TIMEOUT = 1800  # seconds that another build may take
_TAR_TIMEOUT = 120  # seconds; 1 was measured


def _say(text: str) -> None:
    print(text, flush=True)


def digest() -> str:
    """Name of the recipe: changes with everything that decides what is made, this machine's kind included."""
    recipe = hashlib.sha256(
        repr((SUITE, SOURCE, GO, REFLECT, sorted(PACKAGED.items()), COMPILED, platform.machine())).encode()
    )
    recipe.update(Path(__file__).with_name("compiler.py").read_bytes())
    return recipe.hexdigest()[:12]


def ensure(builds: Path = BUILDS, say: Callable[[str], None] = _say) -> Path:
    """The folder with all PROGRAMS; KUBEBUILDER_ASSETS, as elsewhere in the field, names one that is there.

    Else they are made in `builds`, or unpacked from NODEWARD_CACHE. A build that is killed leaves a folder
    named .build-*, which the next build removes. Raises LabError.
    """
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        missing = [name for name in PROGRAMS if not os.access(Path(given) / name, os.X_OK)]
        if not missing:
            return Path(given)
        say(f"kubernetes: KUBEBUILDER_ASSETS is not used: there is no {', '.join(missing)} in {given}")
    made = builds / digest()
    if not made.is_dir():  # a finished one has its name by one rename
        with locked(builds / ".lock", "the folder of Kubernetes' programs", timeout=_LOCK_TIMEOUT):
            if not made.is_dir():
                _make(made, say)
    return made


def _make(made: Path, say: Callable[[str], None]) -> None:
    for remains in made.parent.glob(".build-*"):
        shutil.rmtree(remains)
    folder = Path(tempfile.mkdtemp(prefix=".build-", dir=made.parent))
    programs = folder / "made"
    programs.mkdir()
    try:
        tar = _cache()
        if tar and tar.exists():
            say(f"kubernetes: unpacking {tar}")
            run(["tar", "--extract", "--file", str(tar), "--directory", str(programs)], timeout=_TAR_TIMEOUT)
        else:
            say(f"kubernetes: making {', '.join(COMPILED)} from Debian's source ({_DURATION} on two idle cores)")
            _build(folder, programs, say)
            if tar:
                _keep(programs, tar, say)
        programs.rename(made)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _prune(made)


def _prune(made: Path) -> None:
    """Remove what earlier recipes made."""
    for folder in made.parent.iterdir():
        if folder.is_dir() and folder != made:
            remains = folder.with_name(f".build-{folder.name}")
            folder.rename(remains)  # a removal that is killed must not leave half of it under a good name
            shutil.rmtree(remains)


def _build(folder: Path, programs: Path, say: Callable[[str], None]) -> None:
    if shutil.which("apt-get") is None:
        raise LabError(
            "there is no apt-get here, and the programs are made from Debian's packages; "
            f"name a folder that holds {', '.join(PROGRAMS)} in KUBEBUILDER_ASSETS"
        )
    archive = Archive(folder / "apt", SUITE)
    root = folder / "root"
    archive.unpack((*PACKAGED.values(), *GO, REFLECT), root)
    for name in PACKAGED:
        (root / "usr/bin" / name).rename(programs / name)
    replaced = {package: root / path for package, path in REPLACED.items()}
    source = archive.upstream_source(SOURCE)
    compiled = compile_programs(source, root / GOROOT, folder / "go", COMPILED, replaced, say)
    for name in COMPILED:
        (compiled / name).rename(programs / name)


def _cache() -> Path | None:
    folder = os.environ.get("NODEWARD_CACHE")
    return Path(folder) / f"kubernetes-{digest()}.tar" if folder else None


def _keep(programs: Path, tar: Path, say: Callable[[str], None]) -> None:
    beside = tar.with_name(f".{tar.name}.{os.getpid()}")
    try:
        tar.parent.mkdir(parents=True, exist_ok=True)
        run(["tar", "--create", "--file", str(beside), "--directory", str(programs), "."], timeout=_TAR_TIMEOUT)
        beside.replace(tar)
    except (OSError, LabError) as error:
        beside.unlink(missing_ok=True)
        say(f"kubernetes: not kept in NODEWARD_CACHE ({error}); only the next checkout is slower for it")
