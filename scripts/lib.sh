# shellcheck shell=sh
# Common ground of scripts/setup, scripts/test and scripts/demo: messages, the toolchain, ZFS, and taking
# back what a run made. Sourced, not run. POSIX sh only: FreeBSD brings no bash.
#
# A script sets `me` (its name in messages) and `root` (the checkout) before it sources this file.

: "${me:?set me before sourcing lib.sh}" "${root:?set root before sourcing lib.sh}"

# ---------------------------------------------------------------- messages

# What is being done goes to stderr, so that stdout stays the answer.
say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() {
    printf '%s: %s\n' "$me" "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# What `uname` calls the system, in our words; anything else is refused by setup.
os_name() {
    case $(uname -s) in
        Linux) echo linux ;;
        FreeBSD) echo freebsd ;;
        *) echo other ;;
    esac
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "needs root (packages, ZFS, guests): run 'sudo $0'"
}

# A command line as a person would type it: a space before each word, and quotes where a shell needs them.
quoted() {
    for quoted_word in "$@"; do
        case $quoted_word in
            '' | *[!A-Za-z0-9_@%+=:,./-]*)
                case $quoted_word in
                    [a-zA-Z]*=*) printf " %s='%s'" "${quoted_word%%=*}" "${quoted_word#*=}" ;;
                    *) printf " '%s'" "$quoted_word" ;;
                esac
                ;;
            *) printf ' %s' "$quoted_word" ;;
        esac
    done
}

# ---------------------------------------------------------------- versions and the toolchain

# version_ge A B: is the dotted number A at least B?
version_ge() {
    awk -v a="$1" -v b="$2" 'BEGIN {
        n = split(a, x, "."); m = split(b, y, "."); if (m > n) n = m
        for (i = 1; i <= n; i++) { if (x[i] + 0 > y[i] + 0) exit 0; if (x[i] + 0 < y[i] + 0) exit 1 }
        exit 0
    }'
}

# The least Rust that the workspace builds with: said once, in Cargo.toml.
rust_wanted() {
    sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$root/Cargo.toml" 2>/dev/null | grep . || echo 1.89
}

# Finds a cargo and rustc that are new enough, on PATH or where rustup puts them, and leaves them on PATH.
# Asking for a version never lets rustup fetch a toolchain.
use_cargo() {
    rust_min=$(rust_wanted)
    for cargo_dir in '' "${CARGO_HOME:-${HOME:-/root}/.cargo}/bin" /usr/local/bin /usr/bin; do
        cargo_path=${cargo_dir:+$cargo_dir:}$PATH
        (cd / && env PATH="$cargo_path" RUSTUP_AUTO_INSTALL=0 cargo --version) >/dev/null 2>&1 || continue
        rust_version=$(cd / && env PATH="$cargo_path" RUSTUP_AUTO_INSTALL=0 rustc --version 2>/dev/null |
            sed -n 's/^rustc \([0-9.]*\).*/\1/p')
        if [ -n "$rust_version" ] && version_ge "$rust_version" "$rust_min"; then
            PATH=$cargo_path
            export PATH
            return 0
        fi
    done
    return 1
}

# ---------------------------------------------------------------- test guests

# The kernel for the Linux test guest: the installed cloud kernel, or the one that setup has unpacked.
guest_kernel() {
    for kernel_file in /boot/vmlinuz-*-cloud-amd64 "$root"/target/guest-kernel/boot/vmlinuz-*-cloud-amd64; do
        if [ -e "$kernel_file" ]; then
            echo "$kernel_file"
            return 0
        fi
    done
}

# build_guests FOLDER: makes the images there, or leaves those that are up to date alone.
build_guests() {
    kernel_file=$(guest_kernel)
    case $kernel_file in
        "$root"/*)
            "$root/scripts/guest/build" --kernel "$kernel_file" \
                --modules "$root/target/guest-kernel/lib/modules/${kernel_file##*/vmlinuz-}" "$1"
            ;;
        *) "$root/scripts/guest/build" "$1" ;;
    esac
}

# ---------------------------------------------------------------- ZFS

# Runs a command that may hang when a daemon is half dead.
bounded() {
    bounded_seconds=$1
    shift
    if have timeout; then timeout "$bounded_seconds" "$@"; else "$@"; fi
}

# Does `zfs` answer? That is the whole question: which ZFS it is does not matter.
zfs_answers() { have zfs && have zpool && bounded 20 zfs list -H -o name >/dev/null 2>&1; }

zfs_fuse_pid_file=/var/run/zfs-fuse.pid
zfs_fuse_socket=/var/run/zfs/zfs_socket

