# shellcheck shell=sh disable=SC2154 # `home`, `root` come from ../test-openzfs, `kernel` and `kernel_modules` from the machine
# The initramfs that the machine boots: this system's own programs with their libraries, an OpenZFS made by module.sh, and
# the tests. Sourced by ../test-openzfs.

# Programs that the tests, udev and init run. What is missing here busybox does, or the test that needs it says so.
image_programs='sh env mount umount unshare nsenter setsid kill find truncate dd cat cp mv rm mkdir ln ls stat sleep sync
    sha256sum cmp grep sed awk sort head tail tr wc id uname mktemp chmod touch test modprobe mke2fs ip qemu-img
    qemu-system-x86_64 genisoimage xorriso bridge ping which pgrep nft dnsmasq ps sysctl'
# Loaded with what they depend on; zfs comes from the OpenZFS. What a kernel has in itself, or lacks, is left out.
image_modules='virtio_pci virtio_blk ext4 crc32c_generic tun bridge veth 8021q isofs loop nf_tables nft_chain_nat nft_masq nft_ct'
# What QEMU and the guests in the machine need of this system.
image_files='/usr/share/seabios /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_VARS_4M.fd /usr/share/qemu/kvmvapic.bin
    /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/keymaps
    /usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so /usr/lib/ipxe/qemu /etc/passwd /etc/group'

# Copies a file to the same place below the image, whatever links lead to it.
image_copy() {
    mkdir -p "$image$(dirname "$1")"
    [ -e "$image$1" ] || cp -RL "$1" "$image$1"
}

# The libraries of a program, as paths; with those of the OpenZFS found where they were unpacked.
image_libraries() {
    LD_LIBRARY_PATH=$suite_root/lib/x86_64-linux-gnu:$suite_root/usr/lib/x86_64-linux-gnu ldd "$1" 2>/dev/null |
        awk '$2 == "=>" && $3 ~ /^\// { print $3; next } $1 ~ /^\// { print $1 }'
}

image_module_files() {
    awk -v name="$1" '
        function plain(path) { sub(/.*\//, "", path); sub(/\.ko.*/, "", path); gsub(/-/, "_", path); return path }
        BEGIN { gsub(/-/, "_", name) }
        { file = $1; sub(/:$/, "", file) }
        plain(file) == name { for (i = NF; i > 1; i--) print $i; print file }
    ' "$kernel_modules/modules.dep"
}

# image_base PLACE FILE: all but the tests.
image_base() {
    suite_root=$home/$1/root
    image=$home/$1/image.new
    rm -rf "$image"
    for image_dir in usr/bin usr/sbin usr/lib usr/lib64 dev proc sys run tmp var/tmp root etc tests; do mkdir -p "$image/$image_dir"; done
    for image_dir in bin sbin lib lib64; do ln -s "usr/$image_dir" "$image/$image_dir"; done
    ln -s /run "$image/var/run"
    ln -s /proc/self/mounts "$image/etc/mtab"

    # The OpenZFS, and udev with its rules.
    tar -C "$suite_root" --exclude ./usr/share --exclude ./etc -cf - . | tar -C "$image" --keep-directory-symlink -xf -
    for image_name in $image_programs; do
        image_path=$(command -v "$image_name") || continue
        case $image_path in
            /*) ;;
            # A word of this shell: the program of that name.
            *) image_path=$(PATH=/usr/bin:/bin:/usr/sbin:/sbin env which "$image_name" 2>/dev/null) || continue ;;
        esac
        [ -e "$image/usr/bin/$image_name" ] || cp -L "$image_path" "$image/usr/bin/$image_name"
    done
    for image_name in $image_files; do [ ! -e "$image_name" ] || image_copy "$image_name"; done
    cp "$(command -v busybox)" "$image/usr/bin/busybox"
    for image_name in $(busybox --list); do
        [ -e "$image/usr/bin/$image_name" ] || [ -e "$image/usr/sbin/$image_name" ] || ln -s busybox "$image/usr/bin/$image_name"
    done

    # The libraries of all these.
    for image_path in "$image"/usr/bin/* "$image"/usr/sbin/* "$image"/usr/lib/udev/* "$image"/usr/lib/systemd/systemd-udevd; do
        if [ -f "$image_path" ] && [ ! -L "$image_path" ]; then image_libraries "$image_path"; fi
    done | sort -u | while read -r image_path; do
        case $image_path in
            # It was copied with its package.
            "$suite_root"/*) ;;
            *) image_copy "$image_path" ;;
        esac
    done

    image_lib=$image/lib/modules/$kernel
    mkdir -p "$image_lib/extra"
    for image_name in $image_modules; do image_module_files "$image_name"; done | sort -u | while read -r image_path; do
        mkdir -p "$image_lib/$(dirname "$image_path")"
        cp "$kernel_modules/$image_path" "$image_lib/$image_path"
    done
    cp "$home/$1"/modules/*.ko "$image_lib/extra/"
    cp "$kernel_modules"/modules.builtin* "$kernel_modules/modules.order" "$image_lib/" 2>/dev/null || :
    depmod -b "$image" "$kernel" || die "depmod failed"
    cp "$root/scripts/openzfs/init" "$image/init"
    image_pack "$image" "$2"
    rm -rf "$image"
}

image_pack() { (cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$2" || die "cannot write $2"; }

# image_tests FILE NAME=PROGRAM…: the tests, and chyves where the tests know it to be.
image_tests() {
    tests_to=$1
    shift
    tests_image=$home/tests.new
    rm -rf "$tests_image"
    mkdir -p "$tests_image/tests" "$tests_image$root/target/emulated" "$tests_image$root/crates/cli/tests"
    for tests_item in "$@"; do
        strip -o "$tests_image/tests/${tests_item%%=*}" "$root/${tests_item#*=}"
    done
    strip -o "$tests_image$root/target/emulated/chyves" "$root/target/emulated/chyves"
    [ ! -d "$root/crates/cli/tests/snapshots" ] || cp -R "$root/crates/cli/tests/snapshots" "$tests_image$root/crates/cli/tests/"
    if [ -e "$root/target/guests/tiny.img" ]; then
        mkdir -p "$tests_image/guests"
        cp "$root/target/guests/tiny.img" "$root/target/guests/tiny-deaf.img" "$tests_image/guests/"
        # A whole system takes memory of the machine: only where a test boots it.
        case " $*" in *" network_guests="* | *" full="*) cp "$root/target/guests/linux.img" "$tests_image/guests/" ;; esac
    fi
    image_pack "$tests_image" "$tests_to"
    rm -rf "$tests_image"
}
