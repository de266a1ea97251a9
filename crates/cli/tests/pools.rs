//! Several pools, and guests that travel between them as streams.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::stream::{done, receive, send};
use common::{Host, With};
use std::path::PathBuf;
use std::process::Stdio;

/// All settings of a guest that were made, as `key=value`, but for who owns it.
fn settings(host: &Host, guest: &str) -> Vec<String> {
    let listed = host.ok(&format!("get {guest} all -H -o property,value,source")).out;
    let mut made: Vec<String> = listed
        .lines()
        .map(|l| l.split('\t').collect::<Vec<_>>())
        .filter(|f| matches!(f[2], "local" | "received") && f[0] != "owner" && f[0] != "epoch")
        .map(|f| format!("{}={}", f[0], f[1]))
        .collect();
    made.sort();
    made
}

/// The contents of a guest's files on a pool other than the first.
fn files(host: &Host, dataset: &str) -> Vec<(PathBuf, Vec<u8>)> {
    host.sh("zfs", &["mount", dataset]);
    let folder = host.open_path(host.zfs_get("mountpoint", dataset));
    let mut found: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .filter(|e| e.file_type().unwrap().is_file())
        .map(|e| (PathBuf::from(e.file_name()), std::fs::read(e.path()).unwrap()))
        .collect();
    found.sort();
    common::until("the file system to be let go", || {
        host.command("zfs").args(["unmount", dataset]).output().unwrap().status.success().then_some(())
    });
    found
}

fn names(host: &Host, pool: &str) -> Vec<String> {
    host.sh("zfs", &["list", "-H", "-r", "-t", "all", "-o", "name", pool]).lines().map(str::to_owned).collect()
}

#[test]
fn what_is_received_is_the_guest_that_was_sent() {
    let Some(host) = Host::new("what_is_received_is_the_guest_that_was_sent", With::Image) else { return };
    let other = host.second("/vm");
    host.ok("create web01 --image small description='a = \"b\" # c' notes=ünïcode x.ticket=7 net0.mac=58:9c:fc:00:00:01");
    let said = done(send(&host, "send web01", "whole"));
    assert!(said.contains("which is kept for later increments"), "{said}");
    // Nothing is received onto what exists, here or on another pool.
    let before = names(&host, &other);
    assert_eq!(receive(&host, &format!("receive --pool {other}"), "whole").0, 4);
    assert_eq!(names(&host, &other), before);

    done(receive(&host, &format!("receive --name copy --pool {other}"), "whole"));
    let copy = format!("{other}/vm/guests/copy");
    assert_eq!(settings(&host, "copy"), settings(&host, "web01"));
    assert_eq!(files(&host, &copy), files(&host, &host.dataset("web01")));
    assert_eq!(host.zfs_get("canmount", &copy), "noauto");
    // It is foreign, and never another one of the same machine.
    host.chyves("start copy").ends(4).says("foreign");
    host.chyves("adopt copy").ends(4).says("--new-identity");
    host.ok("adopt copy --new-identity");
    assert_ne!(host.value("copy", "uuid"), host.value("web01", "uuid"));
    host.ok("list -H -o name,state").says("copy\tstopped");
}

#[test]
fn increments_go_onto_what_they_build_on() {
    let Some(host) = Host::new("increments_go_onto_what_they_build_on", With::Image) else { return };
    let other = host.second("/vm");
    host.ok("create web01 --image small");
    done(send(&host, "send web01", "1"));
    done(receive(&host, &format!("receive --name copy --pool {other}"), "1"));
    host.ok("set web01 ram=1G");
    done(send(&host, &format!("send web01 --incremental-for {other}"), "2"));
    let whole = std::fs::metadata(host.work().join("1")).unwrap().len();
    let changes = std::fs::metadata(host.work().join("2")).unwrap().len();
    assert!(changes < whole, "{changes} of {whole} bytes");
    done(receive(&host, "receive --name copy", "2"));
    assert_eq!(host.value("copy", "ram"), "1G");
    // By a list of what the other place has, as it would come from another host.
    let have = host.ok("snapshot list copy -H -o name,guid").out;
    assert_eq!(have.lines().count(), 2);
    std::fs::write(host.work().join("have"), &have).unwrap();
    host.ok("set web01 cpu=2");
    let said = done(send(&host, "send web01 --incremental-for ./have", "3"));
    assert!(said.contains("only what changed since @send-"), "{said}");
    done(receive(&host, "receive --name copy", "3"));
    assert_eq!(settings(&host, "copy"), settings(&host, "web01"));
    // The same again does not fit any more; the guest itself takes nothing.
    assert_eq!(receive(&host, "receive --name copy", "3").0, 4);
    assert_eq!(receive(&host, "receive", "3").0, 4);
    assert_eq!(receive(&host, "receive --name nobody", "3").0, 3);
}

