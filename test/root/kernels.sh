#!/usr/bin/env bash
# Runs the unit and api programs, TLS by the kernel, the demo, the probe, and whatever small
# programs it is given, on kernels of Debian, in QEMU. Nothing is installed but what the packages
# below lack; all state is in $WORK.
#
# usage: kernels.sh BUILD [KERNEL...]
#
# BUILD     a build folder of this tree, with all targets built.
# KERNEL    what stands between linux-image- and -cloud-amd64 in the name of a package. Default:
#           $kernels.
#
# Environment:
#   WORK      where kernels and results are kept from one run to the next:
#             ${TMPDIR:-/tmp}/fastsocket-kernels
#   PROGRAMS  of the build folder instead of all of test/unit and test/api, and ktls
#   CASES     a folder of C programs that are right when they exit with 0, and skips with 77. Each
#             runs once, or as the lines of the file «forms» in it say: name and arguments, with a
#             variable of the environment (NAME=VALUE) before them, or with «load:», beside four
#             busy loops.
#   SETTINGS  of the guest's environment, NAME=VALUE: FASTSOCKET_ENGINE=epoll
#   ORDINARY  programs of the build folder that run then as a user without privilege
#   PARALLEL  guests at a time (1); SMP processors (2) and MEM MiB (2048) of each
#   LIMIT     seconds for a guest (3000)
#   ACCEL     QEMU's accelerator; kvm where a guest boots with it, else tcg,thread=multi
#
# Under TCG a guest boots in ten seconds, and everything takes some ten minutes. Old QEMU has faults
# of its own: what is seen once is run again before it is believed. The table at the end is what
# CONTRIBUTING.md shows.

set -eu

