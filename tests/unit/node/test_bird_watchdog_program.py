"""The daemon of bird_watchdog as a node gets it: one file, made of its parts, that runs by itself."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_decision import Config
from ansible_collections.nodeward.calico.plugins.module_utils._node.bird_watchdog_files import PARTS, program

from tests.unit.node.fake_birds import Birds, replies, wait_for
from tests.unit.node.watched_birds import INTERVAL, THRESHOLD, config, metric


def own(tree: ast.Module) -> list[str]:
    """Return what a file says beside its imports, a statement each."""
    return [ast.dump(each) for each in tree.body if not isinstance(each, (ast.Import, ast.ImportFrom))]


def test_it_is_what_the_tests_import():
    whole = ast.parse(program())
    assert own(whole) == [each for part in PARTS for each in own(ast.parse(inspect.getsource(part)))]
    named = [each.name for each in whole.body if isinstance(each, (ast.FunctionDef, ast.ClassDef))]
    named += [name.id for each in whole.body if isinstance(each, ast.Assign)
              for name in ast.walk(each.targets[0]) if isinstance(name, ast.Name)]  # fmt: skip
    assert len(named) == len(set(named)), "one part would take a name from another"


def test_it_needs_nothing_but_the_standard_library_of_python_3_9():
    whole = ast.parse(program(), feature_version=(3, 9))
    imports = [each for each in ast.walk(whole) if isinstance(each, (ast.Import, ast.ImportFrom))]
    assert {each.level for each in imports if isinstance(each, ast.ImportFrom)} == {0}
    modules = {each.module for each in imports if isinstance(each, ast.ImportFrom)}
    modules |= {name.name for each in imports if isinstance(each, ast.Import) for name in each.names}
    assert {str(name).partition(".")[0] for name in modules} <= sys.stdlib_module_names


# With bounds that a test can wait for.
MAIN = """
import sys
sys.path.insert(0, sys.argv[1])
import bird_watchdog as daemon
daemon.BOUNDS.clear()
daemon.main(sys.argv[2])
"""


class Service:
    """The daemon as systemd runs it."""

    def __init__(self, birds: Birds, given: Config) -> None:
        self.path = birds.folder / "config.json"
        self.write(given)
        self.notified = self._listen(birds.folder / "notify")
        self.journal = self._listen(birds.folder / "journal")
        environment = {**os.environ, "NOTIFY_SOCKET": str(birds.folder / "notify")}
        (birds.folder / "bird_watchdog.py").write_text(program())
        command = [sys.executable, "-I", "-S", "-c", MAIN, str(birds.folder), str(self.path)]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.notified.recv(100) == b"READY=1"

    def write(self, given: Config) -> None:
        self.path.write_text(json.dumps(given._asdict()))

    @staticmethod
    def _listen(path: Path) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.bind(str(path))
        made.settimeout(20)
        return made

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.notified.close()
        self.journal.close()


@pytest.fixture
def service(birds: Birds) -> Iterator[Service]:
    birds.say(replies(""))
    made = Service(birds, config(birds))
    try:
        yield made
    finally:
        made.end()


def test_the_daemon_as_a_service(birds: Birds, service: Service):
    busy = birds.start()
    assert service.notified.recv(100) == b"WATCHDOG=1"
    service.notified.close()  # nobody listens any more: no reason to stop
    entry: dict[str, str] = {}
    while entry.get("NODEWARD_EVENT") != "held_back":
        entry = dict(line.split("=", 1) for line in service.journal.recv(1 << 16).decode().splitlines())
    assert entry["PRIORITY"] == "2"
    assert entry["SYSLOG_IDENTIFIER"] == "nodeward-bird-watchdog"
    assert entry["MESSAGE"].startswith(f"bird[{busy.pid}] is not killed: no_graceful_restart")
    assert entry["NODEWARD_DAEMON"] == "bird"
    assert float(entry["NODEWARD_SHARE"]) >= THRESHOLD
    assert entry["NODEWARD_PEERS"] == "Mesh_0"

    for text in ("{", "", "[]", '{"mode": "OBSERVE\\nnow"}', '{"daily_limit": true}', '{"events": "/a\\u0000b"}'):
        service.path.write_text(text)
        service.process.send_signal(signal.SIGHUP)
        assert service.process.stderr is not None
        assert f"stays as it was: {service.path}: " in service.process.stderr.readline()  # a line each
    assert busy.poll() is None

    birds.mark("calm")  # so that the next kill is weighed at once
    wait_for(lambda: metric(birds, "state", 'daemon="bird",state="calm"') == 1)
    service.write(config(birds, kill_without_graceful_restart=True))
    service.process.send_signal(signal.SIGHUP)
    birds.mark("calm", there=False)
    wait_for(lambda: busy.poll() is not None)

    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(10) == 0
    assert not (birds.folder / "metrics.prom").exists(), "the next one may write elsewhere"


def test_many_a_reload_does_not_stop_the_samples(service: Service):
    deadline = time.monotonic() + 20 * INTERVAL
    service.notified.setblocking(False)
    count = 0
    while time.monotonic() < deadline:
        service.process.send_signal(signal.SIGHUP)
        time.sleep(INTERVAL / 10)
        with contextlib.suppress(BlockingIOError):
            count += service.notified.recv(100) == b"WATCHDOG=1"
    assert count >= 4


def test_a_bad_configuration_at_the_start_is_an_error(tmp_path: Path):
    (tmp_path / "bird_watchdog.py").write_text(program())
    command = [sys.executable, "-I", "-S", str(tmp_path / "bird_watchdog.py"), str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    [line] = done.stderr.splitlines()
    assert (done.returncode, "No such file or directory" in line) == (1, True)