#[test]
fn a_snapshot_arrives_with_the_settings_of_then() {
    let Some(host) = Host::new("a_snapshot_arrives_with_the_settings_of_then", With::Image) else { return };
    let other = host.second("/vm");
    host.ok("create web01 --image small cpu=2 notes=first");
    host.ok("snapshot web01@one");
    let then = settings(&host, "web01");
    host.ok("set web01 cpu=4 description=later");
    host.ok("unset web01 notes");
    host.ok("snapshot web01@two");
    let now = settings(&host, "web01");
    done(send(&host, "send web01@one", "1"));
    done(receive(&host, &format!("receive --name copy --pool {other}"), "1"));
    assert_eq!(settings(&host, "copy"), then);
    host.chyves("start copy").ends(4).says("foreign");
    done(send(&host, "send web01@two --from @one", "2"));
    done(receive(&host, "receive --name copy", "2"));
    assert_eq!(settings(&host, "copy"), now);
}

#[test]
fn a_stream_without_properties_brings_the_settings_from_their_copy() {
    let Some(host) = Host::new("a_stream_without_properties_brings_the_settings_from_their_copy", With::Image) else { return };
    let other = host.second("/vm");
    host.ok("create web01 --image small description='a = \"b\" # c' notes=ünïcode");
    host.ok("snapshot web01@one");
    let plain = |base: &[&str], snapshot: &str, file: &str| {
        let to = std::fs::File::create(host.work().join(file)).unwrap();
        let of = format!("{}@{snapshot}", host.dataset("web01"));
        assert!(host.command("zfs").arg("send").args(base).arg(of).stdout(Stdio::from(to)).status().unwrap().success());
    };
    plain(&[], "one", "1");
    done(receive(&host, &format!("receive --name copy --pool {other}"), "1"));
    assert_eq!(settings(&host, "copy"), settings(&host, "web01"));
    host.chyves("start copy").ends(4).says("received with a stream");
    host.ok("set web01 ram=1G");
    host.ok("unset web01 notes");
    host.ok("snapshot web01@two");
    plain(&["-i", "@one"], "two", "2");
    done(receive(&host, "receive --name copy", "2"));
    assert_eq!(settings(&host, "copy"), settings(&host, "web01"));
    host.ok("delete web01");
    host.ok("adopt copy");
    host.ok("list -H -o name,state").says("copy\tstopped");
}

