//! Images of others: what is hashed is what is converted, a converter can reach nothing, and a cut image is refused.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::images::{disk, listed, sha256};
use common::{Host, PROGRAM, With};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CANARY: &[u8] = b"what only root may read ";

/// A folder of another user's with a good image, and one that would read a file of root's.
fn bait(host: &Host) -> std::path::PathBuf {
    let folder = host.work().join("theirs");
    std::fs::create_dir(&folder).unwrap();
    let canary = host.work().join("canary");
    let mut secret = CANARY.repeat(4096);
    secret.resize(4 << 20, b'x');
    std::fs::write(&canary, secret).unwrap();
    std::fs::set_permissions(&canary, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(host.work().join("plain.img"), disk()).unwrap();
    host.sh("qemu-img", &["convert", "-O", "qcow2", "plain.img", "theirs/good"]);
    host.sh("qemu-img", &["create", "-q", "-f", "qcow2", "-b", canary.to_str().unwrap(), "-F", "raw", "theirs/evil", "4M"]);
    std::fs::copy(folder.join("good"), folder.join("disk.qcow2")).unwrap();
    for file in ["good", "evil", "disk.qcow2"] {
        chown(folder.join(file), Some(65_534), Some(65_534)).unwrap();
    }
    chown(&folder, Some(65_534), Some(65_534)).unwrap();
    folder
}

#[test]
fn a_link_of_another_user_leads_to_no_file_of_roots() {
    let Some(host) = Host::new("images::links", With::Image) else { return };
    let folder = bait(&host);
    let own = |name: &str, to: &str, owner: u32| {
        std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
        std::os::unix::fs::lchown(folder.join(name), Some(owner), Some(owner)).unwrap();
    };
    own("raw.img", "../canary", 65_534);
    own("twice.img", "raw.img", 0);
    own("above", "..", 65_534);
    host.ok("create web --disk raw --size 1M loader=bios accel=tcg");
    let before = host.tree();
    for path in ["theirs/raw.img", "theirs/twice.img", "theirs/above/canary"] {
        let path = host.work().join(path);
        for line in [format!("image import {} --name x", path.display()), format!("disk add web --import {}", path.display())] {
            let refused = host.chyves(&line).ends(2);
            assert!(refused.err.contains("is a link of the user 65534 to a file of the user 0"), "{line}: {}", refused.err);
            assert!(refused.err.contains(host.work().join("canary").to_str().unwrap()), "{line}: {}", refused.err);
        }
    }
    // A hard link has no owner; where it is shows who may have made it.
    std::fs::hard_link(host.work().join("canary"), folder.join("hard.img")).unwrap();
    for line in ["image import theirs/hard.img --name x", "disk add web --import theirs/hard.img"] {
        let refused = host.chyves(line).ends(2);
        assert!(refused.err.contains("may be another user's hard link"), "{line}: {}", refused.err);
    }
    let attached = folder.join("hard.img");
    host.chyves(&format!("disk add web --attach {}", attached.display())).says("may be another user's hard link");
    std::fs::remove_file(attached).unwrap();
    assert_eq!(host.tree(), before);
    // Its own link to its own file, and a link of the administrator's.
    own("mine.img", "good", 65_534);
    own("admins.img", "../plain.img", 0);
    host.ok("image import theirs/mine.img --name mine");
    host.ok("image import theirs/admins.img --name admins");
    // Nor is an endless device named as a source.
    for (path, says) in [("/dev/zero", "it is a device without an end"), ("theirs", "it is a folder")] {
        let refused = host.chyves(&format!("image import {path} --name zero")).ends(2);
        assert!(refused.err.contains(says) && !refused.err.contains("image import -"), "{}", refused.err);
    }
}

/// Swaps one for the other as fast as it can while the work is done: by name, or by writing into the same file.
fn while_swapped(folder: &Path, in_place: bool, mut work: impl FnMut()) {
    let stop = Arc::new(AtomicBool::new(false));
    let (folder, ended) = (folder.to_owned(), stop.clone());
    let swapper = std::thread::spawn(move || {
        let bytes = ["evil", "good"].map(|name| std::fs::read(folder.join(name)).unwrap());
        let target = folder.join("disk.qcow2");
        while !ended.load(Ordering::SeqCst) {
            for bytes in &bytes {
                if in_place {
                    use std::os::unix::fs::FileExt;
                    let file = std::fs::OpenOptions::new().write(true).open(&target).unwrap();
                    file.write_all_at(&bytes[..4096.min(bytes.len())], 0).unwrap();
                } else {
                    let next = folder.join("next");
                    std::fs::write(&next, bytes).unwrap();
                    std::fs::rename(&next, &target).unwrap();
                }
                std::thread::sleep(std::time::Duration::from_micros(700));
            }
        }
        std::fs::remove_file(&target).unwrap();
        std::fs::write(&target, &bytes[1]).unwrap();
        chown(&target, Some(65_534), Some(65_534)).unwrap();
    });
    work();
    stop.store(true, Ordering::SeqCst);
    swapper.join().unwrap();
}

/// The attack works on who opens the image by its name twice, as `qemu-img info` and then `qemu-img convert` do: without that,
/// the tests below would prove nothing.
#[test]
fn who_opens_a_swapped_image_by_its_name_twice_reads_a_file_of_the_host() {
    let Some(host) = Host::new("images::by_name", With::Pool) else { return };
    let folder = bait(&host);
    let leaks = |bytes: &[u8]| bytes.windows(CANARY.len()).any(|part| part == CANARY);
    let mut leaked = false;
    while_swapped(&folder, false, || {
        for _ in 0..400 {
            let info = host.command("qemu-img").args(["info", "--output=json", "theirs/disk.qcow2"]).output().unwrap();
            // Checked: it depends on no other file.
            if !info.status.success() || String::from_utf8_lossy(&info.stdout).contains("backing") {
                continue;
            }
            let convert = host.command("qemu-img").args(["convert", "-O", "raw", "theirs/disk.qcow2", "by-name"]).output().unwrap();
            leaked = convert.status.success() && leaks(&std::fs::read(host.work().join("by-name")).unwrap());
            if leaked {
                break;
            }
        }
    });
    assert!(leaked, "the attack has no effect: what it is used on below is not tested");
}

#[test]
fn an_image_that_is_swapped_while_it_is_imported_reads_no_file_of_the_host() {
    let Some(host) = Host::new("images::swapped", With::Image) else { return };
    let folder = bait(&host);
    let (hash, content) = (sha256(&host, "theirs/good"), sha256(&host, "plain.img"));
    host.ok(&format!("image import theirs/disk.qcow2 --name honest --hash {hash}"));
    assert_eq!(listed(&host, "honest")["sha256"], content);
    host.ok("create web --size 1M");
    for in_place in [false, true] {
        let way = if in_place { "written" } else { "renamed" };
        while_swapped(&folder, in_place, || {
            for n in 0..6 {
                let hashed = if n % 2 == 0 { format!(" --hash {hash}") } else { String::new() };
                let answer = host.chyves(&format!("image import theirs/disk.qcow2 --name {way}{n}{hashed}"));
                if answer.code == 0 && n % 2 == 0 {
                    assert_eq!(listed(&host, &format!("{way}{n}"))["sha256"], content, "{way}{n}");
                }
            }
            for _ in 0..4 {
                host.chyves("disk add web --import theirs/disk.qcow2");
            }
        });
    }
    // Nothing of the secret is anywhere on the pool.
    let pool = host.mount_point();
    for dataset in host.sh("zfs", &["list", "-H", "-o", "name,canmount", "-t", "filesystem"]).lines() {
        let (name, _) = dataset.split_once('\t').unwrap();
        let _ = host.command("zfs").args(["mount", name]).output();
    }
    let found = host.command("grep").args(["-rlaF", "what only root may read what only root"]).arg(&pool).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "a secret of the host was imported");
}

