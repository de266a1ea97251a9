//! A guest's or an image's file system that somebody hostile has written: each file of it replaced by each kind of trap,
//! under every command that touches it. No file of the host is read or changed by way of it, no command blocks, what is
//! refused says so, and the lock is free afterwards.
//!
//! To cover a new file: a row in [`GUEST`] or [`IMAGE`].

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::stream::{done, receive, send};
use common::{Host, With};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What is put where a file should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// A symbolic link to a file of the host; for a folder, to a folder of the host.
    Link,
    /// A symbolic link to a file without end.
    Zero,
    /// The folder above it is a symbolic link to a folder of the host that has such a file.
    Parent,
    /// Another name of another file of the guest.
    HardLink,
    /// A FIFO that nobody writes to.
    Fifo,
    /// A device.
    Device,
    /// The file itself, set-user-ID.
    SetUid,
    /// A file of 1 TiB of holes.
    Huge,
    /// The file and a symbolic link to a file of the host, in turns while the command runs.
    Swapped,
}

const ALL: [Attack; 9] = [
    Attack::Link,
    Attack::Zero,
    Attack::Parent,
    Attack::HardLink,
    Attack::Fifo,
    Attack::Device,
    Attack::SetUid,
    Attack::Huge,
    Attack::Swapped,
];

impl Attack {
    /// Whether a command that needs the file must refuse it.
    fn is_no_file(self) -> bool {
        matches!(self, Self::Link | Self::Zero | Self::Parent | Self::Fifo | Self::Device)
    }
}

/// A file, and the commands that touch it: `!` before one says that it needs the file, so that it refuses what is none.
struct Row {
    path: &'static str,
    commands: &'static [&'static str],
}

/// Below the guest `web`, which has a disk, UEFI firmware and cloud-init.
const GUEST: &[Row] = &[
    Row { path: "config.toml", commands: &["!set web description=x", "repair", "info web", "cloud-init show web"] },
    Row { path: "config.toml.new", commands: &["set web description=x"] },
    Row {
        path: "disk0.raw",
        commands: &[
            "!start -n web",
            "!start web",
            "!disk resize web disk0 3M",
            "disk sync web",
            "disk list web",
            "list -v",
            "snapshot web@turn=x",
            "snapshot rollback web@first -n",
            "clone web@first c-x --independent -n",
            "send web@first -n",
        ],
    },
    Row { path: "uefi-vars.fd", commands: &["!start web", "firmware reset web"] },
    Row { path: "uefi-vars.fd.new", commands: &["firmware reset web"] },
    Row { path: "logs", commands: &["!start web"] },
    Row { path: "cloud-init", commands: &["!cloud-init show web", "!start web", "!cloud-init set web --user-data ./user-data"] },
    Row { path: "cloud-init/user-data", commands: &["!cloud-init show web", "!start web", "!cloud-init set web --user-data ./user-data"] },
    Row { path: "cloud-init/vendor-data", commands: &["!cloud-init show web"] },
    Row { path: "cloud-init/network-config", commands: &["!cloud-init show web"] },
    Row { path: "cloud-init/authorized_keys", commands: &["!cloud-init show web"] },
];

/// Below the image `small`.
const IMAGE: &[Row] = &[Row {
    path: "disk0.raw",
    commands: &[
        "!image verify small",
        "image info small",
        "image list",
        "image rename small small -n",
        "image delete small -n",
        "create other --image small -n",
    ],
}];

/// What no command may say, or write anywhere.
const SECRET: &str = "root:canary-of-the-host";

/// A folder of the host with files that are nobody's business.
struct Canary {
    folder: PathBuf,
    file: PathBuf,
}

impl Canary {
    fn new(host: &Host) -> Self {
        let folder = host.dir().join("elsewhere");
        fs::create_dir(&folder).unwrap();
        let canary = Self { file: folder.join("canary"), folder };
        canary.renew();
        canary
    }

    /// Makes it as it was, not read since long ago.
    fn renew(&self) {
        fs::write(&self.file, SECRET).unwrap();
        fs::set_permissions(&self.file, Permissions::from_mode(0o600)).unwrap();
        let at = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
        let times = Timestamps { last_access: at(1_000_000), last_modification: at(900_000) };
        rustix::fs::utimensat(CWD, &self.file, &times, AtFlags::empty()).unwrap();
    }

    /// Another name for the canary in its folder, as a link to that folder would lead to.
    fn also_as(&self, name: &str) {
        if name != "canary" {
            fs::hard_link(&self.file, self.folder.join(name)).unwrap();
        }
    }

