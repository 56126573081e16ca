#!/bin/sh
# Tunnels are what their uplink carries, and carry it to the other machines: each line has to be true.
#   tunnels.sh UPLINK WIREGUARD NUMBER...    MTU of the uplink and of WireGuard, numbers of the other machines
set -eux
uplink=$1 wireguard=$2
shift 2

has() { # LINK KIND MTU
    ip -details link show dev "$1" | grep -q " mtu $3 "
    ip -details link show dev "$1" | grep -q "^ *$2 "
}
# Until something answers: after a boot ARP has to ask, and WireGuard shakes hands. Two that begin at once may each
# refuse the other's, and WireGuard tries again after 5 s (REKEY_TIMEOUT).
answers() { # [MORE WORDS FOR PING] ADDRESS
    tries=0
    until ping -q -c 1 -W 5 "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 12 ]
    done
}
# the largest packet that passes, 28 bytes of headers with it, and not one byte more
only() { # SIZE ADDRESS
    answers "$2"
    answers -M do -s $(($1 - 28)) "$2"
    # refused, as ping says unless it is quiet: no answer may also be a late one
    said=$(ping -M do -c 1 -W 2 -s $(($1 - 27)) "$2" 2>&1) || true
    echo "$said" | grep -qi 'message too long'
}

test "$(cat /sys/class/net/eth0/mtu)" = "$uplink"
has tunl0 ipip $((uplink - 20))
has vxlan.calico vxlan $((uplink - 50))
has wireguard.cali wireguard "$wireguard"
for number in "$@"; do
    only "$uplink" "192.0.2.1$number"
    only $((uplink - 20)) "10.233.$number.1"
    only $((uplink - 50)) "10.234.$number.1"
    only "$wireguard" "10.235.$number.1"
done
