//! Images from servers, which may fail in every way: what comes is gone on with, or goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a panic is the failure report

mod common;
mod loopback;

use common::images::{direct, disk, listed, sha256, with_env};
use common::{Host, PROGRAM, With};
use loopback::{Reply, Server};
use std::process::Stdio;

/// A failure is told with its cause and what to type next.
#[track_caller]
fn refused(host: &Host, line: &str, code: i32, says: &str) {
    let answer = direct(host, line).ends(code);
    assert!(answer.err.contains(says), "{line} does not say `{says}`:\n{}", answer.err);
    assert!(answer.err.contains("hint:"), "{line} does not say what to do:\n{}", answer.err);
}

#[test]
fn a_server_may_fail_in_every_way() {
    let Some(host) = Host::new("images::server", With::Image) else { return };
    let server = Server::new();
    let disk = disk();
    let (half, n) = (disk[..disk.len() / 2].to_vec(), disk.len() / 2);
    for (path, reply) in [
        ("/short.img", Reply::Short(half.clone(), n)),
        ("/long.img", Reply::Long(disk.clone(), 5)),
        ("/chunked-cut.img", Reply::ChunkedCut(half.clone())),
        ("/changes.img", Reply::CutsAndChanges(disk.clone(), 1000)),
        ("/page.img", Reply::Page),
        ("/gone.img", Reply::Status(410)),
        ("/locked.img", Reply::Status(401)),
        ("/broken.img", Reply::Status(500)),
        ("/teapot.img", Reply::Status(418)),
        ("/circle.img", Reply::Redirect(server.address("/circle.img"))),
        ("/nowhere.img", Reply::Redirect("http://127.0.0.1:1/x".into())),
        ("/odd.img", Reply::Redirect("ftp://127.0.0.1/x".into())),
        ("/whole.img", Reply::Plain(disk.clone())),
        ("/silent.img", Reply::Silent(disk.clone(), 0)),
        ("/SUMS", Reply::Plain(format!("{}  other.img\n", "0".repeat(64)).into_bytes())),
    ] {
        server.gives(path, reply);
    }
    let before = host.tree();
    let wrong = "1".repeat(64);
    for (line, code, says) in [
        ("/missing.img", 3, "404"),
        ("/gone.img", 3, "410"),
        ("/locked.img", 1, "401"),
        ("/broken.img", 1, "500"),
        ("/teapot.img", 1, "418"),
        ("/circle.img", 1, "redirect loop"),
        ("/nowhere.img", 1, "cannot be fetched"),
        ("/odd.img", 1, "redirect refused"),
        ("/short.img", 1, "is incomplete"),
        ("/long.img", 1, "is larger than the announced Content-Length"),
        ("/chunked-cut.img", 1, "is incomplete"),
        ("/changes.img", 1, "changed while it was fetched"),
        ("/page.img", 2, "is a web page"),
        ("/silent.img --timeout 1 --retries 0", 1, "no data arrived for 1 s"),
        (&format!("/whole.img --hash {wrong}"), 1, &wrong),
        (&format!("/whole.img --checksums {}", server.address("/SUMS")), 1, "does not have `whole.img`"),
        (&format!("/whole.img --checksums {}", server.address("/NONE")), 3, "404"),
        ("/whole.img --name small", 4, "already"),
    ] {
        refused(&host, &format!("image fetch {}", server.address(line)), code, says);
        assert_eq!(host.tree(), before, "{line}");
    }
    for (line, code, says) in [
        ("http://127.0.0.1:1/x.img", 1, "cannot be fetched"),
        ("ftp://127.0.0.1:1/x.img", 1, "cannot be fetched"),
        ("gopher://nowhere.invalid/x.img", 2, "not an address that can be read"),
    ] {
        refused(&host, &format!("image fetch {line}"), code, says);
        assert_eq!(host.tree(), before, "{line}");
    }
    // No room for what comes.
    let images = format!("{}/chyves/images", host.pool);
    host.sh("zfs", &["set", "quota=1M", &images]);
    refused(&host, &format!("image fetch {}", server.address("/whole.img")), 1, "free space");
    host.sh("zfs", &["set", "quota=none", &images]);
    assert!(host.tree().keys().eq(before.keys()));
    direct(&host, "image fetch ./disk.img").ends(2).says("chyves image import");
    direct(&host, &format!("image fetch {} --name fine", server.address("/whole.img"))).ends(0);
    server.gives("/chunked.img", Reply::Chunked(disk));
    direct(&host, &format!("image fetch {}", server.address("/chunked.img"))).ends(0);
    assert_eq!(listed(&host, "chunked")["sha256"], listed(&host, "fine")["sha256"]);
    let address = server.address("/elsewhere.img").replace("http://", "http://me:word@");
    server.gives("/elsewhere.img", Reply::Redirect("/whole.img".into()));
    direct(&host, &format!("image fetch {address}")).ends(0).is_silent_of("word");
    assert_eq!(listed(&host, "elsewhere")["source"], server.address("/elsewhere.img"));
    host.nothing_is_left();
}

