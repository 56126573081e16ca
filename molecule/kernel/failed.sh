#!/bin/sh
# No unit has failed; else prints the last that each of them said.
set -eu
failed=$(systemctl --no-pager list-units --failed --plain --no-legend | awk '{print $1}')
for unit in $failed; do
    echo "$unit has failed:"
    SYSTEMD_COLORS=0 journalctl --no-pager --boot --lines=30 --unit="$unit"
done
test -z "$failed"
