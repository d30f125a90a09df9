#!/usr/bin/env bash
# An upgrade from the release before to this tree's, and back, in a fresh minimal Debian root: by
# dpkg and by apt, with the example programs of then, which nobody compiles anew. Needs root,
# mmdebstrap and this machine's apt sources.
#
# usage: upgrade.sh [RELEASE [PACKAGES]]
#
# RELEASE is bookworm (Debian 12, the default) or a later one. PACKAGES is a folder with the
# packages of today, and of then in its folder «before»; without it they are built here. The last
# line is «upgrade on RELEASE: good».

set -eu

. "$(dirname "$0")/root.sh"
release=${1-bookworm}
version=$(sed -n '1s/.*(\(.*\)-.*/\1/p' "$source/debian/changelog")
# The release before: the last commit that had its version, and what is frozen of it.
before=$(git -C "$source" log -1 --format=%H^ -G"version: '$version'" -- meson.build)
then=$(git -C "$source" show "$before:debian/changelog" | sed -n '1s/.*(\(.*\)-.*/\1/p')
architecture=$(dpkg --print-architecture)

makeRoot "$release" use
mkdir -p "$roots/use/packages/before" "$roots/use/app/then"
# Whatever the packages and the programs need beside each other.
runIn use 'apt-get update && apt-get install -y --no-install-recommends liburing-dev gcc libc6-dev \
    libglib2.0-dev pkgconf socat ncat curl python3'

if [ $# -gt 1 ]; then
    cp "$2"/*.deb "$roots/use/packages/"
    cp "$2"/before/*.deb "$roots/use/packages/before/"
else
    makeRoot "$release" build
    cloneTo build/root/before/tree
    git -C "$roots/build/root/before/tree" checkout --quiet "$before"
    runIn build 'apt-get update && apt-get build-dep -y -P nocheck ./ &&
        dpkg-buildpackage -us -uc -b -Pnocheck &&
        cd /root/before/tree && dpkg-buildpackage -us -uc -b -Pnocheck'
    cp "$roots"/build/root/*.deb "$roots/use/packages/"
    cp "$roots"/build/root/before/*.deb "$roots/use/packages/before/"
fi

# All files that there are, but for what apt, dpkg and the loader note of their own work.
files='find / -xdev \( -path /root -o -path /app -o -path /packages -o -path /proc -o -path /dev \
    -o -path /tmp -o -path /var/log -o -path /var/cache -o -path /var/lib/apt \) -prune -o \
    ! -type d -print | sort'
# No package is half installed, and no file of ours has changed, or belongs to two packages.
sound='test -z "$(dpkg --audit)" && test -z "$(dpkg --verify libfastsocket1 libfastsocket-dev)" &&
    test -z "$(sort /var/lib/dpkg/info/libfastsocket*.list | uniq -d |
        while read -r name; do [ -d "$name" ] || echo "$name"; done)"'
examples="test/root/then.py abi/$then /app/then 4"

runIn use "$files >/app/files"

# ---- then ----------------------------------------------------------------------------------------

runIn use "dpkg -i /packages/before/libfastsocket1_*_$architecture.deb \
    /packages/before/libfastsocket-dev_*_$architecture.deb && fastsocket-probe --json && $sound"
# The examples as their package has them, not as this tree does: what is frozen is the same.
runIn use "frozen=\$PWD/abi/$then/examples && cd /app/then &&
    cp /usr/share/doc/libfastsocket-dev/examples/*.[ch] . &&
    for file in *.[ch]; do cmp \$file \$frozen/\$file || exit 1; done &&
    for file in *.c; do
        packages=fastsocket
        [ \$file != embed-glib.c ] || packages=\"fastsocket glib-2.0\"
        cc -pthread \$file -o \${file%.c} \$(pkg-config --cflags --libs \$packages) || exit 1
    done && sha256sum * >/app/sums"
runIn use "$examples"

# ---- up ------------------------------------------------------------------------------------------

# The probe moves to a package of its own, which can't come beside the package that had it.
runIn use "! dpkg -i /packages/libfastsocket-bin_*_$architecture.deb && fastsocket-probe --json &&
    dpkg -S /usr/bin/fastsocket-probe | grep ^libfastsocket-dev &&
    { ! dpkg-query -W libfastsocket-bin || dpkg --purge libfastsocket-bin; }"
runIn use "dpkg -i /packages/libfastsocket1_*_$architecture.deb \
        /packages/libfastsocket-dev_*_$architecture.deb &&
    ! command -v fastsocket-probe && $sound &&
    dpkg -i /packages/libfastsocket-bin_*_$architecture.deb && fastsocket-probe --json && $sound"
runIn use "cd /app && echo 'extern const char* GetFastRingEngine(void* ring);
int main(void) { return GetFastRingEngine(0) != 0; }' >today.c &&
    cc today.c -o today -lfastsocket && ./today"
runIn use "(cd /app/then && sha256sum --quiet -c /app/sums) && $examples"
runIn use "export FASTSOCKET_ENGINE=epoll; $examples"

# ---- down, and up again --------------------------------------------------------------------------

runIn use "apt-get install -y --no-install-recommends --allow-downgrades \
        /packages/before/libfastsocket1_*_$architecture.deb \
        /packages/before/libfastsocket-dev_*_$architecture.deb &&
    ! dpkg-query -W libfastsocket-bin 2>/dev/null | grep . && fastsocket-probe --json && $sound"
runIn use "$examples"
# A program of today says what it misses.
runIn use '! /app/today 2>&1 | tee /dev/stderr | grep -v "version .FASTSOCKET_1.1. not found"'
runIn use "apt-get install -y --no-install-recommends /packages/libfastsocket1_*_$architecture.deb \
        /packages/libfastsocket-dev_*_$architecture.deb \
        /packages/libfastsocket-bin_*_$architecture.deb && fastsocket-probe --json && /app/today &&
    $sound"

# ---- away ----------------------------------------------------------------------------------------

runIn use "dpkg --purge libfastsocket-bin libfastsocket-dev libfastsocket1 &&
    ldconfig && ! ldconfig -p | grep fastsocket && $files >/app/left &&
    diff /app/files /app/left && test -z \"\$(dpkg --audit)\""

echo "upgrade on $release: good, after $SECONDS s"