    fn check(&self, names: &[&str], what: &str) {
        let meta = fs::metadata(&self.file).unwrap();
        assert_eq!((meta.mtime(), meta.mode() & 0o7777), (900_000, 0o600), "{what}: a file of the host was changed");
        assert_eq!(meta.atime(), 1_000_000, "{what}: a file of the host was read");
        let mut there: Vec<String> = fs::read_dir(&self.folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        let mut expected: Vec<&str> = names.iter().copied().chain(["canary"]).collect();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(there, expected, "{what}: a folder of the host was written to");
    }
}

/// Puts the trap in the place of a file below `root`, which is as the test opens it.
fn lay(attack: Attack, root: &Path, path: &str, canary: &Canary, is_folder: bool) {
    let at = root.join(path);
    let aside = || {
        if fs::symlink_metadata(&at).is_ok() {
            fs::rename(&at, root.join("aside")).unwrap();
        }
    };
    match attack {
        Attack::Link | Attack::Swapped => {
            aside();
            symlink(if is_folder { &canary.folder } else { &canary.file }, &at).unwrap();
        }
        Attack::Zero => {
            aside();
            symlink("/dev/zero", &at).unwrap();
        }
        Attack::Parent => {
            let (above, name) = path.rsplit_once('/').unwrap();
            canary.also_as(name);
            fs::rename(root.join(above), root.join("aside")).unwrap();
            symlink(&canary.folder, root.join(above)).unwrap();
        }
        Attack::HardLink => {
            aside();
            fs::hard_link(root.join("other"), &at).unwrap();
        }
        Attack::Fifo => {
            aside();
            rustix::fs::mknodat(CWD, &at, FileType::Fifo, Mode::RWXU, 0).unwrap();
        }
        Attack::Device => {
            aside();
            rustix::fs::mknodat(CWD, &at, FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 5)).unwrap();
        }
        Attack::SetUid => {
            if fs::symlink_metadata(&at).is_ok() {
                fs::copy(&at, root.join("aside")).unwrap();
                fs::set_permissions(&at, Permissions::from_mode(0o4755)).unwrap();
            }
        }
        Attack::Huge => {
            aside();
            File::create(&at).unwrap().set_len(1 << 40).unwrap();
        }
    }
}

/// Takes the trap away and puts back what was there.
fn clear(attack: Attack, root: &Path, path: &str, canary: &Canary) {
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    let at = if attack == Attack::Parent { root.join(above) } else { root.join(path) };
    match fs::symlink_metadata(&at) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&at).unwrap(),
        Ok(_) => fs::remove_file(&at).unwrap(),
        Err(_) => {}
    }
    let aside = root.join("aside");
    if fs::symlink_metadata(&aside).is_ok() {
        fs::rename(aside, at).unwrap();
    }
    if attack == Attack::Parent && name != "canary" {
        fs::remove_file(canary.folder.join(name)).unwrap();
    }
    canary.renew();
}

/// Whether nobody holds the lock of a guest.
fn is_free(host: &Host, lock: &str) -> bool {
    // The file of a lock that nobody holds is removed.
    File::open(host.run_dir().join("locks").join(lock)).map_or(true, |file| file.try_lock().is_ok())
}

/// Every trap in the place of every file, under every command of its row.
fn storm(host: &Host, dataset: &str, rows: &[Row], lock: &str) {
    let canary = Canary::new(host);
    let mut turn = 0;
    host.in_dataset(dataset, |root| {
        let ground = Ground { host, root, dataset, lock, canary: &canary };
        fs::write(root.join("other"), "another file of the guest").unwrap();
        for row in rows {
            let is_folder = fs::metadata(root.join(row.path)).is_ok_and(|m| m.is_dir());
            for attack in ALL {
                let fits = match attack {
                    Attack::Parent => row.path.contains('/'),
                    Attack::HardLink | Attack::SetUid | Attack::Huge => !is_folder,
                    // An image is unmounted by its command, whoever still swaps files in it.
                    Attack::Swapped => !is_folder && !dataset.contains("/images/") && fs::metadata(root.join(row.path)).is_ok(),
                    _ => true,
                };
                if !fits {
                    continue;
                }
                for line in row.commands {
                    let (needs, line) = line.strip_prefix('!').map_or((false, *line), |line| (true, line));
                    // These run the guest where nothing keeps them from it.
                    if line == "start web" && !attack.is_no_file() {
                        continue;
                    }
                    turn += 1;
                    one(&ground, row.path, attack, &line.replace("=x", &format!("=x{turn}")), needs, is_folder);
                    ground.mounted();
                }
            }
        }
        fs::remove_file(root.join("other")).unwrap();
    });
}

