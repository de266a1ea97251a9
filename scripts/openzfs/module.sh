# shellcheck shell=sh disable=SC2154 # `home`, `kernel`, `jobs` come from ../test-openzfs, `build_…` from the machine
# One OpenZFS for one machine, made ready below $home/PLACE: the kernel modules, built from Debian's sources against the
# machine's kernel, and the programs with their libraries. Sourced by ../test-openzfs, after fetch.sh and the machine.
#
#   PLACE/made       the version and the kernel that it was made for
#   PLACE/modules/   zfs.ko, spl.ko and, where there are more, the others
#   PLACE/root/      zfs, zpool, udev and its rules, as their packages have them

# Is there one that suits, and is it still what apt would give? Without the network the one that is there does.
module_is_made() {
    [ -n "$(ls "$home/$1/modules" 2>/dev/null)" ] && grep -qx "[^ ]* $kernel" "$home/$1/made" 2>/dev/null
}

module_version() { cut -d ' ' -f 1 "$home/$1/made"; }

# make_module PLACE SUITE: fails when the suite has no OpenZFS.
make_module() {
    if module_is_made "$1"; then return 0; fi
    fetch_lists
    zfs_version=$(fetch_zfs_version "$2")
    [ -n "$zfs_version" ] || return 1
    module_work=$home/$1.new
    rm -rf "$module_work"
    mkdir -p "$module_work/modules" "$module_work/root"
    say "$1: fetching OpenZFS $zfs_version and what modules of $kernel are built with"
    # shellcheck disable=SC2046 # words on purpose
    fetch_unpack "$module_work/root" "zfsutils-linux=$zfs_version" $(fetch_with zfsutils-linux "$zfs_version") udev libkmod2
    fetch_unpack "$module_work/source" "zfs-dkms=$zfs_version"
    machine_headers "$module_work"
    module_build "$1" "$module_work"
    echo "$zfs_version $kernel" >"$module_work/made"
    rm -rf "$module_work/source" "$module_work/headers" "${home:?}/$1"
    mv "$module_work" "$home/$1"
}

module_build() {
    have "${build_compiler:-gcc}" || die "the kernel's modules need ${build_compiler:-gcc}: apt-get install $build_compiler"
    for build_tool in make perl awk; do have "$build_tool" || die "building the modules needs $build_tool"; done
    build_log=$home/$1.build.log
    say "$1: building the kernel modules with $jobs job(s): 5 to 20 minutes; the log is ${build_log#"$root"/}"
    (
        cd "$2"/source/usr/src/zfs-* &&
            machine_environment &&
            nice sh ./configure --disable-dependency-tracking --with-config=kernel \
                --with-linux="$build_source" --with-linux-obj="$build_object" &&
            machine_suit &&
            nice make -j"$jobs"
    ) >"$build_log" 2>&1 </dev/null || { tail -n 20 "$build_log" >&2; die "the modules could not be built: see $build_log"; }
    find "$2"/source/usr/src/zfs-*/module -name '*.ko' -exec cp {} "$2/modules/" \;
    [ -e "$2/modules/zfs.ko" ] || die "the build went through and made no zfs.ko: see $build_log"
    # Half of their size is for debuggers.
    ! have strip || strip --strip-debug "$2"/modules/*.ko
}
