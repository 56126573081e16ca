"""The first request of Calico's CNI plugin for every pod, with the kubeconfig that calico-node wrote; runs on a node.

It ends with what the plugin says where the token is refused (libcalico-go/lib/errors, ErrorConnectionUnauthorized): the
last word of that is the API server's own. Any other answer is printed.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import yaml

KUBECONFIG = Path("/etc/cni/net.d/calico-kubeconfig")
PATH = "/apis/crd.projectcalico.org/v1/clusterinformations/default"

config = yaml.safe_load(KUBECONFIG.read_text())
server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
context = ssl.create_default_context()
# the kubeconfig says insecure-skip-tls-verify
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
line = http.client.HTTPSConnection(urlsplit(server).netloc, timeout=30, context=context)
line.request("GET", PATH, headers={"Authorization": f"Bearer {token}"})
answer = line.getresponse()
told = json.loads(answer.read())
if answer.status == 401:
    raise SystemExit(f"error getting ClusterInformation: connection is unauthorized: {told['message']}")
print(told["kind"])
