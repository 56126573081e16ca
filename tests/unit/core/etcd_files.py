"""Files in which etcd's settings stand, as kubeadm, kubespray, Debian's package and k3s have them."""

from __future__ import annotations

BEAT = "heartbeat-interval"

# As kubespray's template writes it, and Debian's package.
KUBESPRAY = """\
# Environment file for etcd 3.5.21
ETCD_DATA_DIR=/var/lib/etcd
ETCD_NAME=etcd1
ETCD_HEARTBEAT_INTERVAL=100
ETCD_ELECTION_TIMEOUT=1000

# CLI settings
ETCDCTL_ENDPOINTS=https://127.0.0.1:2379
"""
DEBIAN = """\
## etcd(1) daemon options
#ETCD_HEARTBEAT_INTERVAL="100"
ETCD_NAME="node1"
DAEMON_ARGS="--election-timeout=1000"
"""

UNIT = """\
[Unit]
Description=etcd
[Service]
Type=notify
ExecStart=/usr/local/bin/etcd \\
  --name=etcd1 \\
  --heartbeat-interval=100 \\
  --data-dir /var/lib/etcd
Restart=always
"""

# As kubeadm writes it (cmd/kubeadm/app/phases/etcd/local.go), shortened.
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/etcd.advertise-client-urls: https://10.0.0.1:2379
  creationTimestamp: null
  labels:
    component: etcd
    tier: control-plane
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - etcd
    # ours, see the runbook
    - --advertise-client-urls=https://10.0.0.1:2379
    - --data-dir=/var/lib/etcd
    - --heartbeat-interval=100
    - --name=node1
    - --snapshot-count=10000
    image: registry.k8s.io/etcd:3.5.21-0
    imagePullPolicy: IfNotPresent
    livenessProbe:
      failureThreshold: 8
      httpGet:
        host: 127.0.0.1
        path: /livez
        port: probe-port
    name: etcd
    resources:
      requests:
        cpu: 100m
    volumeMounts:
    - mountPath: /var/lib/etcd
      name: etcd-data
  hostNetwork: true
status: {}
"""

K3S = """\
write-kubeconfig-mode: "0644"
etcd-arg:
  - "heartbeat-interval=500" # slow disks
  - quota-backend-bytes=4294967296
tls-san:
  - k3s.example
"""
