"""Headless Chromium, told what to do over two pipes (its DevTools protocol), without a driver in between."""

from __future__ import annotations

import itertools
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE = 30.0  # seconds for one answer; a slow machine starts Chromium in about ten
# Chromium reads commands from file 3 and writes answers to file 4, each ended by a NUL.
_COMMANDS, _ANSWERS = 3, 4
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip


class Chromium:
    """One browser with one tab. ``complaints`` are the console's errors and warnings, and what was not handled."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nodeward-chromium-", ignore_cleanup_errors=True)
        command = ["chromium", *_OPTIONS, f"--user-data-dir={self._folder.name}", "about:blank"]
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        self._process = _start(command, theirs_in, theirs_out)
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = ""
        self.complaints: list[str] = []
        self.requested: list[str] = []
        [tab] = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=tab["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Performance.enable", timeDomain="threadTicks")

    def close(self) -> None:
        """End the browser and all that it started."""
        os.close(self._to)  # it ends when nobody can tell it anything any more
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)
        self._folder.cleanup()

    def open(self, page: Path, width: int = 1400, height: int = 1000) -> float:
        """Open a page from disk; return the seconds that its thread computed until it was drawn."""
        self.complaints, self.requested = [], []
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        begin = time.monotonic()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while self.value("document.readyState === 'complete' && document.documentElement.dataset.drawn") is None:
            if time.monotonic() > begin + PATIENCE:
                raise TimeoutError(f"{page} was not drawn: {self.complaints}")
            time.sleep(0.02)
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        return self._computed()

    def _computed(self) -> float:
        """Return what the page's thread has computed since the page was asked for."""
        metrics = self.call("Performance.getMetrics")["metrics"]
        [seconds] = [float(metric["value"]) for metric in metrics if metric["name"] == "TaskDuration"]
        return seconds

    def value(self, expression: str) -> Any:
        """Return what an expression comes to in the page, None for what is no value."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        value = result["result"].get("value")
        return None if value is False else value

    def press(self, *keys: str) -> None:
        """Press keys, one after the other: a character, or a name such as ArrowDown."""
        codes = {"Enter": "\r", "Tab": "\t"}
        for key in keys:
            text = codes.get(key, key if len(key) == 1 else "")
            of_the_key = {"Tab": 9, "Enter": 13, "Escape": 27}.get(key, 0)
            for kind in ("keyDown", "keyUp"):
                self.call(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    key=key,
                    text=text if kind == "keyDown" else "",
                    windowsVirtualKeyCode=of_the_key,
                )

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come before it are noted."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == number:
                if "error" in told:
                    raise AssertionError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
            self._note(told)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], PATIENCE)[0]:
                raise TimeoutError("Chromium does not answer")
            piece = os.read(self._from, 1 << 20)
            if not piece:
                raise EOFError("Chromium has ended")
            self._rest += piece
        line, _nul, self._rest = self._rest.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        return told

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(params["args"]))
        elif event["method"] == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])


def _start(command: Sequence[str], commands: int, answers: int) -> subprocess.Popen[bytes]:
    # the shell puts the pipes where Chromium looks for them
    places = f'exec "$@" {_COMMANDS}<&{commands} {_ANSWERS}>&{answers}'
    return subprocess.Popen(
        ["/bin/bash", "-c", places, "chromium", *command],
        pass_fds=(commands, answers),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
