#!/usr/bin/env bash
# The library, its probe and its examples with musl, a C library without <sys/queue.h> and some of
# what glibc has: built without a warning in a fresh minimal Debian root, by Debian's musl-gcc, and
# the demo run on both engines. Needs root, mmdebstrap and this machine's apt sources; takes some
# minutes.
#
# usage: musl.sh
#
# The release is bookworm (Debian 12), whose liburing needs no C library, so that musl's programs
# can be linked with it, too. The last line is «musl: good», which took seven minutes on a machine
# with two cores that others used too.

set -eu

. "$(dirname "$0")/root.sh"

makeRoot bookworm musl
runIn musl 'apt-get update && apt-get install -y --no-install-recommends \
    gcc libc6-dev liburing-dev meson ninja-build pkgconf musl-tools linux-libc-dev'

# The kernel's headers and liburing stand beside glibc's, which musl must not see.
runIn musl 'mkdir -p /root/beside/pkgconfig && cd /root/beside &&
    ln -s /usr/include/linux /usr/include/asm-generic /usr/include/x86_64-linux-gnu/asm \
        /usr/include/liburing /usr/include/liburing.h . &&
    cp /usr/lib/x86_64-linux-gnu/liburing.a . &&
    sed "s,^libdir=.*,libdir=$PWD," /usr/lib/x86_64-linux-gnu/pkgconfig/liburing.pc \
        >pkgconfig/liburing.pc &&
    printf "#!/bin/sh\nexec musl-gcc \"\$@\" -idirafter $PWD\n" >compile && chmod +x compile'
runIn musl 'CC=/root/beside/compile PKG_CONFIG_LIBDIR=/root/beside/pkgconfig \
    meson setup /root/out . -Dwerror=true -Dtests=disabled -Dman=disabled -Dvalgrind=disabled &&
    ninja -C /root/out'
runIn musl 'cd /root/out && readelf -d lib/libfastsocket.so.1 | grep "NEEDED.*\[libc.so\]" &&
    tools/fastsocket-probe && test/demo/fastsocket-demo 1 &&
    FASTSOCKET_ENGINE=epoll test/demo/fastsocket-demo 1'

echo "musl: good, after $SECONDS s"
