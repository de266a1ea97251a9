//! The list of mounts that Linux shows.
//!
//! Not here: mounting (`mounts`).

use crate::hostfs::kernel;
use chyves_core::cmd::Cmd;
use chyves_core::value::Dataset;

/// The mounts of this process, as Linux prints them: source, mount point, type.
pub(crate) const MOUNTS: &str = "/proc/self/mounts";

/// The mount point of a dataset, as the kernel prints it; none if it is not mounted.
pub(crate) fn mounted_at<'a>(mounts: &'a str, dataset: &Dataset) -> Option<&'a str> {
    let source = escaped(dataset.as_str());
    mounts.lines().map(|line| line.split(' ')).find_map(|mut words| {
        let (what, at, kind) = (words.next()?, words.next()?, words.next()?);
        (what == source && (kind == "zfs" || kind.starts_with("fuse"))).then_some(at)
    })
}

/// The place of another file system that is mounted below one that a command of ZFS names.
pub(crate) fn mount_below(cmd: &Cmd) -> Option<String> {
    let names = cmd.args.iter().filter(|_| cmd.program == "zfs").filter_map(|name| name.split('@').next()?.parse().ok());
    let datasets: Vec<Dataset> = names.collect();
    let mounts = kernel::text(MOUNTS).ok()?;
    datasets.iter().find_map(|dataset| below(&mounts, dataset))
}

fn below(mounts: &str, dataset: &Dataset) -> Option<String> {
    let above = format!("{}/", mounted_at(mounts, dataset)?);
    let place = mounts.lines().filter_map(|line| line.split(' ').nth(1)).find(|at| at.starts_with(&above))?;
    Some(place.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))
}

/// A name as the kernel escapes it in its list of mounts.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_in_a_file_system_is_found_and_one_beside_it_is_not() {
        let mounts = "tank/web /mnt/web fuse rw 0 0\ntank/web2 /mnt/web2 fuse rw 0 0\ntmpfs /mnt/web2/a\\040b\\134c tmpfs rw 0 0\n";
        assert_eq!(below(mounts, &"tank/web".parse().unwrap()), None);
        assert_eq!(below(mounts, &"tank/web2".parse().unwrap()).as_deref(), Some("/mnt/web2/a b\\c"));
        assert_eq!(below(mounts, &"tank".parse().unwrap()), None);
    }

    #[test]
    fn what_is_mounted_is_told_by_the_whole_name_and_the_kind() {
        let mounts = "tank/c/guests/web01 /mnt/guests/web01 fuse rw,allow_other 0 0\n\
            my\\040pool/c/guests/db /mnt/my\\040pool/db fuse.zfs rw 0 0\n\
            tank/c/guests/ext /mnt/ext ext4 rw 0 0\n";
        for (dataset, is) in [
            ("tank/c/guests/web01", true),
            ("my pool/c/guests/db", true),
            ("tank/c/guests/web", false),
            ("tank/c/guests/web012", false),
            ("guests/web01", false),
            ("tank/c/guests/ext", false),
        ] {
            assert_eq!(mounted_at(mounts, &dataset.parse().unwrap()).is_some(), is, "{dataset}");
        }
        assert_eq!(mounted_at(mounts, &"my pool/c/guests/db".parse().unwrap()), Some(escaped("/mnt/my pool/db").as_str()));
        assert_eq!(mounted_at("", &"tank/c".parse().unwrap()), None);
    }
}
