#!/bin/sh
# What outlives a boot, read on the machine itself: each line has to be true. Prints the name of the boot.
#   booted.sh MANAGER HAS_ETCD
set -eux
manager=$1 has_etcd=$2

# the limits, above the file that causes incident B, and what memory carries
test "$(cat /proc/sys/kernel/pid_max)" = 4194304
memory=$(awk '$1 == "MemTotal:" {print $2}' /proc/meminfo)
test "$(cat /proc/sys/kernel/threads-max)" = $((memory * 1024 / 2 / 32768))
grep -qx 'kernel.pid_max = 4194304' /etc/sysctl.d/99-zz-nodeward-pid_limits.conf
grep -qx 'kernel.pid_max = 49152' /etc/sysctl.d/60-incident-b.conf

# the uplink, as its manager sets it at boot, with all else that it had
case $manager in
networking) grep -qE '^ +mtu 1460$' /etc/network/interfaces ;;
NetworkManager) grep -qx 'mtu=1460' /etc/NetworkManager/system-connections/eth0.nmconnection ;;
systemd-networkd) grep -qx 'MTUBytes=1460' /etc/systemd/network/10-eth0.network.d/99-zz-nodeward-link_mtu.conf ;;
netplan)
    grep -qx ' *mtu: 1460' /etc/netplan/99-zz-nodeward-link_mtu.yaml
    grep -qx 'MTUBytes=1460' /run/systemd/network/10-netplan-uplink.*
    ;;
esac
systemctl --quiet is-active "$(echo "$manager" | sed s/^netplan$/systemd-networkd/)"
test "$(cat /sys/class/net/eth0/mtu)" = 1460
ip -4 address show dev eth0 | grep -q 'inet 192.0.2.1'
ip route show default | grep -q '^default via 192.0.2.1 dev eth0'

# the watchdog
systemctl --quiet is-active nodeward-bird-watchdog
systemctl --quiet is-enabled nodeward-bird-watchdog

# etcd goes before others at the disk, with all its threads
if [ "$has_etcd" = True ]; then
    process=$(pgrep -x etcd)
    threads=$(ls "/proc/$process/task")
    test "$(echo "$threads" | wc -l)" -gt 2
    for thread in $threads; do
        test "$(ionice -p "$thread")" = 'best-effort: prio 0'
    done
fi

cat /proc/sys/kernel/random/boot_id
