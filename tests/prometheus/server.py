"""A real Prometheus on this machine, with the alert rules, that scrapes one target every three seconds."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.prometheus import programs
from tests.prometheus.rules import RULES


class Prometheus:
    """Answers queries; before it listens it has no answer to any."""

    def __init__(self, address: str) -> None:
        self._address = address

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression now, as its API gives them."""
        words = urlencode({"query": expression})
        try:
            with urlopen(f"http://{self._address}/api/v1/query?{words}", timeout=10) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return []
        assert isinstance(found, list)
        return found

    def value(self, expression: str) -> float:
        """The value of its one series, once it has one: the last scrape of a busy node may have failed."""
        deadline = time.monotonic() + 60
        while not (found := self.query(expression)):
            assert time.monotonic() < deadline, f"no value: {expression}"
            time.sleep(0.2)
        [series] = found
        return float(series["value"][1])


@contextmanager
def scraping(target: str, folder: Path) -> Iterator[Prometheus]:
    """Run one below ``folder`` that scrapes ``target`` (ADDRESS:PORT)."""
    every = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"}
    jobs = [{"job_name": "node", "static_configs": [{"targets": [target]}]}]
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": every, "rule_files": [str(RULES)], "scrape_configs": jobs}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    data = f"--storage.tsdb.path={folder / 'data'}"
    words = [f"--config.file={config}", data, f"--web.listen-address={address}", "--log.level=warn"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([programs.prometheus(), *words], stdout=log, stderr=log, cwd=folder)
        try:
            yield Prometheus(address)
        finally:
            process.terminate()
            process.wait(timeout=60)
            print((folder / "log").read_text())
