# Private to the collection nodeward.calico: may change in any release.
"""What the programs of ours that run on a node may not do, as lines of their units (systemd.exec(5)).

Each unit adds the capabilities and the system calls that it needs, and the folders that it writes to.
"""

from __future__ import annotations

SANDBOX = """\
NoNewPrivileges=yes
PrivateDevices=yes
PrivateNetwork=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
IPAddressDeny=any
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
"""
