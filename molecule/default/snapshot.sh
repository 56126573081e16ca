#!/bin/sh
# Everything a run could change on a node, as find, sha256sum, sysctl and ip show it.
skip="-path /var/lib/systemd -o -path /var/lib/dpkg -o -path /root/.ansible"

# shellcheck disable=SC2086 # a list of words
find /etc /root /usr /var/lib /opt /boot /home \( $skip \) -prune -o -printf '%p %y %m %U %G %l\n' | sort

# shellcheck disable=SC2086
find /etc /root /usr/local /usr/lib/sysctl.d /usr/lib/systemd /var/lib \( $skip \) -prune -o -type f -exec sha256sum -- {} + |
    sort -k 2

# not what the kernel counts and draws by itself
own='^(fs\.(quota\.|dentry-state|inode-|file-nr|aio-nr|mount-nr)|kernel\.(random\.|ns_last_pid|pty\.nr|sched_domain)'
own="$own|net\.netfilter\.nf_conntrack_count|net\.ipv4\.tcp_mem)"
sysctl --all 2>/dev/null | grep -Ev "$own" | sort

systemctl --no-pager list-units --all --plain --no-legend 'nodeward*'
systemctl --no-pager list-unit-files --no-legend 'nodeward*'
find /var/log -name '*nodeward*' | sort

ip -detail link show
ip address show
ip route show table all
