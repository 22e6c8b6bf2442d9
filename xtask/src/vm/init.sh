#!/bin/busybox sh
# The guest's first program: sets up what the gateway needs, says that it is ready, and then does
# what it is told on the console, a line at a time. Each answer stands between two marks.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
stty -echo
# Filling up what another shard left of a large page would look like memory that this one took.
echo 0 >/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none
for module in $(cat /modules/order); do insmod "/modules/$module"; done
ip link set lo up
for subnet in $(cat /subnets); do ip address add "$subnet.2/24" dev eth0; done
ip link set eth0 up

answer() {
    echo "@begin $1"
    shift
    "$@" 2>&1 | sed 's/^/= /'
    echo "@end"
}

serve() {
    # shellcheck disable=SC2086 # Flags are words.
    /weir serve $1 >/log 2>&1 &
    echo $! >/pid
}

# Eight clients of a port of this guest, each with a message that never ends.
load() {
    for _ in 1 2 3 4 5 6 7 8; do
        (cat /unfinished && sleep 3600) | nc 127.0.0.1 "$1" >/dev/null 2>&1 &
    done
}

echo "@ready"
while read -r verb rest; do
    case $verb in
    # What goes on in the background must not hold the answer's pipe.
    serve) serve "$rest" && answer serve true ;;
    load) load "$rest" && answer load true ;;
    maps) answer maps cat "/proc/$(cat /pid)/numa_maps" ;;
    show) answer show cat "$rest" ;;
    help) answer help /weir serve --help ;;
    queues) answer queues ls /sys/class/net/eth0/queues ;;
    off) break ;;
    *) answer unknown echo "$verb" ;;
    esac
done
poweroff -f