kernels='6.1.0-50 6.12.90+deb12.1 6.17.13+deb13 6.18.15+deb13 7.0.4+deb13 7.2.12+deb13 7.3.4+deb13'
[ $# -ge 1 ] || { sed -n 's/^# \(usage: .*\)/\1/p' "$0"; exit 2; }
source=$(cd "$(dirname "$0")/../.." && pwd)
build=$(realpath "$1")
shift
[ $# -gt 0 ] || read -ra list <<<"$kernels"
[ $# -eq 0 ] || list=("$@")
WORK=${WORK:-${TMPDIR:-/tmp}/fastsocket-kernels}
mkdir -p "$WORK"/{apt/lists/partial,apt/cache/archives/partial,packages,kernels,results}

for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod; do
    command -v "${tool%%:*}" >/dev/null || apt-get install -y --no-install-recommends "${tool##*:}"
done

# ---- kernels, by an apt whose sources are this machine's, for every release that has some ----

suites='bullseye bookworm bookworm-backports trixie trixie-backports'
mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' \
    /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -1)
for suite in $suites; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror% } $suite main"
done >"$WORK/apt/sources.list"
cat >"$WORK/apt/conf" <<END
Dir::Etc::sourcelist "$WORK/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$WORK/apt/lists";
Dir::Cache "$WORK/apt/cache";
APT::Sandbox::User "root";
END

# fetch KERNEL - unpacks it; from 6.19 on image, binary and modules are packages of their own
fetch()
{
    local folder=$WORK/kernels/$1 part file
    [ ! -e "$folder/vmlinuz" ] || return 0
    [ -e "$WORK/apt/updated" ] ||
        { APT_CONFIG=$WORK/apt/conf apt-get -qq update && touch "$WORK/apt/updated"; }
    mkdir -p "$folder"
    for part in image binary modules; do
        (cd "$WORK/packages" && APT_CONFIG=$WORK/apt/conf apt-get -qq download \
            "linux-$part-$1-cloud-amd64" 2>/dev/null) || continue
        for file in "$WORK/packages/linux-$part-$1-cloud-amd64"_*.deb; do
            dpkg -x "$file" "$folder"
        done
    done
    # The archive has some kernels without their modules: what needs one is then a skip.
    [ -d "$folder/lib/modules" ] ||
        { mkdir -p "$folder/lib" && ln -sfn ../usr/lib/modules "$folder/lib/modules"; }
    depmod -b "$folder" "$1-cloud-amd64" 2>/dev/null || true
    cp "$(find "$folder" -name 'vmlinuz*' -type f | head -1)" "$folder/vmlinuz"
}

# modulesOf KERNEL - the files of the modules that tests want, those they need first
modulesOf()
{
    local folder=$WORK/kernels/$1/lib/modules/$1-cloud-amd64 name line
    for name in fuse ctr ghash-generic gcm tls vsock_loopback sctp tipc mptcp_diag tun; do
        line=$(grep -m 1 -E "/$name\.ko[^/]*:" "$folder/modules.dep" 2>/dev/null) || continue
        # shellcheck disable=SC2086  # the words of the line; what is needed first stands last
        printf '%s\n' ${line//:/ } | tac | sed "s|^|$folder/|"
    done | awk '!seen[$0]++'
}

# ---- the root: busybox, what was built, and its libraries ----

root=$(mktemp -d "$WORK/root.XXXXXX")
trap 'rm -rf "$root"' EXIT

# addLibraries - of the programs named on the standard input
addLibraries()
{
    local file
    { xargs -r ldd 2>/dev/null || true; } | grep -oE '/[^ :)]+' | grep -v libfastsocket | sort -u |
    while read -r file; do
        [ -e "$root$file" ] || { mkdir -p "$root${file%/*}" && cp -L "$file" "$root$file"; }
    done
}

makeRoot()
{
    local name
    chmod 755 "$root"
    mkdir -p "$root"/{bin,usr/bin,proc,sys,dev,tmp,etc,root,build,cases,modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for name in $(busybox --list | grep -vxE 'busybox|setpriv|ip|sh'); do
        ln -sf busybox "$root/bin/$name"
    done
    (cd "$build" && { find test tools doc/examples lib -type f -perm -1 \
                          ! -name '*.py' ! -name '*.o' -print0
                      find lib -type l -print0; } | cpio -0 -pdm "$root/build" 2>/dev/null)
    for name in setpriv prlimit ip; do cp -L "$(command -v $name)" "$root/usr/bin/"; done
    cp -L "$(command -v dash)" "$root/bin/sh" # busybox's own shell would run its own programs first
    for name in "${CASES:-/nonexistent}"/*.c; do
        [ -e "$name" ] || continue
        cc -std=gnu11 -O1 -w -I"$source/include" "$name" -o "$root/cases/$(basename "$name" .c)" \
            -L"$build/lib" -Wl,-rpath,/build/lib -lfastsocket -luring -lpthread
    done
    [ ! -e "${CASES:-/nonexistent}/forms" ] || cp "$CASES/forms" "$root/cases/"
    find "$root/build" "$root/cases" "$root/usr/bin" "$root/bin/sh" -type f -perm -1 | addLibraries
    # Loaded by pthread_exit, and named by nobody.
    cp -L /lib/*-linux-gnu/libgcc_s.so.1 \
        "$root$(dirname "$(cd "$root" && find . -name libc.so.6 | sed 's|^\.||' | head -1)")/"
    printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
    echo "programs='${PROGRAMS:-}' ordinary='${ORDINARY:-}'" >"$root/job"
    [ -z "${SETTINGS:-}" ] || echo "export $SETTINGS" >>"$root/job"
    cat "$source/test/root/guest.sh" >>"$root/job"
    cat >"$root/init" <<'END'
#!/bin/sh
export PATH=/usr/bin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts; mount -t tmpfs -o mode=1777 tmp /tmp; mount -t tmpfs shm /dev/shm
ln -sf /proc/self/fd /dev/fd
rm -f /dev/hwrng # there is no such hardware behind it
ip link set lo up
ulimit -n 65536
for module in $(ls /modules); do insmod "/modules/$module"; done
stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1 2>&1 </dev/null
sh /job
sleep 1
poweroff -f
END
    chmod +x "$root/init"
}

# ---- guests ----

# boot KERNEL INITRD OUTPUT ACCELERATOR
boot()
{
    local processor=max
    [ "${4%%,*}" = kvm ] || processor=max,la57=off
    timeout "${LIMIT:-3000}" nice qemu-system-x86_64 \
        -accel "$4" -cpu "$processor" -smp "${SMP:-2}" -m "${MEM:-2048}" \
        -M q35 -display none -nodefaults -no-reboot \
        -chardev "file,id=c0,path=$3.console" -serial chardev:c0 \
        -chardev "file,id=c1,path=$3" -serial chardev:c1 \
        -kernel "$WORK/kernels/$1/vmlinuz" -initrd "$2" \
        -append "console=ttyS0 panic=-1 quiet loglevel=5 mitigations=off nokaslr" \
        </dev/null 2>/dev/null
}

# /dev/kvm may open and then hang: it counts when a guest has booted.
findAccelerator()
{
    [ -z "${ACCEL:-}" ] || { echo "$ACCEL"; return; }
    if [ -w /dev/kvm ]; then
        LIMIT=20 boot "${list[0]}" /dev/null "$WORK/results/trial" kvm || true
        ! grep -q 'Kernel panic' "$WORK/results/trial.console" || { echo kvm; return; }
    fi
    echo tcg,thread=multi
}

# runKernel KERNEL ACCELERATOR
runKernel()
{
    local work number=0 file
    work=$(mktemp -d "$WORK/initrd.XXXXXX")
    chmod 755 "$work" # it becomes the guest's root, where others than root must find their way
    mkdir "$work/modules"
    for file in $(modulesOf "$1"); do
        number=$((number + 1))
        cp "$file" "$work/modules/$(printf %02d $number)-${file##*/}"
    done
    (cd "$work" && find . | cpio -o -H newc 2>/dev/null) | cat "$WORK/root.cpio" - >"$work.cpio"
    rm -f "$WORK/results/$1"
    boot "$1" "$work.cpio" "$WORK/results/$1" "$2" || true
    rm -rf "$work" "$work.cpio"
    awk -v kernel="$1" -f "$source/test/root/kernels.awk" "$WORK/results/$1" \
        >"$WORK/results/$1.summary"
    cat "$WORK/results/$1.summary"
}

for kernel in "${list[@]}"; do fetch "$kernel"; done
makeRoot
(cd "$root" && find . | cpio -o -H newc 2>/dev/null) >"$WORK/root.cpio"
accelerator=$(findAccelerator)
echo "accelerator: $accelerator"
for kernel in "${list[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "${PARALLEL:-1}" ]; do wait -n; done
    runKernel "$kernel" "$accelerator" &
done
wait

echo
echo "| kernel | unit and api | demo | cases | guest's seconds |"
echo "| --- | --- | --- | --- | --- |"
for kernel in "${list[@]}"; do grep '^|' "$WORK/results/$kernel.summary"; done
! grep -q '^   ' "$WORK"/results/*.summary