/// Where the traps are laid.
struct Ground<'a> {
    host: &'a Host,
    root: &'a Path,
    dataset: &'a str,
    lock: &'a str,
    canary: &'a Canary,
}

impl Ground<'_> {
    /// Mounts the file system again where a command has unmounted it, as that of an image that nobody uses.
    fn mounted(&self) {
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        if device(self.root) == device(self.root.parent().unwrap()) {
            self.host.sh("zfs", &["mount", self.dataset]);
        }
    }
}

fn one(ground: &Ground<'_>, path: &str, attack: Attack, line: &str, needs: bool, is_folder: bool) {
    let Ground { host, root, lock, canary, .. } = *ground;
    let what = format!("{attack:?} as {path} under `chyves {line}`");
    lay(attack, root, path, canary, is_folder);
    let end = AtomicBool::new(false);
    let answer = std::thread::scope(|scope| {
        if attack == Attack::Swapped {
            scope.spawn(|| swap(root, path, canary, &end));
        }
        let answer = host.chyves(line);
        end.store(true, Ordering::SeqCst);
        answer
    });
    ground.mounted();
    let text = format!("{}{}", answer.out, answer.err);
    assert!(!text.contains("canary-of-the-host"), "{what}: it shows a file of the host\n{text}");
    let leaf = path.rsplit('/').next().unwrap();
    let names: Vec<&str> = (attack == Attack::Parent).then_some(leaf).into_iter().collect();
    canary.check(&names, &what);
    // Who creates a name again while a command moves it away gets that reported as left.
    let may_be_left = attack == Attack::Swapped && answer.code == 7;
    assert!(may_be_left || [0, 1, 2, 3, 4, 5].contains(&answer.code), "{what}: ended with {}\n{text}", answer.code);
    if needs && attack.is_no_file() {
        assert!([4, 5].contains(&answer.code), "{what}: ended with {}\n{text}", answer.code);
        let names = path.split(['/', '.']).any(|part| text.contains(part));
        assert!(names && answer.err.contains("hint:"), "{what}: it does not say what to do\n{text}");
    }
    if attack == Attack::HardLink {
        assert_eq!(fs::read_to_string(root.join("other")).unwrap(), "another file of the guest", "{what}");
    }
    assert!(is_free(host, lock), "{what}: the lock is held");
    clear(attack, root, path, canary);
}

/// Puts the file and a link to the host there in turns.
fn swap(root: &Path, path: &str, canary: &Canary, end: &AtomicBool) {
    let (at, next) = (root.join(path), root.join("next"));
    while !end.load(Ordering::SeqCst) {
        let file = fs::copy(root.join("aside"), &next).and_then(|_| fs::rename(&next, &at));
        let link = symlink(&canary.file, &next).and_then(|()| fs::rename(&next, &at));
        assert!(file.is_ok() && link.is_ok(), "{file:?} {link:?}");
    }
}

fn prepared(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Image)?;
    fs::write(host.work().join("user-data"), "#cloud-config\n").unwrap();
    host.ok("create web --disk raw --size 2M --ram 64M --user-data ./user-data");
    Some(host)
}

#[test]
fn no_trap_in_a_guests_folder_reaches_the_host() {
    let Some(host) = prepared("hostile_files::guest") else { return };
    // A guest that has no variables yet gets some at a start that nothing else keeps from starting: UEFI where there is any.
    let has_uefi = host.chyves("set web loader=uefi").code == 0 && host.chyves("firmware reset web").code == 0;
    let rows: Vec<&Row> = GUEST.iter().filter(|row| has_uefi || !row.path.starts_with("uefi")).collect();
    let rows: Vec<Row> = rows.iter().map(|row| Row { path: row.path, commands: row.commands }).collect();
    storm(&host, &host.dataset("web"), &rows, "guest.web");
    host.ok("set web description=done");
    assert_eq!(host.state("web"), "stopped");
}

/// Commands that change what the guest is, each run for real on a guest with a trap instead of its disk. `GUEST` is its name,
/// which the second last replaces.
const CHANGES: [&str; 12] = [
    "disk add GUEST --size 1M",
    "disk sync GUEST",
    "snapshot GUEST@now",
    "snapshot diff GUEST@now",
    "snapshot rollback GUEST@now --yes",
    "clone GUEST@now GUEST-linked",
    "clone GUEST@now GUEST-full --independent",
    "send GUEST@now -n",
    "set GUEST revert_to_snapshot=now revert_to_snapshot_method=start",
    "start GUEST",
    "disk remove GUEST disk0 --yes",
    "delete GUEST --yes",
];

