# shellcheck shell=sh disable=SC2154 # `home`, `kernel`, `jobs` come from ../test-openzfs
# One OpenZFS, made ready below $home/SUITE: the kernel modules, built from Debian's sources against the headers of the
# guests' kernel, and the programs with their libraries. Sourced by ../test-openzfs, after fetch.sh.
#
#   SUITE/made       the version and the kernel that it was made for
#   SUITE/modules/   zfs.ko, spl.ko and, where there are more, the others
#   SUITE/root/      zfs, zpool, udev and its rules, as their packages have them

# Is there one that suits, and is it still what apt would give? Without the network the one that is there does.
module_is_made() {
    [ -n "$(ls "$home/$1/modules" 2>/dev/null)" ] && grep -qx "[^ ]* $kernel" "$home/$1/made" 2>/dev/null
}

module_version() { cut -d ' ' -f 1 "$home/$1/made"; }

# make_module SUITE: fails when the suite has no OpenZFS.
make_module() {
    if module_is_made "$1"; then return 0; fi
    fetch_lists
    zfs_version=$(fetch_zfs_version "$1")
    [ -n "$zfs_version" ] || return 1
    module_work=$home/$1.new
    rm -rf "$module_work"
    mkdir -p "$module_work/modules" "$module_work/root"
    say "$1: fetching OpenZFS $zfs_version and the headers of $kernel"
    # shellcheck disable=SC2046 # words on purpose
    fetch_unpack "$module_work/root" "zfsutils-linux=$zfs_version" $(fetch_with zfsutils-linux "$zfs_version") udev libkmod2
    fetch_unpack "$module_work/source" "zfs-dkms=$zfs_version"
    fetch_headers "$module_work/headers"
    module_build "$1" "$module_work"
    echo "$zfs_version $kernel" >"$module_work/made"
    rm -rf "$module_work/source" "$module_work/headers" "${home:?}/$1"
    mv "$module_work" "$home/$1"
}

# The compiler that the kernel was built with: its modules must come from the same.
module_compiler() {
    sed -n 's/^CC = .*(CROSS_COMPILE)\([^ ]*\)$/\1/p' "$1/usr/src/linux-headers-$kernel/.kernelvariables"
}

module_build() {
    build_compiler=$(module_compiler "$2/headers")
    have "${build_compiler:-gcc}" || die "the kernel's modules need ${build_compiler:-gcc}: apt-get install $build_compiler"
    for build_tool in make perl awk; do have "$build_tool" || die "building the modules needs $build_tool"; done
    build_common=$(find "$2/headers/usr/src" -maxdepth 1 -name 'linux-headers-*-common' | head -n 1)
    build_log=$home/$1.build.log
    say "$1: building the kernel modules with $jobs job(s): 5 to 20 minutes; the log is ${build_log#"$root"/}"
    (
        cd "$2"/source/usr/src/zfs-* &&
            nice sh ./configure --disable-dependency-tracking --with-config=kernel \
                --with-linux="$build_common" --with-linux-obj="$2/headers/usr/src/linux-headers-$kernel" &&
            nice make -j"$jobs"
    ) >"$build_log" 2>&1 </dev/null || { tail -n 20 "$build_log" >&2; die "the modules could not be built: see $build_log"; }
    find "$2"/source/usr/src/zfs-*/module -name '*.ko' -exec cp {} "$2/modules/" \;
    [ -e "$2/modules/zfs.ko" ] || die "the build went through and made no zfs.ko: see $build_log"
    # Half of their size is for debuggers.
    ! have strip || strip --strip-debug "$2"/modules/*.ko
}