/// Whether a process was started by this test, at whatever remove: other tests have theirs.
fn is_ours(process: &std::path::Path) -> bool {
    let mut at = process.file_name().unwrap().to_string_lossy().into_owned();
    loop {
        let status = std::fs::read_to_string(format!("/proc/{at}/status")).unwrap_or_default();
        let Some(parent) = status.lines().find_map(|line| line.strip_prefix("PPid:")) else { return false };
        parent.trim().clone_into(&mut at);
        if at == std::process::id().to_string() {
            return true;
        }
    }
}

/// Whether a `qemu-img` of this test converts something now.
fn converts() -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().filter(|process| is_ours(&process.path())).any(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.first().is_some_and(|program| program.ends_with(b"qemu-img")) && words.contains(&&b"convert"[..])
    })
}

#[test]
fn what_was_checked_of_a_disk_image_is_what_is_taken() {
    let Some(host) = Host::new("images::checked", With::Image) else { return };
    // No block is like another, so that each is in the image.
    let content: Vec<u8> = (0..12_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(host.work().join("plain.img"), &content).unwrap();
    host.sh("qemu-img", &["convert", "-O", "qcow2", "plain.img", "theirs.qcow2"]);
    let path = host.work().join("theirs.qcow2");
    std::os::unix::fs::chown(&path, Some(1000), Some(1000)).unwrap();
    host.ok("create web --size 1M");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            use std::os::unix::fs::FileExt;
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                if converts() {
                    (5..40).for_each(|n| file.write_all_at(&vec![0x55; 1 << 20], n << 20).unwrap());
                    return true;
                }
            }
            false
        });
        host.ok("disk add web --import theirs.qcow2");
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(writer.join().unwrap(), "it was not written to while it was converted");
    });
    let number = host.ok("disk list web -H -o number").out.lines().count() - 1;
    host.in_folder("web", |root| {
        assert!(
            std::fs::read(root.join(format!("disk{number}.raw"))).unwrap() == content,
            "it has another content than the image that was checked"
        );
        assert!(std::fs::read_dir(root).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with("importing")));
    });
}

