//! Disks that are volumes, and the guest `web` that has one.

use super::{Host, With, until};
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Opens a volume as a hypervisor would; its device comes a moment after the volume.
fn device(volume: &str, write: bool) -> File {
    let path = PathBuf::from(format!("/dev/zvol/{volume}"));
    until(&format!("{} to be there and free", path.display()), || OpenOptions::new().read(true).write(write).open(&path).ok())
}

impl Host {
    /// Writes into a volume, and sees that it is on the pool.
    #[allow(clippy::unused_self)] // the host that the volume is on, as it reads in a test
    pub fn write_volume(&self, volume: &str, at: u64, bytes: &[u8]) {
        let device = device(volume, true);
        device.write_all_at(bytes, at).unwrap();
        device.sync_all().unwrap();
    }

    /// What stands in a volume.
    #[allow(clippy::unused_self)] // as above
    pub fn read_volume(&self, volume: &str, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        device(volume, false).read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    /// The volumes of a guest, each with a mark of its whole content.
    pub fn volumes(&self, dataset: &str) -> Vec<(String, u64)> {
        let listed = self.sh("zfs", &["list", "-H", "-r", "-t", "volume", "-o", "name", dataset]);
        let size = |name: &str| self.zfs_get("volsize", name).parse().unwrap();
        listed.lines().map(|name| (name.rsplit('/').next().unwrap().to_owned(), self.volume_mark(name, size(name)))).collect()
    }

    /// A mark of the whole content of a volume of so many bytes.
    pub fn volume_mark(&self, volume: &str, size: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.read_volume(volume, 0, size).hash(&mut hasher);
        hasher.finish()
    }

    /// Waits until the names of volumes' devices are those of the volumes: udev renames them a moment after ZFS.
    pub fn devices_settle(&self) {
        self.sh("udevadm", &["settle"]);
    }
}

/// A host with the guest `web`, whose disk 0 is a volume with a word in it.
pub fn host(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Volumes)?;
    host.ok("create web --disk zvol --size 8M loader=bios notes=first");
    host.write_volume(&disk(&host, "web", 0), 5_000_000, b"first");
    Some(host)
}

/// The dataset of a guest's volume.
pub fn disk(host: &Host, guest: &str, number: u16) -> String {
    format!("{}/disk{number}", host.dataset(guest))
}

/// The word in a guest's volume.
pub fn word(host: &Host, guest: &str, number: u16) -> String {
    let bytes = host.read_volume(&disk(host, guest, number), 5_000_000, 16);
    String::from_utf8(bytes).unwrap().trim_end_matches('\0').to_owned()
}

pub fn write(host: &Host, guest: &str, number: u16, word: &str) {
    let mut bytes = word.as_bytes().to_vec();
    bytes.resize(16, 0);
    host.write_volume(&disk(host, guest, number), 5_000_000, &bytes);
}

/// The numbers, kinds and sizes of a guest's disks.
pub fn disks(host: &Host, guest: &str) -> String {
    host.ok(&format!("disk list {guest} -H -p -o number,kind,size")).out.replace('\t', " ").replace('\n', ";")
}