#[test]
fn a_trap_in_place_of_a_disk_is_never_followed_by_what_changes_the_guest() {
    let Some(host) = Host::new("hostile_files::changes", With::Image) else { return };
    let canary = Canary::new(&host);
    for (n, attack) in [Attack::Link, Attack::Fifo, Attack::Device, Attack::HardLink].into_iter().enumerate() {
        let guest = format!("g{n}");
        host.ok(&format!("create {guest} --disk raw --size 1M --ram 64M"));
        host.in_folder(&guest, |root| {
            fs::write(root.join("other"), "another file of the guest").unwrap();
            lay(attack, root, "disk0.raw", &canary, false);
            lay(attack, root, "disk1.raw", &canary, false);
        });
        for line in CHANGES {
            let line = line.replace("GUEST", &guest);
            let answer = host.chyves(&line);
            let what = format!("{attack:?} under `chyves {line}`");
            assert!([0, 1, 2, 3, 4, 5].contains(&answer.code), "{what}: ended with {}\n{}{}", answer.code, answer.out, answer.err);
            assert!(!format!("{}{}", answer.out, answer.err).contains("canary-of-the-host"), "{what}");
            if line.starts_with("start") && attack != Attack::HardLink {
                assert!([4, 5].contains(&answer.code), "{what}: ended with {}", answer.code);
            }
            canary.check(&[], &what);
            assert!(is_free(&host, &format!("guest.{guest}")), "{what}: the lock is held");
            if answer.code == 0 && line.starts_with("start") {
                host.ok(&format!("stop {guest} --now"));
            }
        }
        let content = canary.folder.join("canary");
        assert_eq!(fs::read_to_string(content).unwrap(), SECRET);
        canary.renew();
    }
}

#[test]
fn no_trap_in_an_images_folder_reaches_the_host() {
    let Some(host) = prepared("hostile_files::image") else { return };
    storm(&host, &format!("{}/chyves/images/small", host.pool), IMAGE, "image.small");
    host.ok("image verify small");
}