#[test]
fn a_cut_image_is_refused_whatever_its_format() {
    let Some(host) = Host::new("images::cut", With::Image) else { return };
    let mut plain = disk();
    plain.resize(6 << 20, 7);
    std::fs::write(host.work().join("disk.img"), plain).unwrap();
    let formats: [(&str, &str, &[&str]); 7] = [
        ("qcow2", "qcow2", &[]),
        ("compressed", "qcow2", &["-c"]),
        ("vmdk", "vmdk", &[]),
        ("vdi", "vdi", &[]),
        ("vhdx", "vhdx", &[]),
        ("dynamic", "vpc", &["-o", "subformat=dynamic,force_size=on"]),
        ("stream", "vmdk", &["-o", "subformat=streamOptimized"]),
    ];
    for (name, format, options) in formats {
        host.sh("qemu-img", &[&["convert", "-O", format], options, &["disk.img", name]].concat());
        let bytes = std::fs::read(host.work().join(name)).unwrap();
        for (cut, length) in [("half", bytes.len() / 2), ("most", bytes.len() * 9 / 10)] {
            std::fs::write(host.work().join(format!("{name}-{cut}")), &bytes[..length]).unwrap();
        }
    }
    host.ok("create web --size 1M");
    let before = host.tree();
    for (name, ..) in formats {
        // The last tenth of these two holds nothing of the disk.
        for cut in ["half", "most"].into_iter().filter(|cut| *cut == "half" || !["vhdx", "stream"].contains(&name)) {
            host.chyves(&format!("image import {name}-{cut} --name {name}")).ends(1).says("damaged or incomplete").says("hint:");
            assert_eq!(host.tree(), before, "{name}-{cut}");
        }
    }
    // Cut within its last block, an image is refused or loses nothing.
    let whole = sha256(&host, "disk.img");
    for (name, ..) in formats {
        let bytes = std::fs::read(host.work().join(name)).unwrap();
        for cut in [1, 512, 65_535] {
            let short = format!("{name}-{cut}");
            std::fs::write(host.work().join(&short), &bytes[..bytes.len() - cut]).unwrap();
            let answer = host.chyves(&format!("image import {short} --name short"));
            if answer.code == 0 {
                assert_eq!(listed(&host, "short")["sha256"], whole, "{short}");
                assert!(!["qcow2", "vmdk", "vdi", "dynamic"].contains(&name), "{short} was imported");
                host.ok("image delete short --yes");
            } else {
                answer.ends(1).says("damaged or incomplete");
            }
            if ["qcow2", "compressed"].contains(&name) {
                let answer = host.chyves(&format!("disk add web --import {short}"));
                assert!(answer.code == 1 || name == "compressed", "{short}: {}", answer.code);
                host.chyves("disk remove web disk0 --yes");
            }
        }
    }
    host.ok("trash empty --yes");
    let before = host.tree();
    // On standard input it is the same, and as a disk too.
    let piped = host.command("sh").args(["-c", &format!("{PROGRAM} image import - --name piped <qcow2-half")]).output().unwrap();
    assert_eq!(piped.status.code(), Some(1));
    host.chyves("disk add web --import qcow2-half").ends(1).says("damaged or incomplete");
    assert_eq!(host.tree(), before);
    for (name, ..) in formats {
        host.ok(&format!("image import {name} --name {name}"));
    }
}

