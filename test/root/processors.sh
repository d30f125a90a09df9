#!/usr/bin/env bash
# The library for other processors, built without a warning in a fresh minimal Debian root of this
# machine's architecture, and tried as far as that goes here: the api programs run by qemu-user
# (i386: by this kernel), which carries no io_uring, so on epoll. Needs root, mmdebstrap and this
# machine's apt sources; a processor takes some minutes.
#
# usage: processors.sh [RELEASE [ARCHITECTURE...]]
#
# RELEASE is bookworm (Debian 12, the default) or a later one, ARCHITECTUREs are Debian's names.
# Without them all of «built» below are built, and those of «tried» are tried, but for what the
# release doesn't have; named ones are built and tried. The last line says that it is good.

set -eu

. "$(dirname "$0")/root.sh"
release=${1-bookworm}
shift $(($# > 0))
built=${*:-arm64 armhf i386 ppc64el riscv64 s390x}
tried=${*:-armhf i386 s390x}

# qemuName ARCHITECTURE
qemuName()
{
    case $1 in
    arm64) echo aarch64 ;;
    armhf) echo arm ;;
    ppc64el) echo ppc64le ;;
    *) echo "$1" ;;
    esac
}

makeRoot "$release" cross
# Some architectures are in another archive until they are released.
runIn cross 'apt-get update && apt-get install -y --no-install-recommends \
    meson ninja-build pkgconf python3 qemu-user-static'

# build ARCHITECTURE FOLDER OPTION...
build()
{
    local file=/root/$1.ini
    runIn cross "if [ -x /usr/share/meson/debcrossgen ]; then
            /usr/share/meson/debcrossgen --arch $1 -o $file
        else
            meson env2mfile --cross --debarch $1 -o $file
        fi &&
        meson setup /root/$2 . --cross-file $file -Dwerror=true -Dman=disabled ${*:3}"
}

for architecture in $built; do
    runIn cross "dpkg --add-architecture $architecture && apt-get update &&
        apt-get install -y --no-install-recommends crossbuild-essential-$architecture \
            pkgconf:$architecture liburing-dev:$architecture check:$architecture" ||
        { echo "$release has no $architecture"; [ -z "$*" ] && continue; exit 1; }
    # Nobody runs what was built here, and nobody needs to.
    build "$architecture" "$architecture" -Dtests=disabled
    runIn cross "ninja -C /root/$architecture"
done

# run FOLDER ENGINE [WRAPPER] - the api programs of that build. Cases that fail by what is no fault
# of the library's stand in the list beside this file.
run()
{
    runIn cross "FASTSOCKET_ENGINE=$2 python3 test/root/foreign.py \
        /root/$1/test/api test/root/foreign-faults '${3-}'"
}

for architecture in $tried; do
    build "$architecture" "$architecture-tests" -Dtests=enabled -Dexamples=disabled
    runIn cross "cd /root/$architecture-tests && ninja \$(ninja -t targets all |
        sed -n 's,^\(test/api/[a-z-]*-test\): .*,\1,p')"
    case $architecture in
    i386)
        run "$architecture-tests" io_uring
        run "$architecture-tests" epoll
        ;;
    *) run "$architecture-tests" epoll "qemu-$(qemuName "$architecture")-static" ;;
    esac
done

# Programs whose time_t has 64 bits, and a library that doesn't ask which they are.
for architecture in $tried; do
    case $architecture in
    armhf | i386)
        wrapper=
        [ "$architecture" = i386 ] || wrapper=qemu-$(qemuName "$architecture")-static
        build "$architecture" "$architecture-wide" -Dtests=enabled -Dexamples=disabled \
            "'-Dc_args=-D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64'"
        runIn cross "ninja -C /root/$architecture-wide test/api/timeout-test &&
            nm -D /root/$architecture-wide/test/api/timeout-test |
                grep -q 'U SetFastRingPreciseTimeout64' &&
            LD_LIBRARY_PATH=/root/$architecture-tests/lib $wrapper \
                /root/$architecture-wide/test/api/timeout-test"
        ;;
    esac
done

echo "$(echo "$built" | xargs) of $release: good, after $SECONDS s"
