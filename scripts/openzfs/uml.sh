# shellcheck shell=sh disable=SC2034,SC2154 # variables go to and come from ../test-openzfs
# The machine that is a process: user-mode Linux, whose kernel is a program and whose programs run at the machine's own
# speed, stopped at each system call. Where there is no KVM the tests take a quarter of the time that emulation takes, or less. The kernel
# is built from Debian's source of the same series as the guests' kernel, once. Sourced by ../test-openzfs; qemu.sh is the
# other machine, with the same functions.

uml=$home/uml

# Finds or makes the kernel. Sets `kernel`, its release, and `kernel_modules`, the folder of its modules.
machine_kernel() {
    if [ -n "$fresh" ] || ! uml_is_made; then uml_make; fi
    kernel=$(cat "$uml/object/include/config/kernel.release")
    kernel_modules=$uml/installed/lib/modules/$kernel
}

uml_is_made() { [ -x "$uml/linux" ] && cmp -s "$root/scripts/openzfs/uml.config" "$uml/config"; }

uml_make() {
    uml_series=$(echo "$guests_kernel" | cut -d . -f 1,2)
    for uml_tool in gcc make flex bison bc perl xz; do
        have "$uml_tool" || die "building user-mode Linux needs $uml_tool: apt-get install gcc make flex bison bc perl xz-utils"
    done
    # Modules of a kernel with another configuration fit in nothing but their name.
    rm -rf "$uml" "$home"/*-uml "$home"/*-uml.base.cpio
    mkdir -p "$uml/source" "$uml/object"
    fetch_lists
    say "fetching linux-source-$uml_series"
    fetch_unpack "$uml/package" "linux-source-$uml_series"
    tar -C "$uml/source" --strip-components 1 -xf "$uml/package/usr/src/linux-source-$uml_series.tar.xz" ||
        die "could not unpack the source of Linux $uml_series"
    rm -rf "$uml/package"
    uml_log=$home/uml.build.log
    say "building user-mode Linux with $jobs job(s): 5 to 20 minutes; the log is ${uml_log#"$root"/}"
    (
        cd "$uml/source" &&
            uml_make_in defconfig &&
            sh scripts/kconfig/merge_config.sh -m -O "$uml/object" "$uml/object/.config" "$root/scripts/openzfs/uml.config" &&
            uml_make_in olddefconfig &&
            uml_holds_to "$root/scripts/openzfs/uml.config" "$uml/object/.config" &&
            uml_make_in -j"$jobs" linux modules &&
            uml_make_in INSTALL_MOD_PATH="$uml/installed" modules_install
    ) >"$uml_log" 2>&1 </dev/null || { tail -n 20 "$uml_log" >&2; die "user-mode Linux could not be built: see $uml_log"; }
    cp "$root/scripts/openzfs/uml.config" "$uml/config"
    cp "$uml/object/linux" "$uml/linux"
}

uml_make_in() { nice make -s ARCH=um O="$uml/object" CC=gcc "$@"; }

# Has the kernel all that was asked for, and nothing that was not? A name that Linux gave up would else be left out without a word.
uml_holds_to() {
    ! sed -n '/^CONFIG_/p; /^# CONFIG_[A-Z0-9_]* is not set$/p' "$1" | grep -vxFf "$2" | sed 's/^/not so in this Linux: /' | grep .
}

# Sets what qemu.sh's function of this name does; all of it lies there.
machine_headers() {
    build_source=$uml/source
    build_object=$uml/object
    build_compiler=gcc
}

# Told by the environment, since not every OpenZFS asks for the architecture.
machine_environment() { export ARCH=um; }

# OpenZFS has known user-mode Linux since 2.2. What is older takes it for a kernel that lets it use the vector units, calls what
# it has for CONFIG_X86 alone, and does not know that setjmp has another name there, since the C library's is in that program too.
machine_suit() {
    [ -e module/icp/Makefile ] || return 0
    sed -i -E 's/^#define HAVE_(SSE|SSSE|AVX|AES|PCLMULQDQ|MOVBE)[A-Z0-9_]* 1$//' zfs_config.h
    sed -i 's/^#if defined(__x86)$/#if defined(__x86) \&\& !defined(CONFIG_UML)/' include/os/linux/kernel/linux/simd.h
    # shellcheck disable=SC2016 # make's words
    sed -i 's/^\$(MODULE)-\$(CONFIG_X86) /$(MODULE)-$(CONFIG_X86_64) /' module/icp/Makefile
    echo 'asflags-y += -Dsetjmp=kernel_setjmp -Dlongjmp=kernel_longjmp' >>module/lua/Makefile
}

machine_name() { echo "user-mode Linux ($memory)"; }

# machine_run CONSOLE INITRD DISK WORD…: as qemu.sh's.
machine_run() {
    run_console=$1 run_initrd=$2 run_disk=$3
    shift 3
    set -- "$uml/linux" "uml_dir=$uml/run" "umid=$$" "mem=$memory" "initrd=$run_initrd" "ubd0=$run_disk" \
        con=null con0=fd:0,fd:1 console=tty0 quiet "$@"
    mkdir -p "$uml/run"
    if [ "$run_console" = - ]; then
        exec "$@"
    fi
    exec timeout "$limit" "$@" </dev/null >"$run_console" 2>&1
}
