#!/usr/bin/env bash
# The Debian packages, from nothing to nothing, in fresh minimal roots: built by one line with all
# tests, built again elsewhere by an ordinary user to the same bytes, with their source, checked by
# lintian, installed in another root and used by programs in C and in every runtime that there is an
# example for, removed without a trace; built without tests and pages from what little that takes,
# and for another processor; upgraded from the release before, and downgraded again. Needs root,
# mmdebstrap, this machine's apt sources, and npm's registry for koffi; takes half an hour and more,
# and tells the time of each step.
#
# usage: packages.sh [RELEASE]
#
# RELEASE is bookworm (Debian 12, the default) or a later one. The last line is «packages of
# RELEASE: good». On a machine with two cores, which others used too: bookworm 9.6 minutes, of which
# the first line took 3.2; that line on trixie 5.4 minutes.

set -eu

. "$(dirname "$0")/root.sh"
release=${1-bookworm}

# ---- build ---------------------------------------------------------------------------------------

makeRoot "$release" build
runIn build 'apt-get update && apt-get build-dep -y ./ && dpkg-buildpackage -us -uc -b'

# The tests of the package build where io_uring is refused, as on some build machines: they run all
# the same, and skip nothing but what is about io_uring itself.
runIn build 'test/house/refusal.py all dh_auto_test --buildsystem=meson &&
    .ci/count obj-*/meson-logs/testlog.json test/allowed-skips refused'

# Another directory, another user, without root's rights; the source package, too.
place=$roots/build/home/builder/another/place
git clone --quiet "file://$source" "$place/tree"
version=$(sed -n '1s/.*(\(.*\)-.*/\1/p' "$source/debian/changelog")
git -C "$place/tree" archive --prefix="libfastsocket-$version/" HEAD ':!debian' |
    gzip -9n >"$place/libfastsocket_$version.orig.tar.gz"
runIn build 'useradd builder && chown -R builder: /home/builder &&
    cd /home/builder/another/place/tree &&
    runuser -u builder -- env HOME=/home/builder dpkg-buildpackage -us -uc &&
    cd .. && for package in *.deb; do cmp $package /root/$package || exit 1; done'

# Lintian of Debian 12 knows no policy after 4.6.2, and says so.
runIn build 'apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold \
        lintian &&
    cd /home/builder/another/place && ls *.dsc *.changes &&
    runuser -u builder -- lintian -EvI --pedantic --suppress-tags newer-standards-version \
        --fail-on error,warning,info,pedantic *.changes *.dsc'

# ---- little: what the library itself takes -------------------------------------------------------

# README's lines for this, in a root of its own, with the number of packages there are then.
mapfile -t lines < <(sed -n '/^    apt-get install /,/^$/s/^    //p' "$source/README.md")
[ "${#lines[@]}" -eq 3 ]
makeRoot "$release" little
runIn little 'apt-get update'
for line in "${lines[@]}"; do
    runIn little "$line"
    echo "with that there are $(chroot "$roots/little" dpkg-query -f '.' -W | wc -c) packages"
done
runIn little 'ldconfig -p | grep libfastsocket.so.1 && fastsocket-probe --json | grep engine'
runIn little 'apt-get build-dep -y -P nocheck,nodoc ./ && ! command -v scdoc &&
    dpkg-buildpackage -us -uc -b -Pnocheck,nodoc &&
    ! dpkg -c ../libfastsocket-dev_*.deb | grep /man/'

