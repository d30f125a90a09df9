# For the tests beside this file: an echo through an installed server and client.

set -eu

examples=/usr/share/doc/libfastsocket-dev/examples
work=$(mktemp -d "${AUTOPKGTEST_TMP:-/tmp}/exchange.XXXXXX")
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT

# exchange SERVER... : CLIENT... - the server is told a loopback address with any port, and tells the one it
# got; the client's last word is put together with that port. 4 MiB go and come back; the server's end is orderly.
exchange()
{
    head -c 4194304 /dev/urandom >"$work/data"

    servers=
    while [ "$1" != : ]; do
        servers="$servers $1"
        shift
    done
    shift
    $servers >"$work/words" &
    server=$!
    port=
    while [ -z "$port" ]; do
        kill -0 "$server" # it lives
        sleep 0.1
        port=$(sed -n 's/^listening on .*[: ]\([0-9]*\)$/\1/p' "$work/words")
    done

    for round in 1 2 3; do
        "$@$port" <"$work/data" >"$work/back"
        cmp "$work/data" "$work/back"
    done
    kill -TERM "$server"
    wait "$server"
    server=
    echo "$round rounds through$servers and $1: the same bytes"
}
