# shellcheck shell=sh disable=SC2154 # `home`, `suite`, `kernel` come from ../test-openzfs
# What comes from Debian, by an apt of our own: its sources, lists and cache lie below $home, nothing is installed, and
# the system's own apt is read and never written. Sourced by ../test-openzfs.

fetch_apt=$home/apt

# The system's Debian repositories, with their contrib component, and the backports beside them. Prints sources.list.
fetch_sources() {
    # shellcheck disable=SC2016 # the words are apt's
    apt-get indextargets --format '$(CREATED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)' 'Created-By: Packages' |
        awk -F '|' -v key=/usr/share/keyrings/debian-archive-keyring.gpg '
            $5 != "Debian" || $4 != "main" { next }
            { printf "deb [signed-by=%s] %s %s main contrib\n", key, $2, $3 }
            $3 !~ /-/ { printf "deb [signed-by=%s] %s %s-backports main contrib\n", key, $2, $3 }'
}

# ours COMMAND ARGUMENT…: apt-get or apt-cache on our own lists.
ours() {
    ours_command=$1
    shift
    "$ours_command" -o Dir::Etc::sourcelist="$fetch_apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$fetch_apt/lists" -o Dir::Cache="$fetch_apt/cache" -o Acquire::GzipIndexes=true \
        -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root "$@"
}

# Reads the lists of packages, at most once a run.
fetch_lists() {
    [ -z "${fetch_renewed:-}" ] || return 0
    fetch_renewed=yes
    have apt-get || die "this system has no apt-get: the packages of OpenZFS come from Debian"
    mkdir -p "$fetch_apt/lists/partial" "$fetch_apt/cache/archives/partial"
    fetch_sources >"$fetch_apt/sources.list"
    [ -s "$fetch_apt/sources.list" ] || die "apt knows no repository of Debian: see 'apt-get indextargets'"
    say "reading Debian's lists of packages, contrib and backports among them"
    ours apt-get update >"$home/fetch.log" 2>&1 || { tail -n 5 "$home/fetch.log" >&2; say "not all lists could be read"; }
}

# The versions of a package that are offered, newest first.
fetch_versions() { ours apt-cache madison "$1" 2>/dev/null | awk -F ' *[|] *' '{ print $2 "|" $3 }'; }

# The version of OpenZFS in the suite that is wanted: stable or backports.
fetch_zfs_version() {
    case $1 in
        backports) fetch_versions zfs-dkms | awk -F '|' '$2 ~ /-backports\// { print $1; exit }' ;;
        *) fetch_versions zfs-dkms | awk -F '|' '$2 !~ /-backports\// { print $1; exit }' ;;
    esac
}

# What VERSION of PACKAGE depends on, of the very same version: the libraries made with it. Prints PACKAGE=VERSION.
fetch_with() {
    ours apt-cache show "$1=$2" | sed -n 's/^Depends: //p' | tr ',' '\n' |
        sed -n 's/^ *\([^ ]*\) (= \(.*\))$/\1=\2/p' | grep -F "=$2"
}

# fetch_unpack FOLDER PACKAGE…: downloads and unpacks, nothing more.
fetch_unpack() {
    unpack_to=$1
    shift
    mkdir -p "$unpack_to" "$fetch_apt/debs"
    rm -f "$fetch_apt/debs"/*.deb
    (cd "$fetch_apt/debs" && ours apt-get download "$@" >"$home/fetch.log" 2>&1) ||
        { tail -n 5 "$home/fetch.log" >&2; die "could not fetch: $*"; }
    for unpack_deb in "$fetch_apt/debs"/*.deb; do
        dpkg-deb -x "$unpack_deb" "$unpack_to" || die "could not unpack $unpack_deb"
    done
    rm -f "$fetch_apt/debs"/*.deb
}

# fetch_headers FOLDER: those of the guests' kernel, with Debian's build programs for it; usable where they lie.
fetch_headers() {
    headers_own=linux-headers-$kernel
    headers_more=$(ours apt-cache show "$headers_own" 2>/dev/null | sed -n 's/^Depends: //p' | head -n 1 | tr ',' '\n' |
        sed -n 's/^ *\(linux-headers-[^ ]*-common\|linux-kbuild-[^ ]*\).*/\1/p')
    [ -n "$headers_more" ] || die "apt offers no $headers_own: the kernel in target/guest-kernel is older than what apt has;" \
        "remove that folder and run scripts/setup"
    # shellcheck disable=SC2086 # words on purpose
    fetch_unpack "$1" "$headers_own" $headers_more
    sed -i "s|^include /usr/src/|include $1/usr/src/|" "$1/usr/src/$headers_own/Makefile"
}
