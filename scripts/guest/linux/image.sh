# shellcheck shell=sh disable=SC2154 # `here` comes from ../build
# How linux.img is made; sourced by ../build, which gives `here`, `need`, `need_file`, `digest`, `die`,
# and the options `kernel` and `modules`.
#
# The disk: a GPT with two partitions. The first, FAT, is the EFI system partition and the BIOS boot
# partition in one: GRUB for UEFI, syslinux for BIOS, and the kernel and initramfs that both load.
# The second, ext2, is named chyves-data and becomes /data.

# In sectors of 512 bytes.
linux_size=81920         # 40 MiB
linux_boot_start=2048
linux_boot_size=61440    # 30 MiB
linux_data_start=63488
linux_data_size=16384    # 8 MiB; what follows is for the second copy of the GPT

# Loaded at boot where the kernel has them, with what they depend on. The cloud kernel has no ahci,
# ata, e1000 or 9p; --kernel and --modules bring one that does.
linux_modules='virtio_pci virtio_blk virtio_net virtio_rng virtio_scsi virtio_console sd_mod button evdev
    nvme ahci sr_mod isofs vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8 crc32c_generic ext4 efivarfs e1000 8021q
    9p 9pnet_virtio'

# The first process, and what it needs of its own.
linux_init=$here/linux/init
linux_own=$here/linux/root

# No bootloader menu, no kernel chatter before the prompt. The CPU that TCG shows needs no mitigations,
# and they cost it time.
linux_cmdline='console=ttyS0,115200 quiet mitigations=off panic=-1'

linux_gpt_mbr=/usr/lib/syslinux/mbr/gptmbr.bin
linux_grub=/usr/lib/grub/x86_64-efi

# What `uname -r` will say, from the kernel's name.
linux_version() {
    basename "$kernel" | sed 's/^vmlinuz-//'
}

linux_needs() {
    need busybox busybox-static
    need cpio cpio
    need gzip gzip
    need mkfs.vfat dosfstools
    need mke2fs e2fsprogs
    need sfdisk fdisk
    need grub-mkimage grub-common
    need_file "$linux_grub/linux.mod" grub-efi-amd64-bin
    need modprobe kmod
    need mcopy mtools
    need syslinux syslinux
    need_file "$linux_gpt_mbr" syslinux-common
    if [ -z "$kernel" ]; then
        kernel=$(printf '%s\n' /boot/vmlinuz-*-cloud-amd64 | sort -V | tail -n 1)
        need_file "$kernel" linux-image-cloud-amd64
    fi
    [ -n "$modules" ] || modules=/lib/modules/$(linux_version)
    if [ -e "$kernel" ] && [ ! -e "$modules/modules.dep" ]; then
        die "$modules/modules.dep is missing: give the kernel's modules with --modules, or make it with depmod"
    fi
    # A busybox that needs libraries would be found out only by a kernel panic.
    if [ -z "$missing" ] && ! linux_is_static "$(command -v busybox)"; then
        missing="$missing busybox-static"
    fi
}

# Has the ELF file no interpreter?
linux_is_static() {
    ! readelf -l "$1" | grep -q INTERP
}

linux_digest() {
    {
        digest "$here/build" "$here/linux/image.sh" "$here/linux/init" "$kernel" "$modules/modules.dep" \
            "$(command -v busybox)" "$linux_gpt_mbr"
        (cd "$here/linux/root" && find . -type f | sort | xargs sha256sum)
    } | sha256sum | cut -d ' ' -f 1
}

# linux_module_files MODULE: its file and those it depends on, each below the modules' folder, in the
# order in which they must be loaded. Nothing for one that is built in or that this kernel lacks.
linux_module_files() {
    awk -v name="$1" '
        function plain(path) { sub(/.*\//, "", path); sub(/\.ko.*/, "", path); gsub(/-/, "_", path); return path }
        BEGIN { gsub(/-/, "_", name) }
        { file = $1; sub(/:$/, "", file) }
        plain(file) == name { for (i = NF; i > 1; i--) print $i; print file }
    ' "$modules/modules.dep"
}

# linux_initramfs FILE: busybox, the guest's own files and the modules.
linux_initramfs() {
    root=$PWD/root
    mkdir -p "$root/bin" "$root/etc" "$root/root" "$root/lib/modules" "$root/usr"
    for dir in sbin usr/bin usr/sbin; do ln -s /bin "$root/$dir"; done
    cp "$(command -v busybox)" "$root/bin/busybox"
    for applet in $(busybox --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    [ -z "$linux_own" ] || cp -R "$linux_own/." "$root/"
    cp "$linux_init" "$root/init"

    for module in $linux_modules; do
        linux_module_files "$module"
    done | awk '!seen[$0]++' >files
    while read -r file; do
        plain=$(basename "$file" | sed 's/\.\(xz\|zst\|gz\)$//')
        case $file in
        *.xz) xz -dc "$modules/$file" ;;
        *.zst) zstd -dc "$modules/$file" ;;
        *.gz) gzip -dc "$modules/$file" ;;
        *) cat "$modules/$file" ;;
        esac >"$root/lib/modules/$plain"
        echo "$plain"
    done <files >"$root/lib/modules/order"
    [ -s "$root/lib/modules/order" ] || die "no module of $modules is known to modules.dep: run 'depmod $(linux_version)'"

    (cd "$root" && find . | sort | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$1"
}

# linux_boot_partition FILE: the FAT file system with both loaders.
linux_boot_partition() {
    cat >grub.cfg <<END
linux /vmlinuz $linux_cmdline
initrd /initramfs
boot
END
    grub-mkimage -O x86_64-efi -d "$linux_grub" -p / -c grub.cfg -o BOOTX64.EFI part_gpt fat linux
    cat >syslinux.cfg <<END
DEFAULT linux
PROMPT 0
LABEL linux
  LINUX /vmlinuz
  INITRD /initramfs
  APPEND $linux_cmdline
END
    truncate -s $((linux_boot_size * 512)) "$1"
    # syslinux' boot sector needs to know where the partition begins (-h).
    mkfs.vfat -n BOOT -i c4e50001 -h "$linux_boot_start" "$1" >/dev/null
    mmd -i "$1" ::/EFI ::/EFI/BOOT
    mcopy -i "$1" BOOTX64.EFI ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$1" syslinux.cfg ::/syslinux.cfg
    mcopy -i "$1" initramfs ::/initramfs
    mcopy -i "$1" "$kernel" ::/vmlinuz
    syslinux --install "$1"
}

linux_image() { # FILE
    linux_initramfs initramfs
    linux_boot_partition boot.fat
    truncate -s $((linux_data_size * 512)) data.ext2
    mke2fs -q -F -t ext2 -m 0 -L chyves-data data.ext2

    truncate -s $((linux_size * 512)) "$1"
    sfdisk --quiet --no-reread --no-tell-kernel "$1" <<END
label: gpt
start=$linux_boot_start, size=$linux_boot_size, type=uefi, name=chyves-boot, attrs=LegacyBIOSBootable
start=$linux_data_start, size=$linux_data_size, type=linux, name=chyves-data
END
    dd status=none conv=notrunc if="$linux_gpt_mbr" of="$1"
    dd status=none conv=notrunc,sparse bs=512 seek="$linux_boot_start" if=boot.fat of="$1"
    dd status=none conv=notrunc,sparse bs=512 seek="$linux_data_start" if=data.ext2 of="$1"
}
