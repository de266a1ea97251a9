//! Attacks, against both methods of resolving names.

use super::resolve::Way;
use super::*;
use chyves_core::error::Kind;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

/// A folder as a mount point, and beside it a host file that must not be reachable.
struct Ground {
    temp: tempfile::TempDir,
    guest: Folder,
}

impl Ground {
    fn new(way: Way) -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("guest/logs")).unwrap();
        fs::create_dir(temp.path().join("host")).unwrap();
        fs::write(temp.path().join("host/secret"), "secret").unwrap();
        let guest = Folder { way, ..Folder::open(temp.path().join("guest")).unwrap() };
        Self { temp, guest }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.temp.path().join("guest").join(name)
    }

    fn secret(&self) -> PathBuf {
        self.temp.path().join("host/secret")
    }
}

fn both(test: impl Fn(Ground)) {
    for way in [Way::Kernel, Way::Walk] {
        test(Ground::new(way));
    }
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// Checks that every operation refuses a name for this reason.
fn refused(ground: &Ground, name: &str, why: &str) {
    let guest = &ground.guest;
    let rule = Rule::up_to(1 << 20);
    let answers = [
        guest.file(name, Access::Read, rule).map(drop),
        guest.file(name, Access::ReadWrite, rule).map(drop),
        guest.file(name, Access::Append, rule).map(drop),
        guest.file(name, Access::Create, rule).map(drop),
        guest.read(name, rule).map(drop),
        guest.folder(name).map(drop),
        guest.make_folder(name).map(drop),
    ];
    for answer in answers {
        let problem = answer.unwrap_err();
        assert!(problem.code == Kind::NotNow && problem.message.contains(why) && !problem.hints.is_empty(), "{name}: {problem:?}");
    }
    assert!(guest.create(name).is_err());
    assert_eq!(fs::read(ground.secret()).unwrap(), b"secret");
}

#[test]
fn links_are_followed_nowhere_in_a_path() {
    both(|ground| {
        symlink(ground.secret(), ground.at("config.toml")).unwrap();
        refused(&ground, "config.toml", "symbolic link");
        symlink("logs", ground.at("inner")).unwrap();
        refused(&ground, "inner", "symbolic link");
        fs::write(ground.at("logs/console.log"), "x").unwrap();
        let below = ground.guest.file("inner/console.log", Access::Read, Rule::DISK).unwrap_err();
        assert_eq!(below.code, Kind::NotNow, "{below:?}");
        symlink(ground.temp.path().join("host"), ground.at("cloud-init")).unwrap();
        assert!(ground.guest.read("cloud-init/secret", Rule::up_to(10)).is_err());
        assert!(ground.guest.create("cloud-init/new").is_err());
        assert!(ground.guest.replace("cloud-init/secret", b"mine", true).is_err());
        assert!(ground.guest.remove_file("cloud-init/secret").is_err());
        assert!(ground.guest.rename("cloud-init/secret", "taken").is_err());
        assert!(ground.guest.rename("logs/console.log", "cloud-init/new").is_err());
        assert!(ground.guest.metadata("cloud-init/secret").is_err());
        assert_eq!(fs::read_dir(ground.temp.path().join("host")).unwrap().count(), 1);
    });
}

#[test]
fn a_link_is_replaced_and_removed_and_what_it_names_is_not() {
    both(|ground| {
        symlink(ground.secret(), ground.at("config.toml")).unwrap();
        ground.guest.replace("config.toml", b"settings", true).unwrap();
        assert_eq!(fs::read(ground.at("config.toml")).unwrap(), b"settings");
        symlink(ground.temp.path().join("host"), ground.at("tree")).unwrap();
        ground.guest.remove_all("tree").unwrap();
        fs::create_dir(ground.at("deep")).unwrap();
        symlink(ground.temp.path().join("host"), ground.at("deep/tree")).unwrap();
        ground.guest.remove_all("deep").unwrap();
        assert!(!ground.guest.has("deep").unwrap());
        assert_eq!(fs::read(ground.secret()).unwrap(), b"secret");
    });
}

#[test]
fn fifos_sockets_and_devices_are_refused_and_block_nobody() {
    both(|ground| {
        fifo(&ground.at("fifo"));
        refused(&ground, "fifo", "a FIFO");
        let _socket = std::os::unix::net::UnixListener::bind(ground.at("socket")).unwrap();
        refused(&ground, "socket", "a socket");
        // Not every user may create a device.
        if rustix::fs::mknodat(rustix::fs::CWD, ground.at("zero"), FileType::CharacterDevice, Mode::RWXU, rustix::fs::makedev(1, 5)).is_ok()
        {
            refused(&ground, "zero", "a character device");
        }
    });
}

#[test]
fn a_path_never_leaves_its_folder() {
    both(|ground| {
        for path in ["", ".", "..", "../host/secret", "/etc/passwd", "logs/../../host/secret", "/"] {
            assert!(ground.guest.file(path, Access::Read, Rule::DISK).is_err(), "{path}");
            assert!(ground.guest.metadata(path).is_err(), "{path}");
            assert!(ground.guest.replace(path, b"x", false).is_err(), "{path}");
            assert!(ground.guest.remove_all(path).is_err(), "{path}");
        }
        assert_eq!(fs::read(ground.secret()).unwrap(), b"secret");
    });
}

#[test]
fn what_is_too_large_is_refused_and_sparse_is_no_way_around() {
    both(|ground| {
        fs::File::create(ground.at("config.toml")).unwrap().set_len(1 << 40).unwrap();
        let problem = ground.guest.read("config.toml", Rule::up_to(1 << 20)).unwrap_err();
        assert!(problem.message.contains("1099511627776 bytes"), "{problem:?}");
        assert!(ground.guest.file("config.toml", Access::ReadWrite, Rule::DISK).is_ok(), "a disk may be as large");
        assert_eq!(ground.guest.read("missing", Rule::up_to(1)).unwrap(), None);
    });
}

#[test]
fn a_file_of_several_names_is_read_and_never_written_in_place() {
    both(|ground| {
        fs::write(ground.at("disk0.raw"), "disk").unwrap();
        fs::hard_link(ground.at("disk0.raw"), ground.at("logs/console.log")).unwrap();
        for access in [Access::ReadWrite, Access::Create, Access::Append] {
            let problem = ground.guest.file("logs/console.log", access, Rule::DISK).unwrap_err();
            assert!(problem.message.contains("2 names"), "{problem:?}");
        }
        assert_eq!(ground.guest.read("disk0.raw", Rule::up_to(9)).unwrap().unwrap(), b"disk");
        ground.guest.replace("logs/console.log", b"log", false).unwrap();
        assert_eq!(fs::read(ground.at("disk0.raw")).unwrap(), b"disk", "a replaced name takes its file with it");
    });
}

#[test]
fn a_file_of_somebody_else_is_refused_where_it_must_be_ours() {
    both(|ground| {
        fs::write(ground.at("a"), "x").unwrap();
        assert!(ground.guest.read("a", Rule::up_to(9).own()).is_ok());
        if std::os::unix::fs::chown(ground.at("a"), Some(4711), None).is_ok() {
            let problem = ground.guest.read("a", Rule::up_to(9).own()).unwrap_err();
            assert!(problem.message.contains("user 4711"), "{problem:?}");
            assert!(ground.guest.read("a", Rule::up_to(9)).is_ok());
        }
    });
}

#[test]
fn new_files_are_private_whole_and_leave_nothing_behind() {
    both(|ground| {
        ground.guest.replace("logs/a", b"one", true).unwrap();
        ground.guest.replace("logs/a", b"two", false).unwrap();
        assert_eq!(fs::read(ground.at("logs/a")).unwrap(), b"two");
        assert_eq!(fs::metadata(ground.at("logs/a")).unwrap().permissions().mode() & 0o777, 0o600);
        drop(ground.guest.stage("logs/b").unwrap());
        // The next write of a file removes what a killed command left of the same file, and nothing else.
        let left = format!("logs/.new-a.{}", "0".repeat(32));
        fs::write(ground.at(&left), "half").unwrap();
        fs::write(ground.at("logs/.new-a.notes"), "the user's").unwrap();
        ground.guest.replace("logs/a", b"three", true).unwrap();
        let mut names = ground.guest.folder("logs").unwrap().list().unwrap();
        names.retain(|n| n != "a");
        assert_eq!(names, [".new-a.notes"]);
        assert!(ground.guest.create("logs/a").is_err(), "never over what is there");
    });
}

#[test]
fn names_are_given_only_where_nothing_has_them() {
    both(|ground| {
        fs::write(ground.at("a"), "a").unwrap();
        symlink("nowhere", ground.at("b")).unwrap();
        let problem = ground.guest.rename("a", "b").unwrap_err();
        assert!(problem.message.contains("already exists"), "{problem:?}");
        ground.guest.rename("a", "logs/c").unwrap();
        ground.guest.settle("logs/c").unwrap();
        assert!(!ground.guest.remove_folder("logs").unwrap(), "it is not empty");
        assert!(ground.guest.remove_file("logs/c").unwrap());
        assert!(!ground.guest.remove_file("logs/c").unwrap(), "gone is as good");
        assert!(!ground.guest.make_folder("logs").unwrap());
        assert!(ground.guest.make_folder("cloud-init").unwrap());
        assert_eq!(fs::metadata(ground.at("cloud-init")).unwrap().permissions().mode() & 0o777, 0o700);
    });
}

#[test]
fn a_mount_point_is_a_folder_and_made_private() {
    let ground = Ground::new(Way::Kernel);
    fs::set_permissions(ground.at(""), fs::Permissions::from_mode(0o4777)).unwrap();
    ground.guest.make_private().unwrap();
    assert_eq!(fs::metadata(ground.at("")).unwrap().permissions().mode() & 0o7777, 0o700);
    symlink("guest", ground.temp.path().join("link")).unwrap();
    assert!(Folder::open(ground.temp.path().join("link")).unwrap_err().message.contains("symbolic link"));
    fifo(&ground.temp.path().join("fifo"));
    assert!(Folder::open(ground.temp.path().join("fifo")).is_err());
    assert!(Folder::open(ground.temp.path().join("missing")).is_err());
}

#[test]
fn an_attached_disk_is_a_file_or_a_device_by_whatever_name() {
    let ground = Ground::new(Way::Kernel);
    symlink(ground.secret(), ground.at("by-link")).unwrap();
    assert!(attached(ground.at("by-link"), true).is_ok());
    fifo(&ground.at("fifo"));
    for other in [ground.at("fifo"), ground.at("logs"), PathBuf::from("/dev/zero")] {
        assert_eq!(attached(&other, false).unwrap_err().code, Kind::NotNow, "{}", other.display());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_name_that_is_swapped_meanwhile_never_leads_outside() {
    both(|ground| {
        fs::write(ground.at("config.toml"), "inside").unwrap();
        symlink(ground.secret(), ground.at("link")).unwrap();
        fs::create_dir(ground.at("cloud-init")).unwrap();
        fs::write(ground.at("cloud-init/secret"), "inside").unwrap();
        symlink(ground.temp.path().join("host"), ground.at("elsewhere")).unwrap();
        let end = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let swap = |a: &'static str, b: &'static str| {
                let (a, b, end) = (ground.at(a), ground.at(b), &end);
                scope.spawn(move || {
                    while !end.load(Ordering::Relaxed) {
                        let exchange = rustix::fs::RenameFlags::EXCHANGE;
                        rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, exchange).unwrap();
                    }
                });
            };
            swap("config.toml", "link");
            swap("cloud-init", "elsewhere");
            let mut leaked = false;
            for _ in 0..2000 {
                for path in ["config.toml", "cloud-init/secret"] {
                    if let Ok(Some(read)) = ground.guest.read(path, Rule::up_to(100)) {
                        leaked |= read != b"inside";
                    }
                    drop(ground.guest.file(path, Access::Append, Rule::DISK).map(|file| file.set_len(6)));
                }
                drop(ground.guest.create("cloud-init/new"));
                drop(ground.guest.remove_file("cloud-init/new"));
            }
            end.store(true, Ordering::Relaxed);
            assert!(!leaked);
        });
        assert_eq!(fs::read(ground.secret()).unwrap(), b"secret");
        assert_eq!(fs::read_dir(ground.temp.path().join("host")).unwrap().count(), 1);
    });
}
