# shellcheck shell=dash
# What kernels.sh runs inside a guest, in its first process: the lines of /rows, from the one that
# the kernel's command line says on. A line has who chooses the engine (own: the library; or
# epoll), the user (root or ordinary), how much is played (short or long), what runs beside it (none
# or busy), the seconds after which it has hung for certain, and the command.

cd /build || exit
export CK_TIMEOUT_MULTIPLIER=20 CK_DEFAULT_TIMEOUT=30 # 600 s a case; long forms have 3600
mkdir /warden

readClock() # whole seconds since the start, to $now
{
    read -r now rest </proc/uptime
    now=${now%%.*}
}

# Ends what runs beyond its deadline, with all that it has started. What can't be killed ends the
# guest: the next one goes on behind it. A guest from which no tick comes for long has hung itself.
warden()
{
    ticks=0
    while sleep 5; do
        ticks=$((ticks + 1))
        [ $((ticks % 12)) -ne 0 ] || echo TICK
        read -r deadline 2>/dev/null </warden/deadline || continue
        readClock
        [ "$now" -ge "$deadline" ] || continue
        echo
        echo ENDED
        mv /warden/deadline /warden/killed
        kill -9 -1 # all but the first process and this one
        sleep 60
        [ ! -e /warden/killed ] || { echo STUCK && poweroff -f; }
    done
}

# run ENGINE USER LOAD BESIDE BOUND COMMAND...
run()
{
    unset FASTSOCKET_ENGINE FAULT_LOAD loops
    [ "$1" = own ] || export FASTSOCKET_ENGINE="$1"
    [ "$3" = short ] || export FAULT_LOAD="$3"
    if [ "$4" = busy ]; then
        for _ in 1 2 3 4; do
            while :; do :; done &
            loops="$loops $!"
        done
    fi
    user=$2
    readClock
    start=$now
    echo $((start + $5)) >/warden/deadline
    shift 5
    # env: an assignment may stand before the command, and no applet of busybox's name is meant
    if [ "$user" = root ]; then
        env "$@" 2>&1 &
    else
        /usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups env "$@" 2>&1 &
    fi
    wait $!
    status=$?
    rm -f /warden/deadline /warden/killed
    # shellcheck disable=SC2086  # several
    [ -z "${loops:-}" ] || kill -9 $loops
    readClock
    echo
    echo "STATUS $status SECONDS $((now - start))"
    dmesg -c | grep -E 'WARNING|BUG|Oops|RIP:|hung task|stall|lockup|general protection' |
        sed 's/^/KERNEL /'
}

warden &
number=0
while read -r row; do
    number=$((number + 1))
    # shellcheck disable=SC2154  # of the kernel's command line
    [ "$number" -ge "$first" ] || continue
    echo "ROW $number $row"
    # shellcheck disable=SC2086  # its words
    run $row </dev/null
done </rows
readClock
echo "END $now"
