"""Programs of Kubernetes from upstream's source, which has all its dependencies inside."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.lab.host import LabError, run

_TIMEOUT = 1500  # seconds; 140 were measured on two idle cores
_MOST_JOBS = 4  # compilers at once; one takes up to 1 GiB
_PACKAGE = "k8s.io/kubernetes"
# cmd/kube-apiserver does not compile before this is generated (build/root/Makefile.generated_files, which also
# has the rule which packages go in).
_OPENAPI = "pkg/generated/openapi"
_OPENAPI_TAG = b"+k8s:openapi-gen="
_NOT_IN_OPENAPI = {"code-generator", "sample-apiserver", "testdata"}


def compile_programs(
    tar: Path,
    goroot: Path,
    folder: Path,
    programs: tuple[str, ...],
    replaced: Mapping[str, Path],
    say: Callable[[str], None],
) -> Path:
    """Compile cmd/NAME for each program, in `folder`; returns the folder that then holds them.

    replaced: folders that are used instead of a package that the source has inside, by that package's name.
    """
    gopath, out = folder / "gopath", folder / "programs"
    tree = gopath / "src" / _PACKAGE
    for new in (tree, out, folder / "tmp"):
        new.mkdir(parents=True)
    run(["tar", "--extract", "--file", str(tar), "--directory", str(tree), "--strip-components=1"], timeout=_TIMEOUT)
    for package, instead in replaced.items():
        shutil.rmtree(tree / "vendor" / package)
        shutil.copytree(instead, tree / "vendor" / package)
    jobs = min(len(os.sched_getaffinity(0)), _MOST_JOBS)
    settings = {
        "PATH": f"{goroot / 'bin'}:{os.defpath}",
        "HOME": folder,
        "GOROOT": goroot,
        "GOPATH": gopath,
        "GOCACHE": folder / "gocache",
        "GOTMPDIR": folder / "tmp",
        "GOMAXPROCS": jobs,
        "GO111MODULE": "off",  # the source lies below GOPATH, as where Debian builds it
        "CGO_ENABLED": "0",  # then there is no need of a C compiler
    }
    prefix = ["setpriv", "--pdeathsig", "KILL", "env", "-i", *(f"{name}={value}" for name, value in settings.items())]
    build = [*prefix, "go", "build", "-trimpath", "-ldflags", _linker_flags(tar)]
    generator = out / "openapi-gen"
    run([*build, "-o", str(generator), _vendored("kube-openapi/cmd/openapi-gen")], cwd=tree, timeout=_TIMEOUT)
    run([*prefix, str(generator), *_openapi_flags(tree, gopath)], cwd=tree, timeout=_TIMEOUT)
    for program in programs:
        say(f"kubernetes: compiling {program}")
        run([*build, "-o", str(out / program), f"{_PACKAGE}/cmd/{program}"], cwd=tree, timeout=_TIMEOUT)
    return out


def _vendored(package: str) -> str:
    return f"{_PACKAGE}/vendor/k8s.io/{package}"


def _linker_flags(tar: Path) -> str:
    """The version, which is in no file of the source, in both packages that have it (hack/lib/version.sh)."""
    match = re.search(r"(\d+)\.(\d+)\.(\d+)\.orig\.tar", tar.name)
    if not match:
        raise LabError(f"{tar.name} does not end in a version such as 1.20.2")
    values = {"gitVersion": f"v{'.'.join(match.groups())}", "gitMajor": match[1], "gitMinor": match[2]}
    packages = (_vendored("component-base/version"), _vendored("client-go/pkg/version"))
    return " ".join(["-s -w", *(f"-X {package}.{name}={values[name]}" for package in packages for name in values)])


def _openapi_flags(tree: Path, gopath: Path) -> list[str]:
    folders = set()
    for top, package in ((tree / "staging/src", f"{_PACKAGE}/vendor"), (tree / "pkg", f"{_PACKAGE}/pkg")):
        for path in top.rglob("*.go"):
            inside = path.parent.relative_to(top)
            if not _NOT_IN_OPENAPI.intersection(inside.parts) and _OPENAPI_TAG in path.read_bytes():
                folders.add(f"{package}/{inside}")
    return [
        "--output-file-base", "zz_generated.openapi",
        "--output-base", str(gopath / "src"),
        "--output-package", f"{_PACKAGE}/{_OPENAPI}",
        "--go-header-file", "hack/boilerplate/boilerplate.generatego.txt",
        "--report-filename", os.devnull,
        "--input-dirs", ",".join(sorted(folders)),
    ]  # fmt: skip
