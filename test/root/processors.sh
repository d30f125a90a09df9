#!/usr/bin/env bash
# The library for other processors, built without a warning in a fresh minimal Debian root of this
# machine's architecture, and tried as far as that goes here: the api programs run by qemu-user
# (i386: by this kernel, and the unit programs, too), which carries no io_uring, so on epoll. Needs
# root, mmdebstrap and this machine's apt sources; a processor takes some minutes.
#
# usage: [TRIED="ARCHITECTURE..."] [FOREIGN_PATIENCE=SECONDS] \
#        processors.sh [RELEASE [ARCHITECTURE...]]
#
# RELEASE is bookworm (Debian 12, the default) or a later one, ARCHITECTUREs are Debian's names.
# Without them all of «built» below are built, and those of «tried» are tried, but for what the
# release doesn't have; named ones are built and tried. TRIED says which to try instead. What fails
# ends its own step, and a program that hangs is killed after FOREIGN_PATIENCE (600): whatever
# happens, the last lines are a table of all steps, and behind it whether all was good.
#
# What has been run of it, on Debian 12: the library for arm64 and i386 compiles without a warning;
# the release has no riscv64. The others, and the programs of any, wait for a whole run.

set -eu -o pipefail

. "$(dirname "$0")/root.sh"
release=${1-bookworm}
shift $(($# > 0))
built=${*:-arm64 armhf i386 ppc64el riscv64 s390x}
tried=${TRIED-${*:-armhf i386 s390x}}
export FOREIGN_PATIENCE=${FOREIGN_PATIENCE-600}

rows=()
bad=0
there=" " # the architectures that are built

# tell - the table
tell()
{
    printf '%s\n' "" "processors of $release, after $SECONDS s:" "${rows[@]}"
    if [ "$finished" = yes ] && [ "$bad" -eq 0 ]; then
        echo "$(echo "$there" | xargs) of $release: good"
    else
        echo "$release: $bad steps failed, finished: $finished"
    fi
}

finished=no
# shellcheck disable=SC2154  # of root.sh
trap 'tell; rm -rf --one-file-system "$roots"' EXIT

# step ARCHITECTURE NAME COMMAND... - a row of the table; fails as the command does
step()
{
    local start=$SECONDS result=good status=0
    "${@:3}" 2>&1 | tee "$roots/told" || status=$?
    local counts
    counts=$(grep -E '^[0-9]+ (ok|skip|not ok|its fault)(, |$)' "$roots/told" | tail -n 1 || true)
    if [ "$status" -ne 0 ]; then
        result=FAILED
        bad=$((bad + 1))
    fi
    rows+=("$(printf '%-8s  %-30s  %-6s  %5d s  %s' "$1" "$2" "$result" \
        $((SECONDS - start)) "$counts")")
    return "$status"
}

# qemuOf ARCHITECTURE - what runs its programs; nothing if this kernel does
qemuOf()
{
    case $1 in
    i386) ;;
    arm64) echo qemu-aarch64-static ;;
    armhf) echo qemu-arm-static ;;
    ppc64el) echo qemu-ppc64le-static ;;
    *) echo "qemu-$1-static" ;;
    esac
}

# isThere ARCHITECTURE - the release has it. What is left out of an index that the mirror hasn't got
# whole is seen by prepare().
isThere()
{
    runIn cross "dpkg --add-architecture $1 && { apt-get update || apt-get update || true; } &&
        { apt-cache show liburing-dev:$1 >/dev/null || { dpkg --remove-architecture $1; false; }; }"
}

# prepare ARCHITECTURE - its compiler and libraries
prepare()
{
    runIn cross "apt-get install -y --no-install-recommends crossbuild-essential-$1 \
        pkgconf:$1 liburing-dev:$1 check:$1"
}

# configure ARCHITECTURE FOLDER OPTION...
configure()
{
    local file=/root/$1.ini
    runIn cross "if [ -x /usr/share/meson/debcrossgen ]; then
            /usr/share/meson/debcrossgen --arch $1 -o $file
        else
            meson env2mfile --cross --debarch $1 -o $file
        fi &&
        meson setup /root/$2 . --cross-file $file -Dwerror=true -Dman=disabled ${*:3}"
}

# build ARCHITECTURE - the library, its probe, the demo and the examples
build()
{
    # Nobody runs what was built here, and nobody needs to.
    configure "$1" "$1" -Dtests=disabled && runIn cross "ninja -C /root/$1"
}

# buildTests ARCHITECTURE FOLDER... - the programs of those folders of test
buildTests()
{
    local folders
    folders=$(echo "${*:2}" | tr ' ' '|')
    configure "$1" "$1-tests" -Dtests=enabled -Dexamples=disabled &&
        runIn cross "cd /root/$1-tests && ninja \$(ninja -t targets all |
            sed -nE 's,^(test/($folders)/[a-z-]*-test): .*,\1,p')"
}

# run ARCHITECTURE ENGINE FOLDER... - those programs. Cases that fail by what is no fault of the
# library's stand in the list beside this file.
run()
{
    runIn cross "FASTSOCKET_ENGINE=$2 FOREIGN_PATIENCE=$FOREIGN_PATIENCE \
        python3 test/root/foreign.py test/root/foreign-faults '$(qemuOf "$1")' \
        $(printf "/root/$1-tests/test/%s " "${@:3}")"
}

# wide ARCHITECTURE - a program whose time_t has 64 bits, on a library that doesn't ask for that
wide()
{
    configure "$1" "$1-wide" -Dtests=enabled -Dexamples=disabled \
        "'-Dc_args=-D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64'" &&
        runIn cross "ninja -C /root/$1-wide test/api/timeout-test &&
            nm -D /root/$1-wide/test/api/timeout-test |
                grep -q 'U SetFastRingPreciseTimeout64' &&
            LD_LIBRARY_PATH=/root/$1-tests/lib timeout $FOREIGN_PATIENCE $(qemuOf "$1") \
                /root/$1-wide/test/api/timeout-test"
}

# try ARCHITECTURE
try()
{
    case $1 in
    i386)
        step "$1" "compile the tests" buildTests "$1" api unit || return 0
        step "$1" "api, unit on io_uring" run "$1" io_uring api unit || true
        step "$1" "api, unit on epoll" run "$1" epoll api unit || true
        ;;
    *)
        step "$1" "compile the tests" buildTests "$1" api || return 0
        step "$1" "api on epoll, $(qemuOf "$1")" run "$1" epoll api || true
        ;;
    esac
    case $1 in
    armhf | i386) step "$1" "time_t of 64 bits" wide "$1" || true ;;
    esac
}

makeRoot "$release" cross
runIn cross 'apt-get update && apt-get install -y --no-install-recommends \
    meson ninja-build pkgconf python3 qemu-user-static'

# Some architectures are in another archive until they are released.
for architecture in $built; do
    if isThere "$architecture"; then
        step "$architecture" "its compiler and libraries" prepare "$architecture" || continue
        there+="$architecture "
        step "$architecture" "compile, -Werror" build "$architecture" || true
    else
        rows+=("$architecture: not in $release")
        [ -z "$*" ] || bad=$((bad + 1))
    fi
done
for architecture in $tried; do
    [[ $there != *" $architecture "* ]] || try "$architecture"
done
finished=yes
[ "$bad" -eq 0 ]