# Is process PID a zfs-fuse of this system that still runs? A dead one not yet collected has no program, and one
# in another mount namespace has another socket.
is_zfs_fuse() {
    [ "$(cat "/proc/$1/comm" 2>/dev/null)" = zfs-fuse ] && [ -e "/proc/$1/exe" ] &&
        [ "$(readlink "/proc/$1/root" 2>/dev/null)" = / ] &&
        [ "$(readlink "/proc/$1/ns/mnt" 2>/dev/null)" = "$(readlink /proc/self/ns/mnt)" ]
}

# The id of the zfs-fuse daemon that the pid file names.
zfs_fuse_pid() {
    zfs_pid=$(cat "$zfs_fuse_pid_file" 2>/dev/null) || return 1
    case $zfs_pid in '' | *[!0-9]*) return 1 ;; esac
    is_zfs_fuse "$zfs_pid" && echo "$zfs_pid"
}

# Megabytes of cache for the daemon. Its own default (100) is slow from about 2,000 datasets on; the memory
# is used only as datasets are read.
zfs_fuse_cache() {
    awk '/^MemTotal:/ { m = int($2 / 1024 / 6); if (m > 4096) m = 4096
        if (m < 1024) m = $2 >= 3000000 ? 1024 : 256; print m; exit }' /proc/meminfo
}

# Starts zfs-fuse and waits until `zfs` answers. A daemon that died leaves its socket and its pid file, and
# either one makes the next daemon give up without a word.
zfs_fuse_start() {
    [ -e /dev/fuse ] || modprobe fuse 2>/dev/null || :
    [ -e /dev/fuse ] || die "/dev/fuse is missing, so zfs-fuse cannot run: load the kernel's fuse module"
    zfs_tries=0
    for zfs_dir in /proc/[0-9]*; do
        # One that is being ended takes about ten seconds.
        while is_zfs_fuse "${zfs_dir#/proc/}"; do
            zfs_tries=$((zfs_tries + 1))
            [ "$zfs_tries" -lt 40 ] ||
                die "zfs-fuse runs as process ${zfs_dir#/proc/} and does not answer 'zfs list': end it, then try again"
            sleep 0.5
        done
    done
    rm -f "$zfs_fuse_socket" "$zfs_fuse_pid_file"
    mkdir -p /var/run/zfs /var/lib/zfs
    zfs_fuse_launch
}

# Starts the daemon and waits until it answers.
zfs_fuse_launch() {
    # Its descriptors are closed, or a pipe that reads this script's output would never see the end.
    (cd / && exec zfs-fuse --no-kstat-mount -m "$(zfs_fuse_cache)" --pidfile "$zfs_fuse_pid_file" \
        </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-) || die "zfs-fuse does not start: see the system's log"
    zfs_tries=0
    until zfs_answers && zfs_fuse_pid >/dev/null; do
        zfs_tries=$((zfs_tries + 1))
        [ "$zfs_tries" -lt 60 ] || die "zfs-fuse was started and does not answer: see 'zfs list' and the system's log"
        sleep 0.5
    done
}

# Datasets of this host that are roots of chyves: a command like `stop all` would reach the guests there.
chyves_roots() {
    bounded 60 zfs get -H -s local -o name,value chyves:layout 2>/dev/null | awk -F '\t' '$2 ~ /^[0-9]+$/ { print $1 }'
}

# Gives this run a ZFS of its own where the host already has guests of chyves: runs the script again in a mount
# namespace with a zfs-fuse that only it can reach. A kernel's ZFS is one for the whole host, so there it stops.
own_zfs() { # SCRIPT [ARGUMENT…]
    own_roots=$(chyves_roots)
    [ -n "$own_roots" ] || return 0
    if [ "$(os_name)" != linux ] || ! [ -S "$zfs_fuse_socket" ] || ! have unshare; then
        die "this host already has guests of chyves ($(echo "$own_roots" | tr '\n' ' ')), and $me starts and stops 'all':" \
            "run it on another host, or export that pool first"
    fi
    say "this host has a pool of chyves ($(echo "$own_roots" | tr '\n' ' ')): using a zfs-fuse of my own beside it"
    exec unshare --mount --propagation private env CHYVES_OWN_ZFS=yes "$@"
}

# Second half of own_zfs, in the new namespace. The list of known pools must be hidden too: a second daemon that
# opened the pools of the first would destroy them.
own_zfs_start() {
    for zfs_dir in /var/lib/zfs /var/run/zfs /var/lock/zfs; do
        mkdir -p "$zfs_dir"
        mount -t tmpfs tmpfs "$zfs_dir" || die "cannot hide the host's $zfs_dir"
    done
    zfs_fuse_pid_file=/var/run/zfs/zfs-fuse.pid
    zfs_fuse_launch
}