/// What takes the converter's place tells what it may do.
const PROBE: &str = r"#!/usr/bin/python3
import os,resource,socket,sys
def may(what):
    try: what(); return 'yes'
    except OSError: return 'no'
    except Exception: return 'no'
def child():
    pid=os.fork()
    if pid==0: os._exit(0)
    os.waitpid(pid,0)
fds=[]
for n in range(3,64):
    try: os.fstat(n); fds.append(n)
    except OSError: pass
sys.stderr.write(' '.join(['uid='+str(os.getuid()),'gid='+str(os.getgid()),'groups='+str(len(os.getgroups())),
 'socket='+may(lambda: socket.socket()),'fork='+may(child),'passwd='+may(lambda: open('/etc/passwd').read()),
 'write='+may(lambda: open('/tmp/x-of-a-probe','w')),'root='+may(lambda: os.setuid(0)),
 'fsize='+str(resource.getrlimit(resource.RLIMIT_FSIZE)[0]),'fds='+str(len(fds)),
 'env='+','.join(sorted(k for k in os.environ if k not in ('LC_CTYPE',)))])+'\n')
sys.exit(1)
";

#[test]
fn a_converter_can_reach_nothing() {
    let Some(host) = Host::new("images::confined", With::Image) else { return };
    let bin = host.work().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("qemu-img"), PROBE).unwrap();
    std::fs::set_permissions(bin.join("qemu-img"), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Everybody may search the way to it.
    let mut above = bin.as_path();
    while let Some(folder) = above.parent().filter(|f| f.starts_with("/tmp/") || f.starts_with("/var/tmp/")) {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        above = folder;
    }
    std::fs::write(host.work().join("plain.img"), disk()).unwrap();
    host.sh("qemu-img", &["convert", "-O", "qcow2", "plain.img", "a.qcow2"]);
    let output = host
        .command("sh")
        .args(["-c", &format!("exec 7</etc/passwd; exec {PROGRAM} image import a.qcow2")])
        .env("CHYVES_PATH", &bin)
        .env("TOKEN_OF_THE_CALLER", "secret")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("uid=1900065536 gid=1900065536 groups=0 socket=no fork=no passwd=no write=no root=no fsize=0 fds=0 env=LC_ALL,PATH"),
        "{said}"
    );
}

