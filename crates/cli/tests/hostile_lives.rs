//! Guests and images whose files somebody hostile has replaced while nothing used them, under everything that is done to a guest:
//! clones, streams, rollbacks, the trash, runs. No file of the host is read or changed by way of them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;
mod hostile;

use common::stream::{done, receive, send};
use common::{Host, With, until};
use hostile::attack::{Attack, Target};
use hostile::canary::{Canary, Other, WORD};
use hostile::rows::{DRIVE, IMAGE_LIFE, LIFE, LOGS, RUN, unlisted};
use hostile::{is_free, remount, run};
use rustix::fs::{CWD, FileType, Mode};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// Replaces files of a dataset that is mounted, whatever they were.
fn replace(host: &Host, root: &Path, paths: &[&str], attack: Option<Attack>, canary: &Canary) -> Other {
    let other = Other::new(root);
    for (path, attack) in paths.iter().filter_map(|path| Some((path, attack?))) {
        let at = root.join(path);
        let is_folder = fs::symlink_metadata(&at).is_ok_and(|meta| meta.is_dir());
        let _ = if is_folder { fs::remove_dir_all(&at) } else { fs::remove_file(&at) };
        Target { host, root, path, canary, is_folder }.lay(attack);
    }
    other
}

/// A life of one guest or image.
struct Life<'a> {
    host: &'a Host,
    /// Its name, `G` in the lines.
    name: String,
    /// None: nothing is replaced, and every command succeeds, so that one that fails elsewhere fails by the attack.
    attack: Option<Attack>,
    paths: &'static [&'static str],
    canary: Canary,
    other: Other,
    /// The dataset where [`Other`] is.
    dataset: String,
}

impl Life<'_> {
    /// Does everything of these lines to it.
    fn runs(&self, lines: &[&str]) {
        for line in lines {
            // Only the guest's name is this letter alone.
            let line = line.replace("OTHER", &format!("{}b", self.host.pool)).replace('G', &self.name);
            self.one(&line);
        }
    }

    fn one(&self, line: &str) {
        let host = self.host;
        let what = format!("{:?} as {:?} under `chyves {line}`", self.attack, self.paths);
        if line == "other" {
            return host.in_dataset(&self.dataset, |_| self.other.check(&what));
        }
        if let Some(words) = line.strip_prefix("zfs ") {
            let words = words.replace(&format!(" {}", self.name), &format!(" {}", host.dataset(&self.name)));
            host.sh("zfs", &words.split(' ').collect::<Vec<_>>());
            return;
        }
        let (line, to) = line.split_once(" > ").map_or((line, None), |(line, file)| (line, Some(file)));
        let (line, from) = line.split_once(" < ").map_or((line, None), |(line, file)| (line, Some(file)));
        if from.is_some_and(|file| !host.work().join(file).exists()) {
            return;
        }
        let answer = run(host, line, from, to);
        let written = to.map(|file| fs::read(host.work().join(file)).unwrap()).unwrap_or_default();
        let text = format!("{}{}", answer.out, answer.err);
        let may_end_with = if self.attack.is_none() { 0..=0 } else { 0..=5 };
        assert!(may_end_with.contains(&answer.code), "{what}: ended with {}\n{text}", answer.code);
        let leaks = |bytes: &[u8]| bytes.windows(WORD.len()).any(|part| part == WORD.as_bytes());
        assert!(!leaks(text.as_bytes()) && !leaks(&written), "{what}: it shows a file of the host\n{text}");
        if self.attack.is_some() && line.starts_with("start") && !line.ends_with(" -n") && self.paths.contains(&"disk0.raw") {
            assert!(answer.code != 0, "{what}: it started with a file that is not a disk");
        }
        self.canary.check(&[], &what);
        assert!(is_free(host, &format!("guest.{}", self.name)), "{what}: the lock is held");
    }
}

/// Everything but the copy of the settings, which keeps most commands from doing anything.
const FILES: &[&str] = &[
    "disk0.raw",
    "disk1.raw",
    "uefi-vars.fd",
    "uefi-vars-20260101000000-abcdef.fd",
    "logs",
    "cloud-init/user-data",
    "cloud-init/vendor-data",
    "grub.cfg",
];
const SETTINGS: &[&str] = &["config.toml"];

/// Each attack on a guest of its own, all at the same time.
fn lives(
    host: &Host,
    attacks: &[(Option<Attack>, &'static [&'static str])],
    work: impl Fn(usize, Option<Attack>, &'static [&'static str]) + Sync,
) {
    assert!(!attacks.is_empty(), "{}", host.pool);
    std::thread::scope(|scope| {
        for (n, (attack, paths)) in attacks.iter().enumerate() {
            let work = &work;
            scope.spawn(move || work(n, *attack, paths));
        }
    });
}

#[test]
fn no_hostile_file_is_followed_by_what_is_done_to_a_guest() {
    let Some(host) = Host::new("hostile_lives::guest", With::Image) else { return };
    host.second("");
    fs::write(host.work().join("user-data"), "#cloud-config\n").unwrap();
    let attacks =
        [(Some(Attack::Link), FILES), (Some(Attack::Fifo), FILES), (Some(Attack::HardLink), FILES), (Some(Attack::Link), SETTINGS)];
    lives(&host, &attacks, |n, attack, paths| {
        let name = format!("g{n}");
        let canary = Canary::called(&host, &format!("elsewhere-{name}"));
        host.ok(&format!("create {name} --disk raw --size 1M --ram 64M --user-data ./user-data"));
        host.ok(&format!("snapshot create {name}@first"));
        let other = host.in_folder(&name, |root| replace(&host, root, paths, attack, &canary));
        Life { host: &host, attack, paths, canary, other, dataset: host.dataset(&name), name }.runs(LIFE);
    });
}

