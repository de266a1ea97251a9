//! Marks in files, at the ends of disks and wherever a fact puts one: none of them may get lost.

use super::{Host, until};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// What stands at the ends of disks, and wherever a fact puts it.
const MARKS: [&str; 6] = ["first-of-disk0", "last-of-disk0", "first-of-disk1", "last-of-disk1", "far-behind-disk1", "of-somebody-else"];

/// Writes a mark into a file.
pub fn mark(path: &Path, at: u64, mark: &str) {
    File::options().write(true).create(true).truncate(false).open(path).unwrap().write_all_at(mark.as_bytes(), at).unwrap();
}

/// Every dataset that a case has made or changed, on both pools where there is another: all but the bystander's and chyves' own.
/// Each with these properties, by one call.
fn listed(host: &Host, kind: &str, properties: &str) -> Vec<Vec<String>> {
    let roots = [format!("{}/chyves", host.pool), format!("{}b/chyves", host.pool)];
    // The absence of the second is no reason to look at none.
    let listed = host.command("zfs").args(["list", "-H", "-r", "-o", properties, "-t", kind]).args(roots).output().unwrap().stdout;
    let inner = |n: &str| (n.contains("/guests/") || n.contains("/trash/") || n.contains("-aside")) && !n.contains("/guests/other");
    let rows =
        String::from_utf8_lossy(&listed).lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect::<Vec<Vec<String>>>();
    rows.into_iter().filter(|row| inner(&row[0])).collect()
}

/// The names of those file systems.
pub(super) fn datasets(host: &Host) -> Vec<String> {
    listed(host, "filesystem", "name").into_iter().map(|mut row| row.remove(0)).collect()
}

/// The marks that can be found: in the files of all guests and of the trash, and beside the pool; where one of the wanted is
/// not there, in snapshots too.
pub(super) fn marks(host: &Host, name: &str, wanted: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    search(&host.work(), &mut found);
    let mut places = listed(host, "filesystem", "name,mounted,mountpoint");
    // Those that are not mounted cost two calls each, and are looked at only while something is not found.
    places.sort_by_key(|place| place[1] != "yes");
    for place in &places {
        let (dataset, mounted) = (&place[0], place[1] == "yes");
        if !mounted && !wanted.is_empty() && wanted.is_subset(&found) {
            return found;
        }
        // One that cannot be mounted where it is looked at through a clone of a snapshot of it.
        if mounted || host.command("zfs").args(["mount", dataset]).output().unwrap().status.success() {
            search(&host.open_path(&place[2]), &mut found);
            if !mounted {
                host.sh("zfs", &["unmount", dataset]);
            }
        }
    }
    if wanted.is_subset(&found) {
        return found;
    }
    for snapshot in listed(host, "snapshot", "name").into_iter().map(|mut row| row.remove(0)) {
        let clone = format!("{}/look-{name}", host.pool);
        if host.command("zfs").args(["clone", &snapshot, &clone]).output().unwrap().status.success() {
            search(&host.open_path(host.zfs_get("mountpoint", &clone)), &mut found);
            until("the clone to be let go", || {
                host.command("zfs").args(["destroy", &clone]).output().unwrap().status.success().then_some(())
            });
        }
    }
    found
}

fn search(folder: &Path, found: &mut BTreeSet<&'static str>) {
    let wanted = MARKS.iter().flat_map(|m| ["-e", m]);
    let told = Command::new("grep").args(["-r", "-a", "-o", "-h", "-F"]).args(wanted).arg(folder).output().unwrap().stdout;
    let told = String::from_utf8_lossy(&told);
    found.extend(MARKS.iter().copied().filter(|m| told.lines().any(|l| l == *m)));
}
