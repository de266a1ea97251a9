# shellcheck shell=sh disable=SC2154,SC2034 # `root`, `home` come from ../test-cloud-init; what is set here ../guest/linux/image.sh reads
# The disk of a Debian with cloud-init. Sourced by ../test-cloud-init.
#
# A GPT with two partitions: the boot partition of the small Linux guest, with another first process, and the root file
# system, which is the last, so that cloud-init can grow it.

# What a cloud's image of Debian has, without a kernel of its own: the small guest's serves.
# (debootstrap does not find python3-cffi-backend by itself: it is depended on by a name that it only provides.)
debian_packages=systemd-sysv,udev,kmod,iproute2,login,passwd,sudo,python3-cffi-backend,cloud-init,cloud-guest-utils,fdisk,e2fsprogs,openssh-server,dbus,libpam-systemd

# The mirror and release that this system's own packages come from.
debian_source() {
    # shellcheck disable=SC2016 # the words are apt's
    apt-get indextargets --format '$(CODENAME) $(SITE)' 'Created-By: Packages' | head -n 1
}

# debian_root FOLDER: the file system, as a folder.
debian_root() {
    [ -e "$1.packages" ] && [ "$(cat "$1.packages")" = "$debian_packages" ] && return 0
    rm -rf "$1" "$1.packages"
    debian_source >"$home/source"
    read -r debian_suite debian_mirror <"$home/source" || die "apt knows no source of packages"
    say "making a Debian $debian_suite with cloud-init: 1 to 5 minutes; the log is target/cloud-init/debootstrap.log"
    debootstrap --variant=minbase --include="$debian_packages" "$debian_suite" "$1" "$debian_mirror" >"$home/debootstrap.log" 2>&1 ||
        { tail -n 20 "$home/debootstrap.log" >&2; die "debootstrap failed"; }
    echo 'LABEL=chyves-root / ext4 errors=remount-ro 0 1' >"$1/etc/fstab"
    : >"$1/etc/machine-id"
    rm -f "$1/etc/hostname"
    rm -rf "$1"/var/cache/apt/archives/*.deb
    # As Debian's own images for clouds say: no other locale is there.
    echo 'locale: C.UTF-8' >"$1/etc/cloud/cloud.cfg.d/10_image.cfg"
    # Cards are set up by what cloud-init writes for it.
    chroot "$1" systemctl enable systemd-networkd >>"$home/debootstrap.log" 2>&1 || die "systemd-networkd can't be enabled"
    echo "$debian_packages" >"$1.packages"
}

# debian_image FILE FOLDER: the disk that boots the file system in the folder.
debian_image() {
    debian_size=2097152 # 1 GiB in sectors
    debian_start=$((linux_boot_start + linux_boot_size))
    debian_sectors=$((debian_size - debian_start - 2048))
    linux_init=$root/scripts/cloud-init/init
    linux_own=
    # The root file system is not the busybox' one.
    linux_cmdline='console=ttyS0,115200 mitigations=off panic=-1 quiet systemd.show_status=0'
    debian_work=$(mktemp -d "$home/work.XXXXXX")
    (
        cd "$debian_work" || exit 1
        linux_initramfs initramfs
        linux_boot_partition boot.fat
        mke2fs -q -F -t ext4 -L chyves-root -d "$2" root.ext4 $((debian_sectors / 2))k >/dev/null
        truncate -s $((debian_size * 512)) disk
        sfdisk --quiet --no-reread --no-tell-kernel disk <<END
label: gpt
start=$linux_boot_start, size=$linux_boot_size, type=uefi, name=chyves-boot, attrs=LegacyBIOSBootable
start=$debian_start, size=$debian_sectors, type=linux, name=chyves-root
END
        dd status=none conv=notrunc if="$linux_gpt_mbr" of=disk
        dd status=none conv=notrunc,sparse bs=512 seek="$linux_boot_start" if=boot.fat of=disk
        dd status=none conv=notrunc,sparse bs=1M oflag=seek_bytes seek=$((debian_start * 512)) if=root.ext4 of=disk
    ) || die "the disk could not be made"
    mv "$debian_work/disk" "$1"
    rm -rf "$debian_work"
}