#[test]
fn what_a_stream_brings_is_disarmed_and_listed() {
    let Some(host) = prepared("hostile_files::stream") else { return };
    let canary = Canary::new(&host);
    host.in_folder("web", |root| {
        fs::remove_file(root.join("config.toml")).unwrap();
        symlink(&canary.file, root.join("config.toml")).unwrap();
        symlink(&canary.folder, root.join("meta")).unwrap();
        rustix::fs::mknodat(CWD, root.join("logs/pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        rustix::fs::mknodat(CWD, root.join("zero"), FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 5)).unwrap();
        fs::copy("/bin/true", root.join("su")).unwrap();
        fs::set_permissions(root.join("su"), Permissions::from_mode(0o4755)).unwrap();
        fs::hard_link(root.join("disk0.raw"), root.join("logs/console.log")).unwrap();
        std::os::unix::fs::chown(root.join("logs"), Some(4711), None).unwrap();
        fs::set_permissions(root, Permissions::from_mode(0o777)).unwrap();
    });
    for guard in ["exec", "setuid", "devices"] {
        host.sh("zfs", &["set", &format!("{guard}=on"), &host.dataset("web")]);
    }
    let outside = host.dir().join("outside");
    for property in ["reservation=16M", "snapdir=visible", "quota=64M", "canmount=on", &format!("mountpoint={}", outside.display())] {
        host.sh("zfs", &["set", property, &host.dataset("web")]);
    }
    // It is set although no server of NFS is there.
    host.command("zfs").args(["set", "sharenfs=on", &host.dataset("web")]).output().unwrap();
    host.ok("snapshot create web@evil");
    done(send(&host, "send web@evil", "stream"));
    let said = done(receive(&host, "receive --name copy", "stream"));
    for (what, was) in [
        ("property exec", "was on"),
        ("property reservation", "was 16M"),
        ("property snapdir", "was visible"),
        ("property quota", "was 64M"),
        ("property canmount", "was on"),
        ("property sharenfs", "was on"),
        ("property mountpoint", "/outside"),
        ("config.toml", "symbolic link"),
        ("meta", "symbolic link"),
        ("logs/pipe", "FIFO"),
        ("zero", "character device"),
        ("su", "4755"),
        ("disk0.raw", "2 names"),
        ("logs", "user 4711"),
        (". ", "mode 0777"),
    ] {
        let line = said.lines().find(|line| line.contains(&format!("disarmed: {what}")) && line.contains(was));
        assert!(line.is_some(), "{what} {was}:\n{said}");
    }
    for guard in ["exec", "setuid", "devices"] {
        assert_eq!(host.zfs_get(guard, &host.dataset("copy")), "off", "{guard}");
    }
    for (property, value) in [("reservation", "0"), ("quota", "0"), ("snapdir", "hidden"), ("canmount", "noauto"), ("sharenfs", "off")] {
        assert_eq!(host.zfs_get(property, &host.dataset("copy")), value, "{property}");
    }
    assert!(!host.zfs_get("mountpoint", &host.dataset("copy")).contains("/outside"));
    let json = receive_json(&host);
    let listed = json.as_array().unwrap()[0]["disarmed"].as_array().unwrap().clone();
    assert!(listed.iter().any(|d| d["what"] == "zero" && d["was"] == "a character device"), "{listed:?}");
    host.command("zfs").args(["set", "sharenfs=off", &host.dataset("web")]).output().unwrap();
    host.ok("delete web --yes");
    // A trap keeps the guest from being adopted, and says so; without it its folder becomes root's.
    let refused = host.chyves("adopt copy --trust").ends(4);
    assert!(refused.err.contains("config.toml") && refused.err.contains("symbolic link"), "{}", refused.err);
    host.in_folder("copy", |root| fs::remove_file(root.join("config.toml")).unwrap());
    host.ok("adopt copy --trust");
    host.in_folder("copy", |root| assert_eq!(fs::metadata(root).unwrap().mode() & 0o7777, 0o700));
    canary.check(&[], "a stream");
}

fn receive_json(host: &Host) -> serde_json::Value {
    let from = File::open(host.work().join("stream")).unwrap();
    let output = host.command(common::PROGRAM).args(["receive", "--name", "copy2", "--json"]).stdin(from).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn a_snapshot_with_traps_is_cloned_and_rolled_back_to_without_following_them() {
    let Some(host) = prepared("hostile_files::snapshot") else { return };
    let canary = Canary::new(&host);
    host.ok("snapshot create web@clean");
    host.in_folder("web", |root| {
        fs::remove_file(root.join("config.toml")).unwrap();
        symlink(&canary.file, root.join("config.toml")).unwrap();
        fs::remove_dir_all(root.join("cloud-init")).unwrap();
        symlink(&canary.folder, root.join("cloud-init")).unwrap();
    });
    host.sh("zfs", &["snapshot", &format!("{}@traps", host.dataset("web"))]);
    for line in ["clone web@traps linked", "clone web@traps full --independent", "snapshot diff web@traps", "snapshot rollback web@traps"] {
        let answer = host.chyves(line);
        assert!([0, 3, 4].contains(&answer.code), "{line}: {}\n{}{}", answer.code, answer.out, answer.err);
        canary.check(&[], line);
    }
    host.ok("snapshot rollback web@clean");
    host.in_folder("web", |root| {
        assert!(fs::symlink_metadata(root.join("config.toml")).unwrap().is_file());
        assert!(fs::symlink_metadata(root.join("cloud-init")).unwrap().is_dir());
    });
    canary.check(&[], "a rollback by copy");
}

#[test]
fn folders_in_folders_keep_no_guest_from_a_rollback() {
    let Some(host) = prepared("hostile_files::deep") else { return };
    host.ok("snapshot create web@clean");
    host.in_folder("web", |root| {
        let deep = (0..300).fold(root.to_path_buf(), |path, _| path.join("deep"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
    });
    host.ok("snapshot rollback web@clean");
    host.in_folder("web", |root| assert!(!root.join("deep").exists()));
}

#[test]
fn logs_that_are_traps_are_not_written_and_keep_no_guest_from_running() {
    let Some(host) = Host::new("hostile_files::logs", With::Tiny) else { return };
    let canary = Canary::new(&host);
    host.ok("create web01 --image tiny --ram 64M");
    host.in_folder("web01", |root| {
        symlink(&canary.file, root.join("logs/console.log")).unwrap();
        rustix::fs::mknodat(CWD, root.join("logs/hypervisor.log"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        symlink(&canary.file, root.join("logs/hypervisor.log.1")).unwrap();
    });
    host.ok("start web01");
    host.ok("stop web01 --now");
    canary.check(&[], "a start with traps as logs");
}