#[test]
fn a_host_may_have_no_name() {
    // Without interfaces nobody is asked, and none leaves the machine.
    let Some(host) = Host::with_networks("images::names", With::Image) else { return };
    let before = host.tree();
    for scheme in ["http", "https", "ftp"] {
        let line = format!("image fetch {scheme}://me:word@nowhere.invalid:8021/x.img --timeout 20 --retries 0");
        let answer = direct(&host, &line).ends(1).says("cannot be fetched").says("`getent hosts nowhere.invalid`");
        answer.says(&format!("`chyves image fetch {scheme}://nowhere.invalid:8021/x.img`")).is_silent_of("word");
        assert_eq!(host.tree(), before, "{scheme}");
    }
    host.nothing_is_left();
}

#[test]
fn a_cut_transfer_goes_on_by_itself_and_after_a_kill() {
    let Some(host) = Host::new("images::resume", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let server = Server::new();
    let disk = disk();
    std::fs::write(host.work().join("disk.img"), &disk).unwrap();
    let sum = sha256(&host, "disk.img");
    server.gives("/cuts.img", Reply::Cuts(disk.clone(), 1_500_000));
    direct(&host, &format!("image fetch {}", server.address("/cuts.img"))).ends(0);
    assert_eq!(listed(&host, "cuts")["sha256"], sum.clone());
    let ranges = server.asked().iter().filter(|head| head.to_lowercase().contains("\r\nrange: bytes=")).count();
    assert_eq!(ranges, 2, "4 MiB in pieces of 1.5 million bytes");

    // Cut for good: what came is kept where nobody sees it, and said.
    let address = server.address("/disk.img");
    server.gives("/disk.img", Reply::Silent(disk.clone(), 1 << 20));
    let before = host.tree();
    direct(&host, &format!("image fetch {address} --timeout 1 --retries 0")).ends(1).says("resumes it");
    host.ok("image list -H -o name").is_silent_of("disk");
    assert_eq!(host.tree().len(), before.len() + 1);
    // Killed in the middle: the same.
    let mut killed = host.command(PROGRAM);
    killed.args(["image", "fetch", &address]).env("no_proxy", "127.0.0.1").env_remove("http_proxy").env_remove("HTTP_PROXY");
    server.asked();
    server.gives("/disk.img", Reply::Silent(disk.clone(), 2 << 20));
    let mut child = killed.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let part = |(): &()| {
        let folders = std::fs::read_dir(host.open_path(host.mount_point().join("chyves/images"))).unwrap().flatten();
        folders.map(|f| f.path().join("part")).find_map(|p| std::fs::metadata(p).ok()).is_some_and(|m| m.len() == 2 << 20)
    };
    common::until("half of it to come", || Some(()).filter(part));
    let of = |p: &common::Process| p.line.contains("image fetch");
    let process = common::until("the process", || host.processes().into_iter().find(of));
    host.kill(process.pid);
    child.wait().unwrap();
    host.ok("image list -H -o name").is_silent_of("disk");
    server.gives("/disk.img", Reply::File(disk));
    server.asked();
    direct(&host, &format!("image fetch {address}")).ends(0);
    assert_eq!(listed(&host, "disk")["sha256"], sum);
    let heads = server.asked().concat().to_lowercase();
    assert!(heads.contains("range: bytes=") && heads.contains("if-range: \"one\""), "{heads}");
    let left = host.tree().into_keys().filter(|k| k.contains("fetching-") || k.contains("importing-")).collect::<Vec<_>>();
    assert_eq!(left, Vec::<String>::new());
    host.ok("image verify");
    host.nothing_is_left();
}

#[test]
fn other_ways_to_a_server() {
    let Some(host) = Host::new("images::ways", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let disk = disk();
    std::fs::write(host.work().join("disk.img"), &disk).unwrap();
    let sum = sha256(&host, "disk.img");
    // FTP, cut once.
    let (port, told) = loopback::ftp(disk.clone(), 1_000_000);
    direct(&host, &format!("image fetch ftp://127.0.0.1:{port}/images/disk.img --name by-ftp")).ends(0);
    assert_eq!(listed(&host, "by-ftp")["sha256"], sum.clone());
    assert!(told.lock().unwrap().iter().any(|line| line.starts_with("REST ")));
    refused(&host, &format!("image fetch ftp://127.0.0.1:{port}/images/none.img"), 3, "550");
    refused(&host, &format!("image fetch ftp://nobody:x@127.0.0.1:{port}/images/disk.img"), 1, "530");
    // A proxy is asked for the whole address.
    let proxy = Server::new();
    proxy.gives("http://images.invalid/disk.img", Reply::Plain(disk));
    let env = [("http_proxy", format!("http://127.0.0.1:{}", proxy.port))];
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    with_env(&host, "image fetch http://images.invalid/disk.img --name by-proxy", &env).ends(0);
    assert_eq!(listed(&host, "by-proxy")["sha256"], sum.clone());
    // A file address.
    host.ok(&format!("image fetch file://{} --name by-file", host.work().join("disk.img").display()));
    // A server whose certificate this system's certificates don't vouch for, and then do.
    let pem = host.work().join("ca.pem");
    let request = |more: &[&str]| {
        let common = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3"];
        host.sh("openssl", &[&common[..], more].concat());
    };
    request(&["-subj", "/CN=test", "-keyout", "ca.key", "-out", "ca.pem"]);
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let leaf =
        ["-subj", "/CN=localhost", "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"];
    request(&[&leaf[..], &["-keyout", "server.key", "-out", "server.pem"]].concat());
    let mut tls = std::process::Command::new("openssl");
    tls.args(["s_server", "-accept", "127.0.0.1:0", "-cert", "server.pem", "-key", "server.key", "-WWW"]).current_dir(host.work());
    let mut tls = tls.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = std::io::BufReader::new(tls.stdout.take().unwrap());
    let port = std::iter::repeat_with(|| {
        let mut line = String::new();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "openssl s_server ended");
        line
    })
    .find_map(|line| line.trim().strip_prefix("ACCEPT ").and_then(|place| place.rsplit(':').next()?.parse::<u16>().ok()))
    .unwrap();
    let line = format!("image fetch https://127.0.0.1:{port}/disk.img --name by-tls");
    let distrusted = direct(&host, &line);
    let trusted = with_env(&host, &line, &[("SSL_CERT_FILE", pem.to_str().unwrap())]);
    tls.kill().unwrap();
    tls.wait().unwrap();
    distrusted.ends(1).says("cannot be trusted").says("hint:").says("SSL_CERT_FILE=FILE chyves image fetch");
    trusted.ends(0);
    assert_eq!(listed(&host, "by-tls")["sha256"], sum);
}

#[test]
fn what_was_kept_is_left_where_the_file_is_another_by_now() {
    let Some(host) = Host::new("images::changed", With::Image) else { return };
    let server = Server::new();
    let (disk, address) = (disk(), server.address("/disk.img"));
    let before = host.tree();
    let cut = || {
        server.gives("/disk.img", Reply::Silent(disk.clone(), 1 << 20));
        refused(&host, &format!("image fetch {address} --timeout 1 --retries 0"), 1, "resumes it");
        assert_ne!(host.tree(), before);
    };
    // A server that gives the rest of another version: what is kept would be refused repeatedly.
    cut();
    server.gives("/disk.img", Reply::CutsAndChanges(disk.clone(), 1000));
    server.asked();
    refused(&host, &format!("image fetch {address} --retries 0"), 1, "changed while it was fetched");
    assert_eq!(host.tree(), before);
    // One that gives nothing of the rest, for there is none.
    cut();
    let short = disk[..1 << 19].to_vec();
    std::fs::write(host.work().join("short.img"), &short).unwrap();
    server.gives("/disk.img", Reply::Shrunk(short));
    direct(&host, &format!("image fetch {address}")).ends(0);
    assert_eq!(listed(&host, "disk")["sha256"], sha256(&host, "short.img"));
    // An image's own file is gone.
    let dataset = format!("{}/chyves/images/disk", host.pool);
    host.sh("zfs", &["mount", &dataset]);
    std::fs::remove_file(host.open_path(host.mount_point().join("chyves/images/disk/disk0.raw"))).unwrap();
    refused(&host, "image verify disk", 1, "has lost its file");
    host.ok("image delete disk --yes");
    assert_eq!(host.tree(), before);
    host.nothing_is_left();
}

#[test]
fn what_was_kept_of_a_cut_transfer_is_deleted_by_repair() {
    let Some(host) = Host::new("images::repair", With::Image) else { return };
    let server = Server::new();
    let before = host.tree();
    server.gives("/disk.img", Reply::Silent(disk(), 1 << 20));
    direct(&host, &format!("image fetch {} --timeout 1 --retries 0", server.address("/disk.img"))).ends(1).says("chyves repair");
    assert_ne!(host.tree(), before);
    host.ok("repair --dry-run").says("fetching-");
    host.ok("repair").says(&server.address("/disk.img")).says("deleted");
    assert_eq!(host.tree(), before);
    host.ok("repair").says("nothing to repair");
    host.nothing_is_left();
}

#[test]
fn what_was_kept_of_a_cut_transfer_goes_by_itself_after_a_week() {
    let Some(host) = Host::new("images::age", With::Image) else { return };
    let server = Server::new();
    let before = host.tree();
    for name in ["old", "young"] {
        server.gives(&format!("/{name}.img"), Reply::Silent(disk(), 1 << 20));
        direct(&host, &format!("image fetch {} --timeout 1 --retries 0", server.address(&format!("/{name}.img")))).ends(1);
    }
    let part = |name: &str| {
        let told = host.sh("zfs", &["get", "-H", "-o", "name,value", "-r", "chyves:image.partial", &host.pool]);
        let line = told.lines().find(|l| l.ends_with(&format!("/{name}.img")) && !l.contains('@')).map(str::to_owned);
        line.map(|l| l.split('\t').next().unwrap().to_owned())
    };
    let old = part("old").unwrap();
    host.sh("zfs", &["set", "chyves:image.added=2026-01-31T12:00:00Z", &old]);
    // The same address goes on with it, whatever its age, and makes it young again.
    let again = server.address("/old.img");
    direct(&host, &format!("image fetch {again} --timeout 1 --retries 0")).ends(1).is_silent_of("was not resumed for");
    assert!(!host.sh("zfs", &["get", "-H", "-o", "value", "chyves:image.added", &old]).starts_with("2026-01-31"));
    host.sh("zfs", &["set", "chyves:image.added=2026-01-31T12:00:00Z", &old]);
    // One that somebody holds stays; a dry run deletes nothing.
    host.sh("zfs", &["mount", &old]);
    let folder = host.sh("zfs", &["get", "-H", "-o", "value", "mountpoint", &old]);
    let holder = format!("exec 9<{}/part && flock 9 && echo && exec cat", folder.trim());
    let piped = std::process::Stdio::piped;
    let mut held = host.command("sh").args(["-c", &holder]).stdin(piped()).stdout(piped()).spawn().unwrap();
    std::io::Read::read_exact(held.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    std::fs::write(host.work().join("disk.img"), disk()).unwrap();
    host.ok("image import disk.img --name one").is_silent_of("was not resumed for");
    drop(held.stdin.take());
    held.wait().unwrap();
    host.ok("image import disk.img --name two --dry-run");
    assert!(part("old").is_some());
    host.ok("image import disk.img --name two").says("old.img was deleted: it was not resumed for");
    assert!(part("old").is_none() && part("young").is_some());
    host.ok("repair").says("young.img");
    for name in ["one", "two"] {
        host.ok(&format!("image delete {name} --yes"));
    }
    assert_eq!(host.tree(), before);
    host.nothing_is_left();
}

#[test]
fn two_commands_do_not_fetch_one_address_at_once() {
    let Some(host) = Host::new("images::twice", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let server = Server::new();
    let disk = disk();
    server.gives("/disk.img", Reply::Silent(disk.clone(), 2 << 20));
    let address = server.address("/disk.img");
    let mut first = host.command(PROGRAM);
    first.args(["image", "fetch", &address, "--name", "first"]).env("no_proxy", "127.0.0.1");
    let mut first = first.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let part = || {
        let folders = std::fs::read_dir(host.open_path(host.mount_point().join("chyves/images"))).ok()?.flatten();
        folders.map(|f| f.path().join("part")).find_map(|p| std::fs::metadata(p).ok()).filter(|m| m.len() == 2 << 20).map(drop)
    };
    common::until("half of it to come", part);
    direct(&host, &format!("image fetch {address} --name second")).ends(4).says("is being fetched already");
    assert!(part().is_some(), "what the first one has is gone");
    // Interrupted, the first one leaves what it has for the next.
    let process = host.processes().into_iter().find(|p| p.line.contains("--name first")).unwrap();
    host.sh("kill", &["-INT", &process.pid.to_string()]);
    first.wait().unwrap();
    server.gives("/disk.img", Reply::File(disk));
    server.asked();
    direct(&host, &format!("image fetch {address} --name third")).ends(0);
    assert!(server.asked().concat().to_lowercase().contains(&format!("range: bytes={}-", 2 << 20)));
    assert_eq!(host.ok("image list -H -o name").out, "third\n");
    host.nothing_is_left();
}
