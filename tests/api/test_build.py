"""Where the programs come from, and what a broken place does; the build itself is what all other tests run on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.api import build
from tests.lab import LabError

said: list[str] = []


@pytest.fixture(autouse=True)
def _own_places(monkeypatch):
    said.clear()
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.delenv("NODEWARD_CACHE", raising=False)


def _fill(folder: Path, names: tuple[str, ...] = build.PROGRAMS) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch(0o755)
    return folder


def _pack(cache: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    cache.mkdir()
    tar = cache / f"kubernetes-{build.digest()}.tar"
    subprocess.run(["tar", "-cf", str(tar), "-C", str(folder), "."], check=True)
    monkeypatch.setenv("NODEWARD_CACHE", str(cache))
    return tar


def test_folder_of_the_environment_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(_fill(tmp_path / "assets")))
    assert build.ensure(tmp_path / "builds", said.append) == tmp_path / "assets"
    assert not (tmp_path / "builds").exists()


def test_incomplete_folder_is_named_and_the_cache_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(_fill(tmp_path / "assets", ("etcd", "kubectl", "kube-apiserver"))))
    tar = _pack(tmp_path / "cache", monkeypatch, _fill(tmp_path / "programs"))
    made = build.ensure(tmp_path / "builds", said.append)
    assert sorted(path.name for path in made.iterdir()) == sorted(build.PROGRAMS)
    assert said == [
        f"kubernetes: KUBEBUILDER_ASSETS is not used: there is no kube-controller-manager in {tmp_path / 'assets'}",
        f"kubernetes: unpacking {tar}",
    ]


def test_remains_and_earlier_recipes_go_and_a_second_call_does_nothing(tmp_path, monkeypatch):
    _pack(tmp_path / "cache", monkeypatch, _fill(tmp_path / "programs"))
    remains = tmp_path / "builds/.build-killed/go"
    remains.mkdir(parents=True)
    _fill(tmp_path / "builds/0123456789ab")
    made = build.ensure(tmp_path / "builds", said.append)
    said.clear()
    assert build.ensure(tmp_path / "builds", said.append) == made
    assert said == []
    assert {path.name for path in made.parent.iterdir()} == {".lock", made.name}


def test_broken_cache_leaves_no_half_folder(tmp_path, monkeypatch):
    tar = _pack(tmp_path / "cache", monkeypatch, _fill(tmp_path / "programs"))
    tar.write_bytes(b"no tar")
    with pytest.raises(LabError, match=f"--file {tar}"):
        build.ensure(tmp_path / "builds", said.append)
    assert [path.name for path in (tmp_path / "builds").iterdir()] == [".lock"]


def test_machine_without_apt_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match=r"name a folder that holds etcd, kubectl, kube-.* in KUBEBUILDER_ASSETS"):
        build.ensure(tmp_path / "builds", said.append)
