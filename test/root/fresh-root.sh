#!/usr/bin/env bash
# Runs a line of the README, word for word, in a fresh minimal Debian 12 root: only apt and a shell,
# and a clean clone of this repository's HEAD. Needs root, mmdebstrap and this machine's apt sources.
#
# usage: fresh-root.sh demo|tests|both|ci|package
#
# both runs one after the other, and again; ci runs .ci/run, package builds the Debian packages without running the tests once more.
# Before each command of the line its start is printed, in seconds.

set -eu

source=$(cd "$(dirname "$0")/../.." && pwd)

# The one line of the README that has $1 in it.
readmeLine()
{
    local lines
    mapfile -t lines < <(grep "^    apt-get .*$1" "$source/README.md" | sed 's/^    //')
    [ "${#lines[@]}" -eq 1 ] || { echo "README.md has ${#lines[@]} lines with «$1»" >&2; exit 1; }
    echo "${lines[0]}"
}

demo=$(readmeLine 'ninja -C build demo')
tests=$(readmeLine 'meson test')
case "${1-}" in
demo) line=$demo ;;
tests) line=$tests ;;
both) line="$demo && $tests && $demo && $tests" ;;
ci) line=.ci/run ;;
package) line='apt-get update && apt-get build-dep -y ./ && DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -b' ;;
*)
    sed -n 's/^# \(usage: .*\)/\1/p' "$0"
    exit 2
    ;;
esac

root=$(mktemp -d "${TMPDIR:-/tmp}/fresh-root.XXXXXX")
# What is mounted below is gone with its namespace by then.
trap 'rm -rf --one-file-system "$root"' EXIT

mapfile -t sources < <(find /etc/apt -name '*.sources' -o -name '*.list' | sort)
mmdebstrap --quiet --variant=minbase bookworm "$root" "${sources[@]}"
# The certificates or dates of a mirror are this machine's business, not the README's.
cp -n /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
git clone --quiet "file://$source" "$root/root/libfastsocket"

echo "fresh root: $(chroot "$root" dpkg-query -f '.' -W | wc -c) packages"
echo "+ $line"
start=$SECONDS
status=0
# shellcheck disable=SC2016  # expanded inside
unshare --mount --pid --fork --kill-child sh -c '
    mount -t proc proc "$1/proc" &&
    mount --rbind /dev "$1/dev" &&
    exec chroot "$1" env -i CI=true HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        bash -c "PS4=\"+ \\\${SECONDS}s: \"; cd /root/libfastsocket; set -x; $2"
' sh "$root" "$line" </dev/null || status=$?
echo "exit status $status after $((SECONDS - start)) s"
exit "$status"
