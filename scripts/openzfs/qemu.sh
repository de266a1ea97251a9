# shellcheck shell=sh disable=SC2034,SC2154 # variables go to and come from ../test-openzfs
# The machine that QEMU runs, by emulation where there is no KVM: the guests' kernel of Debian, unpacked by scripts/setup.
# Sourced by ../test-openzfs; uml.sh is the other machine, with the same functions.

# Finds the kernel. Sets `kernel`, its release, and `kernel_modules`, the folder of its modules.
machine_kernel() {
    have qemu-system-x86_64 || die "qemu-system-x86_64 is missing: run scripts/setup --for test"
    kernel=$guests_kernel
    kernel_file=$root/target/guest-kernel/boot/vmlinuz-$kernel
    kernel_modules=$root/target/guest-kernel/lib/modules/$kernel
}

# Puts into FOLDER what modules of this kernel are built with. Sets `build_source`, `build_object`, and `build_compiler`, the
# one that the kernel was built with.
machine_headers() {
    fetch_headers "$1/headers"
    build_object=$1/headers/usr/src/linux-headers-$kernel
    build_source=$(find "$1/headers/usr/src" -maxdepth 1 -name 'linux-headers-*-common' | head -n 1)
    build_compiler=$(sed -n 's/^CC = .*(CROSS_COMPILE)\([^ ]*\)$/\1/p' "$build_object/.kernelvariables")
}

# The words that `make` and `configure` want in their environment.
machine_environment() { :; }

# What the sources of OpenZFS need, after they were configured, to suit this kernel: nothing.
machine_suit() { :; }

# KVM may be there and not work.
accel() {
    if [ -w /dev/kvm ] && grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo; then echo kvm; else echo tcg; fi
}

machine_name() { echo "QEMU ($(accel), $memory)"; }

# machine_run CONSOLE INITRD DISK WORD…: runs it until it is off, with these words on its kernel's command line; its console
# is the file, or this terminal for `-`. Programs lie at the same addresses in each process (norandmaps): so an emulator has
# what it translated of chyves and of zfs for the next one, too.
machine_run() {
    run_console=$1 run_initrd=$2 run_disk=$3
    shift 3
    set -- -nodefaults -no-user-config -display none -M q35 -accel "$(accel)" -cpu max -smp 2 -m "$memory" -no-reboot \
        -kernel "$kernel_file" -initrd "$run_initrd" \
        -append "console=ttyS0,115200 quiet mitigations=off norandmaps panic=-1 sysrq_always_enabled=1 $*" \
        -drive "file=$run_disk,format=raw,if=virtio,cache=unsafe"
    if [ "$run_console" = - ]; then
        exec qemu-system-x86_64 "$@" -serial mon:stdio
    fi
    exec timeout "$limit" qemu-system-x86_64 "$@" -serial "file:$run_console" </dev/null
}