#[test]
fn no_hostile_file_is_followed_by_what_is_done_to_an_image() {
    let Some(host) = Host::new("hostile_lives::image", With::Image) else { return };
    let attacks = [
        (None, &[][..]),
        (Some(Attack::Link), &["disk0.raw"]),
        (Some(Attack::Fifo), &["disk0.raw"]),
        (Some(Attack::HardLink), &["disk0.raw"]),
        (Some(Attack::Link), &["config.toml", "logs", "cloud-init", "uefi-vars.fd"]),
    ];
    lives(&host, &attacks, |n, attack, paths| {
        let name = format!("i{n}");
        let canary = Canary::called(&host, &format!("elsewhere-{name}"));
        host.ok(&format!("image import ./small.img --name {name}"));
        let dataset = format!("{}/chyves/images/{name}", host.pool);
        // Guests are clones of this snapshot.
        host.destroy(&format!("{dataset}@ready"));
        let other = host.in_dataset(&dataset, |root| replace(&host, root, paths, attack, &canary));
        host.sh("zfs", &["snapshot", &format!("{dataset}@ready")]);
        Life { host: &host, attack, paths, canary, other, dataset, name }.runs(IMAGE_LIFE);
    });
}

#[test]
fn logs_that_are_no_files_are_not_written_and_keep_no_guest_from_running() {
    let Some(host) = Host::new("hostile_lives::logs", With::Tiny) else { return };
    let canary = Canary::new(&host);
    host.ok("create web01 --image tiny --ram 32M loader=bios accel=tcg console_log_limit=1K");
    let attacks = [Attack::Link, Attack::Dangling, Attack::Fifo, Attack::HardLink, Attack::Huge, Attack::Block];
    // Each log has each attack once, beside others at the other logs.
    for round in 0..attacks.len() {
        let of = |n: usize| attacks[(round + n) % attacks.len()];
        let what = format!("{:?}", LOGS.iter().enumerate().map(|(n, path)| (path, of(n))).collect::<Vec<_>>());
        let other = host.in_folder("web01", |root| {
            let _ = fs::remove_dir_all(root.join("logs"));
            fs::create_dir(root.join("logs")).unwrap();
            let other = Other::new(root);
            for (n, path) in LOGS.iter().enumerate() {
                Target { host: &host, root, path, canary: &canary, is_folder: false }.lay(of(n));
            }
            other
        });
        for line in RUN {
            let answer = run(&host, line, None, None);
            let text = format!("{}{}", answer.out, answer.err);
            // The console of a guest that is off has no replay.
            assert!(answer.code == 0 || line.starts_with("console"), "{what}: `chyves {line}` ended with {}\n{text}", answer.code);
            assert!(!text.contains(WORD) && !text.contains("another file of the guest"), "{what}: `chyves {line}`\n{text}");
            canary.check(&[], &what);
        }
        until("the supervisor to end", || is_free(&host, "guest.web01").then_some(()));
        host.in_folder("web01", |_| other.check(&what));
    }
    host.in_folder("web01", |root| {
        fs::remove_file(root.join("other")).unwrap();
        assert_eq!(unlisted(root), Vec::<String>::new(), "files of a guest that no row attacks");
    });
    host.nothing_is_left();
}

#[test]
fn an_iso_that_is_no_file_is_inserted_into_no_drive() {
    let Some(host) = Host::new("hostile_lives::drive", With::Tiny) else { return };
    let canary = Canary::new(&host);
    host.make_iso();
    host.ok("image import ./tiny.iso --name disc");
    host.ok("image import ./tiny.iso --name good");
    host.ok("create web01 --image tiny --ram 32M loader=bios accel=tcg iso_eject_after_reboots=0");
    host.ok("start web01 --iso good");
    let disc = format!("{}/chyves/images/disc", host.pool);
    for attack in [Attack::Link, Attack::Fifo, Attack::Socket, Attack::Character, Attack::Block] {
        host.in_dataset(&disc, |root| {
            let target = Target { host: &host, root, path: "image.iso", canary: &canary, is_folder: false };
            target.lay(attack);
            for (line, code) in DRIVE.iter().zip([None, Some(0)]) {
                let answer = run(&host, line, None, None);
                remount(&host, &disc, root);
                let text = format!("{}{}", answer.out, answer.err);
                assert!(code.map_or(answer.code != 0, |code| answer.code == code), "{attack:?}: `chyves {line}`: {}\n{text}", answer.code);
                assert!(!text.contains(WORD), "{attack:?}\n{text}");
                canary.check(&[], line);
            }
            target.clear(attack);
        });
    }
    host.ok("insert web01 disc cd0");
    host.ok("stop web01 --now");
    host.nothing_is_left();
}

/// A host with the guest `web`, which has a disk and cloud-init.
fn prepared(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Image)?;
    fs::write(host.work().join("user-data"), "#cloud-config\n").unwrap();
    host.ok("create web --disk raw --size 2M --ram 64M --user-data ./user-data");
    Some(host)
}

#[test]
fn what_a_stream_brings_is_disarmed_and_listed() {
    let Some(host) = prepared("hostile_lives::stream") else { return };
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
    let Some(host) = prepared("hostile_lives::snapshot") else { return };
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
    let Some(host) = prepared("hostile_lives::deep") else { return };
    host.ok("snapshot create web@clean");
    host.in_folder("web", |root| {
        let deep = (0..300).fold(root.to_path_buf(), |path, _| path.join("deep"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
    });
    host.ok("snapshot rollback web@clean");
    host.in_folder("web", |root| assert!(!root.join("deep").exists()));
}
