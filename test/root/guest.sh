# What kernels.sh runs inside a guest, by busybox. Programs and ordinary are set before this.

cd /build || exit
export CK_DEFAULT_TIMEOUT=600

run() # SECONDS COMMAND...
{
    limit=$1
    shift
    echo "PROGRAM $*"
    start=$(cut -d. -f1 /proc/uptime)
    timeout -s KILL "$limit" "$@" 2>&1
    echo "STATUS $? SECONDS $(($(cut -d. -f1 /proc/uptime) - start))"
}

busily() # COMMAND... beside four busy loops
{
    loops=
    for _ in 1 2 3 4; do
        while :; do :; done &
        loops="$loops $!"
    done
    run 300 "$@"
    # shellcheck disable=SC2086  # several
    kill $loops
}

cases()
{
    if [ -e /cases/forms ]; then
        while read -r first rest; do
            case $first in
            load:) busily /cases/$rest ;;
            *=*) run 120 env "$first" /cases/$rest ;;
            *) run 120 "/cases/$first" $rest ;;
            esac
        done </cases/forms
    else
        for case in /cases/*; do
            [ ! -x "$case" ] || run 120 "$case"
        done
    fi
}

echo "GUEST $(uname -r)"
tools/fastsocket-probe
for program in ${programs:-test/unit/*-test test/api/*-test test/interop/ktls-test}; do
    [ ! -x "$program" ] || run 1500 "$program"
done
for program in $ordinary; do
    # By its path: busybox's timeout would run an applet of that name, which can't do it.
    run 1500 /usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups "$program"
done
run 600 test/demo/fastsocket-demo 1
cases
echo DMESG
dmesg | grep -E 'WARNING|BUG|Oops|RIP:|hung task|stall|lockup|general protection'
echo "END $(cut -d. -f1 /proc/uptime)"
