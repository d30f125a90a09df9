#!/usr/bin/env bash
# Runs what touches a kernel on kernels of Debian, in QEMU: the unit and api programs, TLS by the
# kernel, the demo, the faults of test/fault; some of it as an ordinary user; and whatever small
# programs it is given; in a guest where the library chooses its engine, and in one on epoll.
# Nothing is installed but what the packages below lack; all state is in $WORK. The tables of
# test/fault/README.md are what it has found.
#
# usage: kernels.sh BUILD [KERNEL...]
#        kernels.sh --list
#        kernels.sh --table
#
# BUILD     a build folder of this tree, with all targets built.
# KERNEL    what stands between linux-image- and -cloud-amd64 in the name of a package. Default: of
#           every minor version since 6.1 that the archives below have the latest, newest first,
#           and bullseye's 5.10, where the library takes epoll. --list says which these are.
# --table   only writes the tables again, of all results in $WORK.
#
# Environment:
#   WORK      where kernels and results are kept from one run to the next:
#             ${TMPDIR:-/tmp}/fastsocket-kernels
#   PROGRAMS  of the build folder, with their arguments, one a line, instead of all
#   STRESS    faults that run with all their load, as well: the words of $stress
#   CASES     a folder of C programs that are right when they exit with 0, and skips with 77. Each
#             runs once, or as the lines of the file «forms» in it say: name and arguments, with a
#             variable of the environment (NAME=VALUE) before them, or with «load:», beside four
#             busy loops.
#   ENGINES   one guest for each (own epoll): the library's own choice, and FASTSOCKET_ENGINE=epoll
#   SETTINGS  of the guest's environment, NAME=VALUE
#   ORDINARY  programs that run as a user without privilege, too: the words of $ordinary
#   PARALLEL  guests at a time (1); SMP processors (2) and MEM MiB (2048) of each
#   BOUND     seconds after which a program has hung (1500); one with all its load has 3600
#   SILENCE   seconds without a word after which a guest itself has hung (3600); it has one to say
#             each minute of its own clock
#   ACCEL     QEMU's accelerator; kvm where a guest boots with it, else tcg,thread=single
#   CLOCK     of guests under tcg,thread=single, the machine's own if empty; shift=1,sleep=off:
#             QEMU's -icount, for a machine with much other work
#   PAUSE     a file: while it exists guests stand still, and so do their clocks
#   TABLE     no: the README stays as it is
#
# A program that hangs is ended, and one that takes its guest with it has another guest go on behind
# it: the tables say so. Under TCG a guest boots in ten seconds, and takes some ten minutes.
# Old QEMU has faults of its own, with several threads above all: what is seen once is run again
# before it is believed.

set -eu

# What no guest runs, and why.
leftOut='api/socket-bulk|messages of 1 GiB: more memory than a guest has'
for name in unit/{armed,crowded,fair,fork,gather,inbound,item,operation,outbound,pool,provider} \
    unit/{ring-simulated,short-pool,thread,timer} api/{automaton,buffer,pool-reserve}; do
    leftOut+=$'\n'"$name|asks nothing of a kernel but memory"
done
# Of test/unit: no ring of the library's choice, so that once is enough.
oneEngine='common datagram direct flight joined loan own-send run short-operation short-receive
short-send short-transmit soft soft-entry soft-file soft-handle soft-line
soft-share spare verdict'
stress=${STRESS-limit peer}
ordinary=${ORDINARY-api/ring api/stream api/socket-receive api/socket-transmit api/socket-kinds
fault/signal}

usage() { sed -n '/^# usage:/,/^#$/s/^# \?//p' "$0"; exit 2; }

