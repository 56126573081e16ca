"""What is kept on the control machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.nodeward.calico.plugins.plugin_utils._report import keep

from tests.unit.report import fleets

ENDINGS = ["html", "json", "xml"]
DEFAULTS = Path(__file__).parents[3] / "roles/report/defaults/main.yml"


def test_a_dated_file_of_each_form_and_the_newest(tmp_path):
    paths = keep.keep(fleets.model(3), str(tmp_path / "a/b"), "")
    assert list(paths) == ENDINGS
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == sorted(
        name for ending in ENDINGS for name in (f"audit.{ending}", f"audit-{fleets.TIME}.{ending}")
    )
    assert (tmp_path / "a/b/audit.xml").read_text() == (tmp_path / f"a/b/audit-{fleets.TIME}.xml").read_text()
    assert json.loads((tmp_path / "a/b/audit.json").read_text()) == fleets.model(3)


def test_check_mode_has_a_name_of_its_own(tmp_path):
    keep.keep({**fleets.model(1, kind="harden"), "check_mode": True}, str(tmp_path), "")
    assert (tmp_path / "harden-check.json").exists()


def test_hostile_texts_can_be_kept(tmp_path):
    keep.keep(fleets.hostile(), str(tmp_path), "high")
    assert len(json.loads((tmp_path / "audit.json").read_text())["nodes"]) == 12


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        keep.keep(fleets.model(1), str(tmp_path / "file/below"), "")


def test_by_default_it_is_below_the_working_folder_whatever_the_environment_says(tmp_path, monkeypatch):
    folder = yaml.safe_load(DEFAULTS.read_text())["report_folder"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", "/elsewhere")
    paths = keep.keep(fleets.model(1), folder, "")
    assert paths["json"] == str(tmp_path / f"nodeward-report/audit-{fleets.TIME}.json")
    assert keep.last_audit(folder) == fleets.model(1)


def test_the_newest_audit_is_found_again(tmp_path):
    assert keep.last_audit(str(tmp_path)) is None
    keep.keep(fleets.model(3), str(tmp_path), "")
    assert keep.last_audit(str(tmp_path)) == fleets.model(3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "nodes": []}', "\x00"])
def test_what_is_no_audit_of_ours_is_passed_over(tmp_path, text):
    (tmp_path / "audit.json").write_text(text)
    assert keep.last_audit(str(tmp_path)) is None