# zfs_fuse_stop PID: ends a daemon that this run started, unless someone has a pool in it by now.
zfs_fuse_stop() {
    [ "$(zfs_fuse_pid)" = "$1" ] || return 0
    zfs_pools=$(bounded 20 zpool list -H -o name 2>/dev/null) || zfs_pools=
    if [ -n "$zfs_pools" ]; then
        say "zfs-fuse (process $1) is left running: these pools are in it: $(echo "$zfs_pools" | tr '\n' ' ')"
        return 0
    fi
    kill "$1" 2>/dev/null || :
    zfs_tries=0
    while is_zfs_fuse "$1"; do
        zfs_tries=$((zfs_tries + 1))
        # It gives its own threads 10 seconds.
        [ "$zfs_tries" -ne 60 ] || kill -9 "$1" 2>/dev/null || :
        [ "$zfs_tries" -lt 80 ] || return 1
        sleep 0.25
    done
    rm -f "$zfs_fuse_pid_file" "$zfs_fuse_socket"
}

# ---------------------------------------------------------------- a run's own folder, and taking it back

# A new folder for one run: its pool files, mounts, sockets. Not in /tmp, which may be memory; and short,
# because the path of a socket has room for about 100 bytes.
new_work_dir() { mktemp -d "${CHYVES_WORK_BASE:-/var/tmp}/chyves.XXXXXX"; }

# Processes of this run: those with VARIABLE=VALUE in their environment. A run sets it to its own new folder,
# so no other process can carry it; no name and no pattern of a command line is ever matched.
marked_processes() {
    if [ -r /proc/self/environ ]; then
        for marked_dir in /proc/[0-9]*; do
            if tr '\0' '\n' 2>/dev/null <"$marked_dir/environ" | grep -qxF "$1" 2>/dev/null; then
                echo "${marked_dir#/proc/}"
            fi
        done 2>/dev/null
    else
        ps axeww -o pid= -o command= | awk -v mark="$1" 'index($0 " ", " " mark " ") { print $1 }'
    fi
}

# Ends them: asked first, killed after ten seconds. Prints how many there were.
end_marked_processes() {
    marked_now=$(marked_processes "$1")
    [ -n "$marked_now" ] || { echo 0; return 0; }
    echo "$marked_now" | wc -l | tr -d ' '
    for marked_pid in $marked_now; do kill "$marked_pid" 2>/dev/null || :; done
    marked_tries=0
    while marked_now=$(marked_processes "$1"); [ -n "$marked_now" ]; do
        marked_tries=$((marked_tries + 1))
        [ "$marked_tries" -le 40 ] || return 1
        if [ "$marked_tries" -gt 20 ]; then
            for marked_pid in $marked_now; do kill -9 "$marked_pid" 2>/dev/null || :; done
        fi
        sleep 0.5
    done
}

# Names of the imported pools all of whose files lie in FOLDER.
pools_in() {
    for pool_name in $(bounded 20 zpool list -H -o name 2>/dev/null); do
        bounded 20 zpool status "$pool_name" 2>/dev/null | awk -v dir="$1/" '
            $1 ~ /^\// { if (index($1, dir) == 1) ours = 1; else other = 1 }
            END { exit !(ours && !other) }' && echo "$pool_name"
    done
}

# Destroys a pool of ours. zfs-fuse says "pool is busy" for a moment after it has unmounted a file system.
destroy_pool() {
    pool_tries=0
    until pool_error=$(bounded 60 zpool destroy -f "$1" 2>&1); do
        pool_tries=$((pool_tries + 1))
        [ "$pool_tries" -lt 20 ] || { say "$pool_error"; return 1; }
        sleep 0.5
    done
}

# remove_work_dir FOLDER VARIABLE: everything that a run left in its folder. Prints what there was besides
# files, a line each, so that a test can call it a defect. Fails when something could not be removed.
remove_work_dir() {
    work_left=0
    work_count=$(end_marked_processes "$2=$1") || work_left=1
    [ "${work_count:-0}" -eq 0 ] || echo "$work_count process(es)"
    for work_pool in $(pools_in "$1"); do
        echo "pool $work_pool"
        destroy_pool "$work_pool" || work_left=1
    done
    # Never remove files through a mount that is still there, nor the file of a pool that is.
    if [ "$work_left" -ne 0 ] || mount | grep -qF " $1/"; then
        work_left=1
    else
        rm -rf "$1" || work_left=1
    fi
    [ "$work_left" -eq 0 ] || echo "not removed: $1"
    return "$work_left"
}
