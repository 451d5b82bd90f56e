#!/bin/sh
# on_host.sh PREFIX ADDRESS COMMAND…: runs it as on the host of that address, with a network and a name of its own.
name=$1${2##*.}
shift 2
exec ip netns exec "$name" unshare --uts sh -c 'echo "$0" >/proc/sys/kernel/hostname && exec sh -c "$*"' "$name" "$@"