#[test]
fn folders_that_others_may_write_to_are_refused() {
    let Some(host) = Host::new("images::state", With::Image) else { return };
    host.ok("create web --size 1M");
    let state = host.work().join("state");
    let journal = state.join(".journal");
    let run_in = |state: &Path, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let output = host.command(PROGRAM).args(words).env("CHYVES_STATEDIR", state).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let run = |line: &str| run_in(&state, line);
    assert_eq!(run("set web cpu=2").0, 0);
    let before = host.tree();
    for open in [&state, &journal] {
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o777)).unwrap();
        for line in ["set web cpu=3", "repair", "image import ./small.img --name again"] {
            let (code, said) = run(line);
            assert_eq!(code, 5, "{line}: {said}");
            assert!(said.contains("is not safe to use") && said.contains("CHYVES_STATEDIR"), "{line}: {said}");
            assert!(said.contains(&format!("chmod go-w {}", open.display())), "{line}: {said}");
            assert_eq!(host.tree(), before);
        }
        std::fs::set_permissions(open, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    chown(&journal, Some(65_534), None).unwrap();
    assert_eq!(run("set web cpu=3").0, 5);
    chown(&journal, Some(0), None).unwrap();
    assert_eq!(run("set web cpu=3").0, 0);
    // The owner of a link chooses the folder, and so does who may replace the link.
    let (link, open) = (host.work().join("link"), host.work().join("open"));
    std::os::unix::fs::symlink(&state, &link).unwrap();
    assert_eq!(run_in(&link, "set web cpu=4").0, 0);
    std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
    let (code, said) = run_in(&link, "set web cpu=5");
    assert!(code == 5 && said.contains("it is a link of the user 65534"), "{said}");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(&state, open.join("link")).unwrap();
    let (code, said) = run_in(&open.join("link"), "set web cpu=5");
    assert!(code == 5 && said.contains("put another link in its place"), "{said}");
}

#[test]
fn a_runtime_folder_that_others_may_write_to_is_believed_by_no_command() {
    let Some(host) = Host::new("images::runtime", With::Image) else { return };
    host.ok("create web --size 1M loader=bios");
    let run = host.run_dir();
    // What another user put there: a VM with a supervisor that answers.
    let folder = run.join(host.value("web", "uuid"));
    std::fs::create_dir(&folder).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(folder.join("control")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let before = host.tree();
    let open = || std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o777)).unwrap();
    let foreign = || chown(&run, Some(65_534), None).unwrap();
    for spoil in [&open as &dyn Fn(), &foreign] {
        spoil();
        for line in [
            "list",
            "info web",
            "repair",
            "reclaim",
            "set web cpu=2",
            "start web",
            "stop web",
            "console web",
            "snapshot web@x",
            "network list",
            "image list",
        ] {
            let refused = host.chyves(line).ends(5);
            assert!(refused.err.contains("is not safe to use") && refused.err.contains("CHYVES_RUNDIR"), "{line}: {}", refused.err);
        }
        host.chyves("doctor").says("is not safe to use");
        assert!(listener.accept().is_err(), "a command has asked what others put there");
        chown(&run, Some(0), None).unwrap();
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert_eq!(host.tree(), before);
    host.ok("list");
}

#[test]
fn the_password_in_an_address_is_shown_nowhere() {
    let Some(host) = Host::new("images::password", With::Image) else { return };
    // A server that takes the connection and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = format!("http://me:hush-hush@127.0.0.1:{port}/disk.img");
    let trace = host.work().join("trace");
    let mut command = host.command(PROGRAM);
    for name in ["http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.args(["image", "fetch", &address, "--name", "secret", "--retries", "0"]);
    command.env("CHYVES_TRACE", &trace).env("CHYVES_TRACE_OUTPUT", "1").stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    let seen = |text: &str| text.contains("hush-hush");
    // Every process that there is, and every file that chyves keeps.
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        // This test's own way into the host's namespaces has to name it.
        assert!(!(seen(&line) && line.starts_with(PROGRAM)), "{line}");
    }
    let kept = host.command("grep").args(["-ra", "hush-hush"]).arg(host.dir().join("run")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "");
    let locked = host.chyves("image import ./small.img --name secret").ends(4);
    assert!(locked.err.contains("image fetch http://127.0.0.1") && !seen(&locked.err), "{}", locked.err);
    assert!(!seen(&host.sh("zfs", &["get", "-r", "-H", "all", &host.pool])));
    drop(stream);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !seen(&said), "{said}");
    assert!(!seen(&std::fs::read_to_string(&trace).unwrap()));
    for wrong in [
        format!("image fetch x {address}"),
        format!("image fetch --nonsense={address}"),
        address.clone(),
        format!("image fetch {address} -n --json --name y"),
    ] {
        let answer = host.chyves(&wrong);
        assert!(!seen(&answer.err) && !seen(&answer.out), "{wrong}:\n{}{}", answer.out, answer.err);
    }
}