[ $# -ge 1 ] || usage
source=$(cd "$(dirname "$0")/../.." && pwd)
WORK=${WORK:-${TMPDIR:-/tmp}/fastsocket-kernels}
mkdir -p "$WORK"/{apt/lists/partial,apt/cache/archives/partial,packages,kernels,results}

writeTable()
{
    python3 "$source/test/root/kernels.py" "$WORK" "$source/test/fault/README.md"
}

# ---- kernels, by an apt whose mirror is this machine's, for every release that has some ----

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
suites='bullseye bookworm bookworm-backports trixie trixie-backports'
export APT_CONFIG=$WORK/apt/conf

# Asks every archive for itself, so that one that can't be reached is known and keeps nothing from
# the others; $WORK/archives tells which is which, and $WORK/names what they have.
askArchives()
{
    local mirror suite state

    [ ! -e "$WORK/archives" ] || return 0
    mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' \
        /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -1)
    cat >"$WORK/apt/conf" <<END
Dir::Etc::sourcelist "$WORK/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$WORK/apt/lists";
Dir::Cache "$WORK/apt/cache";
APT::Sandbox::User "root";
APT::Get::List-Cleanup "false";
APT::Update::Error-Mode "any";
END
    for suite in $suites; do
        echo "deb [signed-by=$keyring] ${mirror% } $suite main" >"$WORK/apt/sources.list"
        state=reached
        apt-get -qq update || state=unreachable
        cat "$WORK/apt/sources.list" >>"$WORK/apt/all"
        echo "$suite $state"
    done >"$WORK/archives.new"
    mv "$WORK/apt/all" "$WORK/apt/sources.list"
    apt-cache pkgnames linux- >"$WORK/names"
    mv "$WORK/archives.new" "$WORK/archives"
}

# The latest of each minor version, newest first, and that of bullseye.
listKernels()
{
    sed -nE 's/^linux-image-([0-9].*)-cloud-amd64$/\1/p' "$WORK/names" | sort -rV | awk -F'[.]' '
            $1 == 5 && $2 == 10 || $1 == 6 && $2 >= 1 || $1 > 6 { if (!seen[$1 "." $2]++) print }'
}

# fetch KERNEL - unpacks it; from 6.19 on image, binary and modules are packages of their own
fetch()
{
    local folder=$WORK/kernels/$1 part file
    [ ! -e "$folder/vmlinuz" ] || return 0
    mkdir -p "$folder"
    # shellcheck disable=SC2013  # names of packages are words
    for part in $(grep -xF -e"linux-"{image,binary,modules}"-$1-cloud-amd64" "$WORK/names"); do
        (cd "$WORK/packages" && apt-get -qq download "$part") || continue
        for file in "$WORK/packages/$part"_*.deb; do dpkg -x "$file" "$folder"; done
    done
    # The archive has some kernels without their modules: what needs one is then a skip.
    [ -d "$folder/lib/modules" ] ||
        { mkdir -p "$folder/lib" && ln -sfn ../usr/lib/modules "$folder/lib/modules"; }
    depmod -b "$folder" "$1-cloud-amd64" 2>/dev/null || true
    file=$(find "$folder" -name 'vmlinuz*' -type f | head -1)
    [ -n "$file" ] || { echo "$1: no image in the archives" >&2; return 1; }
    cp "$file" "$folder/vmlinuz"
}

# modulesOf KERNEL - the files of the modules that tests want, those they need first
modulesOf()
{
    local folder=$WORK/kernels/$1/lib/modules/$1-cloud-amd64 name line
    for name in fuse ctr ghash-generic gcm tls vsock_loopback sctp tipc mptcp_diag tun veth \
        algif_skcipher algif_hash cbc nf_tables nft_reject_ipv4 sch_netem; do
        line=$(grep -m 1 -E "/$name\.ko[^/]*:" "$folder/modules.dep" 2>/dev/null) || continue
        # shellcheck disable=SC2086  # the words of the line; what is needed first stands last
        printf '%s\n' ${line//:/ } | tac | sed "s|^|$folder/|"
    done | awk '!seen[$0]++'
}

# ---- the root: busybox, what was built, and its libraries ----

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
    (cd "$build" && { find test/{unit,api,fault,interop,demo,model} tools lib -type f -perm -1 \
                          ! -name '*.py' ! -name '*.o' -print0
                      find lib -type l -print0; } | cpio -0 -pdm "$root/build" 2>/dev/null)
    # A guest has little memory, and not all of these are programs.
    find "$root/build" -type f -perm -1 -exec strip --strip-debug {} + 2>/dev/null || true
    for name in setpriv prlimit ip tc nft; do cp -L "$(command -v $name)" "$root/usr/bin/"; done
    cp -L "$(command -v dash)" "$root/bin/sh" # busybox's own shell would run its own programs first
    for name in "${CASES:-/nonexistent}"/*.c; do
        [ -e "$name" ] || continue
        cc -std=gnu11 -O1 -w -I"$source/include" "$name" -o "$root/cases/$(basename "$name" .c)" \
            -L"$build/lib" -Wl,-rpath,/build/lib -lfastsocket -luring -lpthread
    done
    find "$root/build" "$root/cases" "$root/usr/bin" "$root/bin/sh" -type f -perm -1 | addLibraries
    # Loaded by pthread_exit, and named by nobody.
    cp -L /lib/*-linux-gnu/libgcc_s.so.1 \
        "$root$(dirname "$(cd "$root" && find . -name libc.so.6 | sed 's|^\.||' | head -1)")/"
    printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
    { [ -z "${SETTINGS:-}" ] || echo "export $SETTINGS"; cat "$source/test/root/guest.sh"; } \
        >"$root/job"
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
. /job
sleep 1
poweroff -f
END
    chmod +x "$root/init"
}

# ---- what a guest runs: rows as guest.sh reads them ----

# isLeftOut PROGRAM
isLeftOut() { grep -q "^$1|" <<<"$leftOut"; }

# pathOf ROOM/NAME - in the build folder, of a row's name
pathOf()
{
    case $1 in
    fault/points-*) echo "test/$1-test" ;;
    fault/*) echo "test/$1-fault-test" ;;
    *) echo "test/$1-test" ;;
    esac
}

# rowsOfSuites ENGINE
rowsOfSuites()
{
    local bound=${BOUND:-1500} program name
    echo "$1 root short none 120 tools/fastsocket-probe"
    for program in "$root"/build/test/{unit,api,fault}/*-test; do
        name=${program#"$root/build/test/"}
        name=${name%-test}
        ! isLeftOut "$name" || continue
        [ "$1" = own ] || [[ " ${oneEngine//$'\n'/ } " != *" ${name#unit/} "* ]] || continue
        echo "$1 root short none $bound test/$name-test"
    done
    for program in $ordinary; do
        echo "$1 ordinary short none $bound $(pathOf "$program")"
    done
    echo "$1 root short none 600 test/interop/ktls-test"
    echo "$1 root short none 600 test/demo/fastsocket-demo 1"
    for program in $stress; do
        echo "$1 root long none 3600 $(pathOf "fault/$program")"
    done
}

# rowsOfCases ENGINE
rowsOfCases()
{
    local first rest
    [ -n "${CASES:-}" ] || return 0
    if [ -e "$CASES/forms" ]; then
        while read -r first rest; do
            case $first in
            load:) echo "$1 root short busy 300 /cases/$rest" ;;
            *=*) echo "$1 root short none 120 $first /cases/$rest" ;;
            *) echo "$1 root short none 120 /cases/$first $rest" ;;
            esac
        done <"$CASES/forms"
    else
        for first in "$CASES"/*.c; do
            echo "$1 root short none 120 /cases/$(basename "$first" .c)"
        done
    fi
}

# rowsOf ENGINE
rowsOf()
{
    local program
    if [ -n "${PROGRAMS:-}" ]; then
        while read -r program; do
            echo "$1 root short none ${BOUND:-1500} $program"
        done <<<"$PROGRAMS"
    else
        rowsOfSuites "$1"
    fi
    rowsOfCases "$1"
}

# ---- guests ----

isPaused() { [ -n "${PAUSE:-}" ] && [ -e "$PAUSE" ]; }

# startGuest KERNEL INITRD OUTPUT ACCELERATOR FIRST - its process is then $guest, and what hears
# commands of it $monitor
startGuest()
{
    local processor=max options="nokaslr no_timer_check" # that check fails on busy machines
    [ "${4%%,*}" = kvm ] || processor=max,la57=off
    while isPaused; do sleep 1; done
    rm -f "$3.monitor"
    mkfifo "$3.monitor"
    exec {monitor}<>"$3.monitor"
    rm "$3.monitor"
    nice qemu-system-x86_64 \
        -accel "$4" ${clock:+-icount "$clock"} -cpu "$processor" \
        -smp "${SMP:-2}" -m "${MEM:-2048}" \
        -M q35 -display none -nodefaults -no-reboot \
        -chardev stdio,id=m,signal=off -mon chardev=m \
        -chardev "file,id=c0,path=$3.console" -serial chardev:c0 \
        -chardev "file,id=c1,path=$3" -serial chardev:c1 \
        -kernel "$WORK/kernels/$1/vmlinuz" -initrd "$2" \
        -append "console=ttyS0 panic=-1 quiet loglevel=5 mitigations=off $options first=$5" \
        <&"$monitor" >/dev/null 2>&1 &
    guest=$!
}

# awaitGuest OUTPUT SECONDS - until it ends, or has been silent for so long; it tells each minute
awaitGuest()
{
    local now last
    while kill -0 "$guest" 2>/dev/null; do
        sleep 1
        if isPaused; then
            echo stop >&"$monitor"
            while isPaused; do sleep 1; done
            echo cont >&"$monitor"
            touch "$1"
        fi
        now=$(date +%s)
        last=$(stat -c %Y "$1" 2>/dev/null || echo "$now")
        [ $((now - last)) -lt "$2" ] || kill -9 "$guest"
    done
    wait "$guest" || true
    exec {monitor}<&-
}

# /dev/kvm may open and then hang: it counts when a guest has booted.
findAccelerator()
{
    [ -z "${ACCEL:-}" ] || { echo "$ACCEL"; return; }
    if [ -w /dev/kvm ]; then
        startGuest "$1" /dev/null "$WORK/results/trial" kvm 1
        awaitGuest "$WORK/results/trial" 20
        ! grep -q 'Kernel panic' "$WORK/results/trial.console" || { echo kvm; return; }
    fi
    echo tcg,thread=single
}

# runGuests KERNEL INITRD RESULT ROWS - until all rows have had their turn: one that took its guest
# with it is told as broken, and the next guest begins behind it
runGuests()
{
    local first=1 last
    while [ "$first" -le "$4" ]; do
        rm -f "$3.part" "$3.part.console"
        startGuest "$1" "$2" "$3.part" "$accelerator" "$first"
        awaitGuest "$3.part" "${SILENCE:-3600}"
        tr -d '\r' <"$3.part" >>"$3"
        ! grep -q '^END ' "$3.part" || break
        last=$(sed -nE 's/^ROW ([0-9]+) .*/\1/p' "$3.part" | tail -1)
        { echo; grep -aE 'panic|Oops|BUG|RIP:' "$3.part.console" | sed 's/^/KERNEL /'; } >>"$3"
        echo BROKEN >>"$3"
        [ -n "$last" ] || break
        first=$((last + 1))
    done
}

# runKernel KERNEL ENGINE
runKernel()
{
    local work number=0 file result=$WORK/results/$1.$2.result
    work=$(mktemp -d "$WORK/initrd.XXXXXX")
    chmod 755 "$work" # it becomes the guest's root, where others than root must find their way
    mkdir "$work/modules"
    for file in $(modulesOf "$1"); do
        number=$((number + 1))
        cp "$file" "$work/modules/$(printf %02d $number)-${file##*/}"
    done
    rowsOf "$2" >"$work/rows"
    (cd "$work" && find . | cpio -o -H newc 2>/dev/null) | cat "$WORK/root.cpio" - >"$work.cpio"
    {
        echo "RUN $(date -u +%F), $accelerator${clock:+, $clock}, ${SMP:-2} processors," \
            "${MEM:-2048} MiB"
        echo "LEFT-OUT ${leftOut//$'\n'/$'\n'LEFT-OUT }"
        [ "$number" -gt 0 ] || echo "NO-MODULES"
    } >"$result.new"
    runGuests "$1" "$work.cpio" "$result.new" "$(wc -l <"$work/rows")"
    mv "$result.new" "$result"
    rm -rf "$work" "$work.cpio"
    python3 "$source/test/root/kernels.py" "$result" || true
}

[ "$1" != --table ] || { writeTable; exit 0; }
askArchives
[ "$1" != --list ] || { cat "$WORK/archives" >&2; listKernels; exit 0; }
for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod \
    tc:iproute2 nft:nftables; do
    command -v "${tool%%:*}" >/dev/null ||
        env -u APT_CONFIG apt-get install -y --no-install-recommends "${tool##*:}"
done
build=$(realpath "$1")
shift
[ $# -gt 0 ] || mapfile -t list < <(listKernels)
[ $# -eq 0 ] || list=("$@")

root=$(mktemp -d "$WORK/root.XXXXXX")
trap 'rm -rf "$root"' EXIT
makeRoot
(cd "$root" && find . | cpio -o -H newc 2>/dev/null) >"$WORK/root.cpio"
accelerator='' clock='' status=0 results=()
for kernel in "${list[@]}"; do
    fetch "$kernel" || { status=1; continue; }
    [ -n "$accelerator" ] || accelerator=$(findAccelerator "$kernel")
    [ "$accelerator" != tcg,thread=single ] || clock=${CLOCK:-}
    for engine in ${ENGINES:-own epoll}; do
        [ "$engine" = own ] || [ "${kernel%%.*}" -ge 6 ] || continue # which takes epoll anyway
        while [ "$(jobs -rp | wc -l)" -ge "${PARALLEL:-1}" ]; do wait -n; done
        runKernel "$kernel" "$engine" &
        results+=("$WORK/results/$kernel.$engine.result")
    done
done
wait
[ "${TABLE:-}" = no ] || writeTable
for result in "${results[@]}"; do
    python3 "$source/test/root/kernels.py" "$result" >/dev/null || status=1
done
exit "$status"
