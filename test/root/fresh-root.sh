#!/usr/bin/env bash
# Runs a line of the README, word for word, in a fresh minimal Debian root: only apt and a shell,
# and a clean clone of this repository's HEAD. Needs root, mmdebstrap and this machine's apt
# sources.
#
# usage: fresh-root.sh demo|tests|both|ci [RELEASE]
#
# RELEASE is bookworm (Debian 12, the default) or a later one. both runs one after the other, and
# again; ci runs .ci/run. Before each command of the line its start is printed, in seconds.

set -eu

. "$(dirname "$0")/root.sh"

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
*)
    sed -n 's/^# \(usage: .*\)/\1/p' "$0"
    exit 2
    ;;
esac

makeRoot "${2-bookworm}" line
runIn line "$line"
