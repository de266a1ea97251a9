//! Output that is lost is a failure of every command: one line for each, and its help. The commands are those that
//! `chyves help` lists, so one without a line is found.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With};
use std::collections::BTreeSet;
use std::process::{Output, Stdio};

/// Each command with a line that answers on standard output.
const LINES: &[(&str, &str)] = &[
    ("adopt", "adopt other -n"),
    ("clone", "clone web fresh -n"),
    ("cloud-init reinit", "cloud-init reinit seeded -n"),
    ("cloud-init set", "cloud-init set seeded --user-data TEXT -n"),
    ("cloud-init show", "cloud-init show seeded"),
    ("cloud-init status", "cloud-init status seeded"),
    ("completions", "completions bash"),
    ("create", "create fresh --size 1M -n"),
    ("delete", "delete web -n"),
    ("dev errors", "dev errors"),
    ("dev facts", "dev facts"),
    ("dev properties", "dev properties"),
    ("dev schema", "dev schema"),
    ("dev trace", "dev trace list"),
    ("dev unpack", "dev unpack FILE"),
    ("disk add", "disk add web --size 1M -n"),
    ("disk list", "disk list web"),
    ("disk move", "disk move web disk1 3 -n"),
    ("disk remove", "disk remove web disk1 -n"),
    ("disk resize", "disk resize web disk1 2M -n"),
    ("disk set", "disk set web disk1 notes=x -n"),
    ("disk sync", "disk sync web disk1 --json"),
    ("doctor", "doctor"),
    ("firmware list", "firmware list --json"),
    ("get", "get web all"),
    ("image catalogue", "image catalogue"),
    ("image delete", "image delete spare -n"),
    ("image fetch", "image fetch file://FILE -n"),
    ("image import", "image import FILE --name fresh -n"),
    ("image info", "image info small"),
    ("image list", "image list"),
    ("image rename", "image rename spare fresh -n"),
    ("image verify", "image verify small --json"),
    ("info", "info web"),
    ("iso list", "iso list --json"),
    ("list", "list"),
    ("move", "move web --pool OTHER -n"),
    ("network add", "network web add -n"),
    ("network apply", "network apply -n"),
    ("network check", "network check --json"),
    ("network default", "network lan default -n"),
    ("network delete", "network lan delete -n"),
    ("network detach", "network lan detach -n"),
    ("network list", "network list"),
    ("network migrate", "network lan migrate wan -n"),
    ("network plan", "network plan --json"),
    ("network private", "network wan private -n"),
    ("network remove", "network web remove net0 -n"),
    ("network set", "network lan set mtu=1400 -n"),
    ("pool list", "pool list"),
    ("pool offline", "pool offline OTHER -n"),
    ("pool online", "pool online POOL --json"),
    ("pool promote", "pool promote POOL --json"),
    ("pool remove", "pool remove OTHER -n"),
    ("pool upgrade", "pool upgrade POOL --json"),
    ("promote", "promote copy -n"),
    ("reclaim", "reclaim --json"),
    ("rename", "rename web fresh -n"),
    ("repair", "repair --json"),
    ("set", "set web cpu=2 -n"),
    ("snapshot create", "snapshot web@new -n"),
    ("snapshot delete", "snapshot delete web@then -n"),
    ("snapshot diff", "snapshot diff web@then --json"),
    ("snapshot list", "snapshot list web"),
    ("snapshot rollback", "snapshot rollback web@then -n"),
    ("start", "start web -n"),
    ("stop", "stop web --json"),
    ("trash empty", "trash empty -n"),
    ("trash list", "trash list"),
    ("undelete", "undelete gone -n"),
    ("unset", "unset web loader -n"),
    ("version", "version"),
];

/// Commands of which only the help is tried: their standard output is a terminal or a stream, they answer of a VM that runs or of
/// an interface of the host, or nothing at all where there is nothing to do.
const OTHERS: &[&str] = &[
    "console",
    "eject",
    "firmware reset",
    "insert",
    "network attach",
    "network confirm",
    "network join",
    "network move",
    "network nat",
    "network unjoin",
    "pool init",
    "receive",
    "reset",
    "send",
];

