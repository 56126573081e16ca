#!/usr/bin/python3
"""calico-node, as far as its probes and the way of its start go; runs on a node, with Python's standard library alone.

Without a flag it starts: it reads the datastore of $ETCD_ENDPOINTS, if there is one, $READS times one after another
(incident D), and from then on answers for Felix on port 9099. With flags as the manifest's probes have them it asks
that port, as calico-node does (node/pkg/health/health.go); what it would ask of BIRD is not there to be asked.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import os
import sys
from urllib.parse import urlsplit

_PORT = 9099
_PATHS = {"-felix-live": "/liveness", "-felix-ready": "/readiness"}


class Felix(http.server.BaseHTTPRequestHandler):
    """Its health port."""

    def do_GET(self) -> None:
        self.send_response(204 if self.path in _PATHS.values() else 404)
        self.end_headers()


def start() -> None:
    if os.environ.get("ETCD_ENDPOINTS"):
        walk(urlsplit(os.environ["ETCD_ENDPOINTS"]).netloc, int(os.environ["READS"]))
    http.server.HTTPServer(("", _PORT), Felix).serve_forever()


def walk(datastore: str, reads: int) -> None:
    """Read keys by etcd's gateway, on one connection as a client of etcd has it."""
    line = http.client.HTTPConnection(datastore, timeout=60)
    for number in range(reads):
        key = base64.b64encode(f"/calico/v1/host/{number}".encode()).decode()
        line.request("POST", "/v3/kv/range", json.dumps({"key": key}))
        answer = line.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"the datastore answered {answer.status}")


def ask(paths: list[str]) -> None:
    """End well where Felix says that it is."""
    for path in paths:
        line = http.client.HTTPConnection("127.0.0.1", _PORT)
        line.request("GET", path)
        status = line.getresponse().status
        if status // 100 != 2:
            raise SystemExit(f"calico/node is not well: Felix answered {status} on {path}")


if __name__ == "__main__":
    if sys.argv[1:]:
        ask([_PATHS[flag] for flag in sys.argv[1:] if flag in _PATHS])
    else:
        start()
