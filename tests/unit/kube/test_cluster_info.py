"""What rules know of a cluster: schedules, counts, and what a user may not read."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._kube import cluster_info
from ansible_collections.nodeward.calico.plugins.module_utils._kube.client import ApiError
from ansible_collections.nodeward.calico.plugins.module_utils._kube.cron import runs_a_day

from tests.unit.kube.fake_api import FakeApi

CRD = "/apis/crd.projectcalico.org/v1"

SCHEDULES: list[tuple[str, float | None]] = [
    ("* * * * *", 1440),
    ("*/5 * * * *", 288),
    ("0 * * * *", 24),
    ("0,30 8-17 * * *", 20),
    ("5/20 * * * *", 72),
    ("10-20/5 3 * * *", 3),
    ("0 0 * * 1-5", 5 / 7),
    ("0 0 * * MON,wed", 2 / 7),
    ("0 0 1 * *", 1 / 31),
    ("0 0 1 jan *", 1 / 31 / 12),
    ("0 0 ? * *", 1),
    ("CRON_TZ=Europe/Berlin 0 6 * * *", 1),
    ("TZ=UTC @hourly", 24),
    ("@daily", 1),
    ("@every 90s", 960),
    ("@every 1h30m", 16),
    ("@every 10ms", 86400),
    ("@every never", None),
    ("@reboot", None),
    ("61 * * * *", None),
    ("*/0 * * * *", None),
    ("5-1 * * * *", None),
    ("* * * *", None),
    ("\x00", None),
    ("", None),
]


@pytest.mark.parametrize(("schedule", "runs"), SCHEDULES, ids=[row[0] for row in SCHEDULES])
def test_how_often_a_schedule_comes_up(schedule, runs):
    told = runs_a_day(schedule)
    assert told == pytest.approx(runs) if runs else told is None


def test_either_day_will_do_where_both_are_given():
    assert runs_a_day("0 0 1 * 1") == pytest.approx(1 / 31 + 1 / 7 - 1 / 31 / 7)


def cron_job(name: str, schedule: str, suspend: bool = False, **job: Any) -> dict[str, Any]:
    spec = {"schedule": schedule, "suspend": suspend, "jobTemplate": {"spec": job}}
    return {"metadata": {"namespace": "batch", "name": name}, "spec": spec}


def test_the_busiest_come_first_and_the_suspended_not_at_all():
    told = cluster_info.told_of(
        [
            cron_job("nightly", "@daily"),
            cron_job("off", "* * * * *", suspend=True),
            cron_job("wide", "@hourly", completions=10, parallelism=2),
            cron_job("odd", "whenever"),
            *(cron_job(f"minute{number}", "* * * * *") for number in range(4)),
        ]
    )
    assert told["total"] == 7
    assert told["pods_a_day"] == 1 + 240 + 4 * 1440
    assert [each["name"] for each in told["busiest"]] == [
        "batch/minute0", "batch/minute1", "batch/minute2", "batch/minute3", "batch/wide",
    ]  # fmt: skip


class Forbidding(FakeApi):
    """Answers 403 for some paths, as RBAC does."""

    def __init__(self, *forbidden: str) -> None:
        super().__init__({f"{CRD}/clusterinformations/default": {"spec": {"calicoVersion": "v3.19.0"}}})
        self.forbidden = forbidden

    def items(self, path: str, labels: Any = None) -> list[dict[str, Any]]:
        self._refuse(path)
        return super().items(path, labels)

    def count(self, path: str) -> int | None:
        self._refuse(path)
        return super().count(path)

    def _refuse(self, path: str) -> None:
        if any(word in path for word in self.forbidden):
            raise ApiError("forbidden", path, 403)


def test_what_may_not_be_read_is_null():
    api = Forbidding("cronjobs", "/pods", "ipam")
    api.lists = {"/api/v1/nodes": [{}, {}], "/api/v1/pods": [{}], f"{CRD}/ippools": [{}]}
    assert cluster_info.observe(api) == {
        "calico": "v3.19.0", "nodes": 2, "pods": None, "calico_objects": {"ippools": 1}, "cron_jobs": None,
    }  # fmt: skip


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_cron_jobs_of_both_versions_are_found(version):
    api = FakeApi()
    api.lists[f"/apis/batch/{version}/cronjobs"] = [cron_job("one", "@hourly")]
    assert cluster_info.observe(api)["cron_jobs"]["pods_a_day"] == 24


def test_an_api_server_that_fails_is_told():
    class Failing(FakeApi):
        def count(self, path: str) -> int | None:
            raise ApiError("no", path, 500)

    with pytest.raises(ApiError):
        cluster_info.observe(Failing())