#[test]
fn a_broken_stream_leaves_nothing() {
    let Some(host) = Host::new("a_broken_stream_leaves_nothing", With::Image) else { return };
    let other = host.second("/vm");
    host.ok("create web01 --image small");
    done(send(&host, "send web01", "whole"));
    let whole = std::fs::read(host.work().join("whole")).unwrap();
    let before = names(&host, &other);
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    // A file system that is no guest.
    let plain = format!("{other}/plain");
    host.sh("zfs", &["create", "-o", "canmount=noauto", &plain]);
    host.sh("zfs", &["snapshot", &format!("{plain}@a")]);
    let stranger = host.command("zfs").args(["send", &format!("{plain}@a")]).output().unwrap().stdout;
    host.sh("zfs", &["destroy", "-r", &plain]);
    let cuts = [0, 1, 311, 312, 900, 2000, whole.len() / 2, whole.len() - 400];
    let broken = cuts.iter().map(|n| whole[..*n].to_vec()).chain([flipped, stranger, b"no stream ".repeat(500)]);
    for (index, bytes) in broken.enumerate() {
        std::fs::write(host.work().join("broken"), bytes).unwrap();
        let (code, said) = receive(&host, &format!("receive --name copy --pool {other}"), "broken");
        assert!(code == 1 || code == 2, "{index}: {code}: {said}");
        assert_eq!(names(&host, &other), before, "{index}: {said}");
    }
    // And a stream that nobody reads to its end leaves no snapshot.
    let snapshots = host.ok("snapshot list web01 -H").out;
    let mut child = host.command(common::PROGRAM).args(["send", "web01"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(host.ok("snapshot list web01 -H").out, snapshots);
}

#[test]
fn pools_have_roles() {
    let Some(host) = Host::new("pools_have_roles", With::Image) else { return };
    let other = host.second("/vm");
    let roles = || host.ok("pool list -H -o pool,role").out;
    host.ok("create web01 --image small");
    host.ok(&format!("create web02 --size 1M --pool {other}"));
    host.chyves(&format!("create web01 --size 1M --pool {other}")).ends(4).says("already");
    host.chyves(&format!("pool offline {}", host.pool)).ends(4).says("primary");
    host.ok(&format!("pool promote {other}")).says("images stay where they are").says("zfs receive -u");
    assert_eq!(roles(), format!("{}\tsecondary\n{other}\tprimary\n", host.pool));
    // An offline pool is left alone, and its names are free; it comes back only when they are unique.
    host.ok(&format!("pool offline {}", host.pool));
    assert_eq!(host.ok("list -H -o name").out, "web02\n");
    host.ok("create web01 --size 1M");
    host.chyves(&format!("pool online {}", host.pool)).ends(4).says("guests/web01");
    host.ok("delete web01 --now -y");
    host.ok(&format!("pool online {}", host.pool));
    assert_eq!(host.ok("list -H -o name").out, "web01\nweb02\n");
    // Only what is empty goes.
    host.chyves(&format!("pool remove {} -y", host.pool)).ends(4).says("guests/web01").says("images/small");
    host.ok(&format!("pool promote {}", host.pool));
    host.chyves(&format!("pool remove {other} -y")).ends(4).says("guests/web02");
    host.ok("delete web02 --now -y");
    host.chyves(&format!("pool remove {other}")).ends(2).says("--yes");
    host.ok(&format!("pool remove {other} -y"));
    assert_eq!(names(&host, &other), [other.as_str()]);
    assert_eq!(roles(), format!("{}\tprimary\n", host.pool));
}

#[test]
fn a_pool_from_another_host_is_recognised() {
    let Some(host) = Host::new("a_pool_from_another_host_is_recognised", With::Image) else { return };
    host.ok("create web01 --image small");
    // The pool of another host: set up while the first one is away.
    let disk_folder = host.dir().to_str().unwrap().to_owned();
    host.sh("zpool", &["export", &host.pool]);
    let other = host.second("/vm");
    host.ok("create web01 --size 1M");
    host.ok("create web05 --size 1M");
    host.sh("zpool", &["export", &other]);
    host.sh("zpool", &["import", "-d", &disk_folder, "-o", "cachefile=none", &host.pool]);
    // Alone, a pool is a complete recovery: its guests are this host's.
    host.ok("list -H -o name,state").says("web01\tstopped");
    host.sh("zpool", &["import", "-d", &disk_folder, "-o", "cachefile=none", &other]);
    host.ok("list").says("2 guests are called `web01`");
    host.chyves("start web05").ends(4).says("pool promote");
    host.chyves(&format!("pool promote {}", host.pool)).ends(2).says("needs confirmation");
    host.ok(&format!("pool promote {} --yes", host.pool)).says("foreign until adopted");
    host.ok("pool list -H -o pool,role,owner")
        .says(&format!("{}\tprimary\tthis-host", host.pool))
        .says(&format!("{other}\tsecondary\tother-host"));
    host.ok("list -H -o name,state").says("web05\tforeign");
    host.chyves("start web01").ends(4).says("two guests are called");
    host.chyves("start web05").ends(4).says("foreign");
    host.chyves("adopt web05").ends(4).says(&format!("chyves pool online {other}"));
    host.ok(&format!("pool online {other}"));
    host.ok("adopt web05");
    host.ok("list -H -o name,state").says("web05\tstopped");
}

#[test]
fn an_older_layout_is_upgraded_and_taken_back() {
    let Some(host) = Host::new("an_older_layout_is_upgraded_and_taken_back", With::Image) else { return };
    let (pool, web) = (host.pool.clone(), host.dataset("web01"));
    let root = format!("{pool}/chyves");
    let guests = format!("{root}/guests");
    host.ok("create web01 --image small --cpu 2");
    let disk = host.files("web01")["disk0.raw"];
    // Nobody may write into a template, and it is upgraded all the same.
    host.ok("create gold --image small --cpu 4 template=yes");
    let gold = host.dataset("gold");
    host.sh("zfs", &["inherit", "chyves:cpu", &gold]);
    host.sh("zfs", &["set", "chyves:cpus=4", &gold]);
    // As the layout before the first release had it.
    host.sh("zfs", &["inherit", "chyves:cpu", &web]);
    host.sh("zfs", &["set", "chyves:cpus=2", &web]);
    host.sh("zfs", &["set", "chyves:memory=2G", &guests]);
    host.sh("zfs", &["destroy", &format!("{root}/trash")]);
    host.sh("zfs", &["set", "chyves:layout=0", &root]);
    let old = host.tree();
    // It is left alone, and what to do is told.
    host.chyves("start web01").ends(3).says("its layout is 0");
    host.ok(&format!("pool upgrade {pool} -n")).says("zfs snapshot -r");
    assert_eq!(host.tree(), old);

    host.ok(&format!("pool upgrade {pool}")).says("has layout 1 now");
    assert_eq!((host.value("web01", "cpu"), host.value("web01", "ram")), ("2".to_owned(), "2G".to_owned()));
    assert_eq!(host.files("web01")["disk0.raw"], disk);
    assert_eq!((host.value("gold", "cpu").as_str(), host.zfs_get("readonly", &gold).as_str()), ("4", "on"));
    let copy = host.in_folder("web01", |folder| std::fs::read_to_string(folder.join("config.toml")).unwrap());
    assert!(copy.contains("\"cpu\" = \"2\"") && !copy.contains("cpus"), "{copy}");
    host.ok(&format!("pool upgrade {pool}")).says("nothing to do");
    host.ok("set web01 notes=later");
    host.ok("set web01 cpu=3");
    host.ok("delete web01");
    host.chyves(&format!("pool upgrade --undo {pool}")).ends(4).says("trash empty");
    host.ok("undelete web01");

    host.ok(&format!("pool upgrade --undo {pool}")).says("has layout 0 now");
    // Everything is as it was, but for the snapshots and what was set since.
    let own = |tree: &common::Tree, of: &str| -> Vec<(String, String)> {
        tree[of].iter().filter(|(k, _)| k.starts_with("chyves:")).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let back = host.tree();
    assert_eq!(back.keys().filter(|k| !k.contains('@')).collect::<Vec<_>>(), old.keys().filter(|k| !k.contains('@')).collect::<Vec<_>>());
    for of in [&root, &guests] {
        assert_eq!(own(&back, of), own(&old, of), "{of}");
    }
    assert_eq!(host.zfs_get("chyves:cpus", &web), "3");
    assert_eq!(host.zfs_get("chyves:notes", &web), "later");
    assert_eq!(host.zfs_get("chyves:cpu", &web), "-");
    host.chyves(&format!("pool upgrade --undo {pool}")).ends(4).says("no upgrade");
    // And forward again.
    host.ok(&format!("pool upgrade {pool}"));
    assert_eq!(host.value("web01", "cpu"), "3");
    assert_eq!(host.files("web01")["disk0.raw"], disk);
}

#[test]
fn an_upgrade_guards_what_an_older_program_left_open_and_no_way_back_opens_it() {
    let Some(host) = Host::new("an_upgrade_guards_what_an_older_program_left_open", With::Image) else { return };
    host.ok("create web01 --image small");
    let (pool, web) = (host.pool.clone(), host.dataset("web01"));
    let above = format!("{pool}/chyves/guests");
    let guards = ["setuid", "devices", "exec"];
    let is = |value: &str, of: &str| guards.iter().all(|guard| host.zfs_get(guard, of) == value);
    // The parts say nothing, and a guest says otherwise by itself.
    for part in ["guests", "images", "trash"] {
        for guard in guards {
            host.sh("zfs", &["set", &format!("{guard}=on"), &format!("{pool}/chyves/{part}")]);
        }
    }
    host.sh("zfs", &["set", "exec=on", &web]);
    let before = host.tree();
    let found = host.chyves("doctor");
    found.says(&format!("{above} (setuid, devices, exec)")).says("more").says(&format!("`chyves pool upgrade {pool}` switches them off"));
    host.ok(&format!("pool upgrade {pool} -n")).says("setuid=off").says("devices=off").says("exec=off");
    assert_eq!(host.tree(), before);
    host.ok(&format!("pool upgrade {pool}")).says("setuid=off, devices=off and exec=off now");
    for part in ["guests", "images", "trash"] {
        assert!(is("off", &format!("{pool}/chyves/{part}")), "{part}");
    }
    assert!(is("off", &web));
    host.chyves("doctor").says("those of guests and images have setuid=off");
    host.ok(&format!("pool upgrade {pool}")).says("nothing to do");
    // The older layout knows nothing of them, and works with them: the way back leaves them.
    host.chyves(&format!("pool upgrade --undo {pool}")).ends(4).says("no upgrade");
    assert!(is("off", &above) && is("off", &web));
    // With a change of the layout it is the same.
    host.sh("zfs", &["set", "chyves:layout=0", &format!("{pool}/chyves")]);
    host.sh("zfs", &["set", "exec=on", &web]);
    host.ok(&format!("pool upgrade {pool}"));
    assert!(is("off", &web));
    host.ok(&format!("pool upgrade --undo {pool}")).says("has layout 0 now");
    assert!(is("off", &above) && is("off", &web));
}
