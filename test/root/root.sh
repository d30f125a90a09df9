# For the scripts beside this file: fresh minimal Debian roots, made with mmdebstrap and this
# machine's apt sources, as root; or those of the folder APT_SOURCES, where a mirror has an archive
# for one architecture and not for another. What is made lies in $roots and goes with the script.

source=$(cd "$(dirname "$0")/../.." && pwd)
roots=$(mktemp -d "${TMPDIR:-/tmp}/fresh-root.XXXXXX")
# What is mounted below is gone with its namespace by then.
trap 'rm -rf --one-file-system "$roots"' EXIT
# All roots get the same commit, whatever happens here meanwhile.
git clone --quiet --bare "file://$source" "$roots/commit.git"

# cloneTo PATH - in any root
cloneTo()
{
    git clone --quiet "file://$roots/commit.git" "$roots/$1"
}

# makeRoot RELEASE NAME - with a clean clone of this repository's HEAD in it
makeRoot()
{
    local root=$roots/$2 host file
    local -a sources=()

    host=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mkdir -p "$roots/apt"
    while read -r file; do
        sed "s/\b$host\b/$1/g" "$file" >"$roots/apt/${file##*/}"
        sources+=("$roots/apt/${file##*/}")
    done < <(find "${APT_SOURCES-/etc/apt}" -name '*.sources' -o -name '*.list' | sort)
    mmdebstrap --quiet --variant=minbase "$1" "$root" "${sources[@]}"
    # The certificates or dates of a mirror are this machine's business, not the README's.
    cp -n /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    cloneTo "$2/root/libfastsocket"
    echo "fresh root of $1: $(chroot "$root" dpkg-query -f '.' -W | wc -c) packages"
}

# runIn NAME COMMAND - in the clone, each step with its start in seconds; tells the time
runIn()
{
    local start=$SECONDS status=0

    echo "+ $2"
    # shellcheck disable=SC2016  # expanded inside
    unshare --mount --pid --fork --kill-child sh -c '
        mount -t proc proc "$1/proc" &&
        mount --rbind /dev "$1/dev" &&
        exec chroot "$1" env -i CI=true HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            DEBIAN_FRONTEND=noninteractive \
            bash -c "PS4=\"+ \\\${SECONDS}s: \"; cd /root/libfastsocket; set -x; $2"
    ' sh "$roots/$1" "$2" </dev/null || status=$?
    echo "exit status $status after $((SECONDS - start)) s"
    return "$status"
}