# For another processor, whose programs nobody can run here.
runIn little 'dpkg --add-architecture arm64 && apt-get update &&
    apt-get build-dep -y --host-architecture arm64 -P cross,nocheck ./ &&
    dpkg-buildpackage -us -uc -b --host-arch arm64 -Pcross,nocheck && ls ../*_arm64.deb'

# ---- use -----------------------------------------------------------------------------------------

makeRoot "$release" use
mkdir "$roots/use/packages" "$roots/use/app"
cp "$roots"/build/root/*.deb "$roots/use/packages/"
runIn use 'apt-get update && apt-get install -y --no-install-recommends \
    /packages/libfastsocket1_*.deb /packages/libfastsocket-dev_*.deb \
    /packages/libfastsocket-bin_*.deb \
    build-essential pkgconf socat python3 luajit ruby-ffi'

# The README's own program.
sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '1d;$d' >"$roots/use/app/app.c"
cat >"$roots/use/app/today.c" <<'end'
extern const char* GetFastRingEngine(void* ring);
int main(void) { return GetFastRingEngine(0) != 0; }
end
runIn use 'cd /app && cc today.c -o today -lfastsocket && ./today'
runIn use 'cd /app && cc app.c -o app $(pkg-config --cflags --libs fastsocket)'
runIn use '/app/app unix:/app/echo &
    until [ -S /app/echo ]; do
        kill -0 $! || exit 1
        sleep 0.1
    done
    echo hello | socat -t 60 - UNIX-CONNECT:/app/echo,retry=50,interval=0.1 | grep -x hello'

# What autopkgtest runs; and each is the same where io_uring is refused.
for name in shared static probe python3 luajit ruby; do
    runIn use "debian/tests/$name"
    runIn use "test/house/refusal.py all debian/tests/$name"
done

# Every loader, against the installed library: here a runtime that is missing is a failure. Go and
# Rust take a gigabyte, which no build of the package needs.
runIn use 'apt-get install -y --no-install-recommends golang-go rustc nodejs \
        ocaml-nox guile-3.0 &&
    { command -v npm || apt-get install -y --no-install-recommends npm; } &&
    npm install --prefix /app/koffi \
        koffi@$(sed -n "s/.*\"koffi\": \"\(.*\)\".*/\1/p" doc/examples/node/package.json)'
runIn use 'library=$(echo /usr/lib/*/libfastsocket.so.1) &&
    for engine in "" "test/house/refusal.py all"; do
        export BINDINGS_NEEDED=yes NODE_PATH=/app/koffi/node_modules PYTHONDONTWRITEBYTECODE=1
        $engine python3 test/interop/bindings.py \
            /usr/share/doc/libfastsocket-dev/examples /usr/include \
            $library none /app/go-cache || exit 1
        $engine python3 test/house/foreign-test.py . $library none || exit 1
    done'
# Those of another architecture beside them, but for the programs.
cp "$roots"/little/root/*_arm64.deb "$roots/use/packages/"
runIn use 'dpkg --add-architecture arm64 && apt-get update &&
    apt-get install -y --no-install-recommends \
        /packages/libfastsocket1_*_arm64.deb /packages/libfastsocket-dev_*_arm64.deb &&
    test "$(dpkg-query -f "\${db:Status-Abbrev}" -W libfastsocket-dev:amd64 \
        libfastsocket-dev:arm64)" = "ii ii " &&
    apt-get purge -y libfastsocket1:arm64 libfastsocket-dev:arm64 >/dev/null'

# ---- from release to release ---------------------------------------------------------------------

# The release before, from the last commit that had its version, as it was built then.
before=$(git -C "$source" log -1 --format=%H^ -G"version: '$version'" -- meson.build)
git clone --quiet "file://$source" "$roots/little/root/before/tree"
git -C "$roots/little/root/before/tree" checkout --quiet "$before"
runIn little 'cd /root/before/tree && apt-get build-dep -y -P nocheck ./ &&
    dpkg-buildpackage -us -uc -b -Pnocheck'
mkdir "$roots/use/packages/before"
cp "$roots"/little/root/before/*.deb "$roots/use/packages/before/"
runIn use 'apt-get purge -y libfastsocket1 libfastsocket-dev libfastsocket-bin >/dev/null &&
    ldconfig && ! ldconfig -p | grep fastsocket &&
    ! find / -xdev \( -path /root -o -path /packages -o -path /proc -o -path /dev \) -prune -o \
        -iname "*fastsocket*" -print | grep .'
"$(dirname "$0")/upgrade.sh" "$release" "$roots/use/packages"

echo "packages of $release: good, after $SECONDS s"
