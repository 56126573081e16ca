"""The Node object of the kubelet's stand-in: made where there is none, Ready every 5 s."""

import base64
import datetime
import http.client
import json
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_INTERVAL = 5  # seconds
_PATCH = "application/strategic-merge-patch+json"


class RefusedError(Exception):
    """What the API server said other than yes."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text[:200]}")
        self.code = code


_TROUBLE = (OSError, ValueError, LookupError, TypeError, http.client.HTTPException, yaml.YAMLError, RefusedError)


def keep_ready(given: Mapping[str, str], configuration: Mapping[str, Any]) -> None:
    """Until the process ends. Whatever fails (no file yet, no server yet) is said once and tried again."""
    name = given.get("hostname-override") or socket.gethostname()
    said = ""
    while True:
        try:
            _update(_Server(given["kubeconfig"]), name, configuration)
            now = f"Successfully registered node node={name}"
        except _TROUBLE as error:
            now = f"Unable to register node with API server, retrying node={name} err={error!r}"
        if now != said:
            print(now, flush=True)
            said = now
        time.sleep(_INTERVAL)


class _Server:
    """The API server that a kubeconfig's current context names, with its token or client certificate."""

    def __init__(self, kubeconfig: str) -> None:
        data = yaml.safe_load(Path(kubeconfig).read_text())
        current = data["current-context"]
        [context] = [entry["context"] for entry in data["contexts"] if entry["name"] == current]
        [cluster] = [entry["cluster"] for entry in data["clusters"] if entry["name"] == context["cluster"]]
        [user] = [entry["user"] for entry in data["users"] if entry["name"] == context["user"]]
        self._url = urlsplit(cluster["server"])
        self._token = user.get("token") or (Path(user["tokenFile"]).read_text().strip() if "tokenFile" in user else "")
        self._tls = ssl.create_default_context()
        if cluster.get("insecure-skip-tls-verify"):
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        with tempfile.TemporaryDirectory() as folder:
            authority = _file(cluster, "certificate-authority", folder)
            if authority:
                self._tls.load_verify_locations(authority)
            certificate = _file(user, "client-certificate", folder)
            if certificate:
                self._tls.load_cert_chain(certificate, _file(user, "client-key", folder))

    def call(self, method: str, path: str, body: object, kind: str = "application/json") -> None:
        """One request; RefusedError unless the answer is 2xx."""
        headers = {"Content-Type": kind, "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        connection = self._connection()
        try:
            connection.request(method, self._url.path.rstrip("/") + path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status // 100 != 2:
            raise RefusedError(answer.status, text)

    def _connection(self) -> http.client.HTTPConnection:
        if self._url.scheme == "http":
            return http.client.HTTPConnection(self._url.netloc, timeout=_INTERVAL)
        return http.client.HTTPSConnection(self._url.netloc, timeout=_INTERVAL, context=self._tls)


def _update(server: _Server, name: str, configuration: Mapping[str, Any]) -> None:
    status = {"status": _status(configuration)}
    path = f"/api/v1/nodes/{name}"
    try:
        server.call("PATCH", f"{path}/status", status, _PATCH)
    except RefusedError as refused:
        if refused.code != 404:
            raise
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        server.call("POST", "/api/v1/nodes", node)
        server.call("PATCH", f"{path}/status", status, _PATCH)


def _status(configuration: Mapping[str, Any]) -> dict[str, object]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    memory = Path("/proc/meminfo").read_text().split()[1]
    capacity = {
        "cpu": str(os.cpu_count()),
        "memory": f"{memory}Ki",
        "pods": str(configuration.get("maxPods") or 110),
    }
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": now,
    }
    return {"conditions": [ready], "capacity": capacity, "allocatable": capacity}


def _file(entry: Mapping[str, str], key: str, folder: str) -> str | None:
    """The path that a kubeconfig names, or its data as a file in the folder; None where it has neither."""
    if entry.get(f"{key}-data"):
        path = Path(folder, key)
        path.write_bytes(base64.b64decode(entry[f"{key}-data"]))
        return str(path)
    return entry.get(key)