/// The commands that a help lists.
fn listed(host: &Host, line: &str) -> Vec<String> {
    let help = host.ok(line).out;
    let rows = help.lines().skip_while(|row| *row != "Commands:").skip(1).take_while(|row| !row.is_empty());
    let first =
        |row: &str| row.strip_prefix("  ").filter(|row| !row.starts_with(' ')).and_then(|row| row.split(' ').next()).map(str::to_owned);
    rows.filter_map(first).filter(|word| word != "help").collect()
}

fn commands(host: &Host) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for verb in listed(host, "help") {
        let below = listed(host, &format!("help {verb}"));
        all.extend(below.iter().map(|word| format!("{verb} {word}")));
        if below.is_empty() {
            all.insert(verb);
        }
    }
    all
}

fn lost(line: &str, output: &Output, why: &str) -> Option<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let is_told = output.status.code() == Some(1) && said.contains("cannot write the output") && said.contains(why);
    (!is_told).then(|| format!("{line}: {:?}: {said}", output.status.code()))
}

/// A line with a full and with a closed standard output.
fn losses(host: &Host, line: &str) -> Vec<String> {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let full = host.command(PROGRAM).args(line.split(' ')).stdin(Stdio::null()).stdout(full).output().unwrap();
    let closed = host.command("sh").args(["-c", &format!("exec {PROGRAM} {line} >&- </dev/null")]).output().unwrap();
    let both = [lost(line, &full, "No space left"), lost(line, &closed, "standard output is closed")];
    both.into_iter().flatten().collect()
}

#[test]
fn output_that_is_lost_is_a_failure_of_every_command() {
    let Some(host) = Host::with_networks("output::lost", With::Image) else { return };
    let other = host.second_pool();
    for line in [
        "create web,gone,copied,other --image small loader=bios",
        "create seeded --size 1M ci.enabled=yes",
        "disk add web --size 1M",
        "snapshot web@then",
        "clone copied copy",
        "delete gone --yes",
        "network lan private",
        "network wan private",
    ] {
        host.ok(line);
    }
    host.ok(&format!("pool init {other}"));
    host.sh("zfs", &["inherit", "chyves:owner", &host.dataset("other")]);
    let file = host.work().join("file");
    std::fs::write(&file, vec![7; 1 << 20]).unwrap();
    let text = host.work().join("user-data");
    std::fs::write(&text, "#cloud-config\n{}\n").unwrap();
    host.ok(&format!("image import {} --name spare", file.display()));
    let known = commands(&host);
    let rows = LINES.iter().map(|(command, _)| *command).chain(OTHERS.iter().copied());
    // ISOs and firmware are images: their commands are those of images.
    let kinds = ["iso", "firmware"];
    let of_kinds = rows.clone().filter_map(|row| row.strip_prefix("image ")).flat_map(|verb| kinds.map(|kind| format!("{kind} {verb}")));
    let rows: BTreeSet<String> = of_kinds.chain(rows.clone().map(str::to_owned)).collect();
    assert_eq!(
        known.symmetric_difference(&rows).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "commands without a line, or lines without one"
    );
    let mut wrong = Vec::new();
    for (_, line) in LINES {
        let line = line
            .replace("POOL", &host.pool)
            .replace("OTHER", &other)
            .replace("FILE", &file.display().to_string())
            .replace("TEXT", &text.display().to_string());
        let good = host.command(PROGRAM).args(line.split(' ')).stdin(Stdio::null()).output().unwrap();
        if good.stdout.is_empty() {
            wrong.push(format!("{line}: answers nothing: {}", String::from_utf8_lossy(&good.stderr)));
            continue;
        }
        // One that fails anyway keeps its own exit status.
        if good.status.success() {
            wrong.extend(losses(&host, &line));
        } else {
            wrong.push(format!("{line}: {}", String::from_utf8_lossy(&good.stderr)));
        }
    }
    wrong.extend(known.iter().flat_map(|command| losses(&host, &format!("help {command}"))));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
