#!/bin/sh
# Everything a run could change on a machine and a boot bring back, as find, sha256sum, /proc, /sys, ip and systemctl show it.
# With ansible.builtin.script all is said on one terminal: a file that vanishes meanwhile would be a line of its own.
exec 2>/dev/null

places="/etc /root /usr/local /usr/lib/sysctl.d /usr/lib/systemd/system /var/lib"
own="systemd dpkg apt etcd NetworkManager" # folders in /var/lib that their owners write to by themselves

skip=$(printf -- '-path /var/lib/%s -o ' $own)
# shellcheck disable=SC2086 # lists of words
find $places \( $skip -path /root/.ansible \) -prune -o -printf '%p %y %m %U %G %l\n' | sort

# shellcheck disable=SC2086
find $places \( $skip -path /root/.ansible \) -prune -o -type f -exec sha256sum -- {} + | sort -k 2

grep . /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max /sys/class/net/*/mtu
ip -4 -brief address show | awk '{$2 = ""; print}' | sort # without the state of the link
systemctl --no-pager list-units --all --plain --no-legend 'nodeward*'
systemctl --no-pager list-unit-files --no-legend 'nodeward*'
systemctl --no-pager list-units --failed --plain --no-legend | sort
# of all threads, however many there are just now
for process in $(pgrep -x etcd); do
    for thread in $(ls "/proc/$process/task"); do
        ionice -p "$thread"
    done
done | sort -u
exit 0
