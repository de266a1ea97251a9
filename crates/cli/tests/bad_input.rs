//! What is wrong is refused with its cause and the next command, and changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};

fn ground(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Image)?;
    host.ok("create web --image small loader=bios");
    host.ok("snapshot web@kept");
    Some(host)
}

#[test]
fn wrong_words_get_the_nearest_right_one() {
    let Some(host) = ground("bad::words") else { return };
    let before = host.tree();
    for (line, code, says) in [
        ("strat web", 2, "did you mean `start`?"),
        ("web strat", 2, "did you mean `start`?"),
        ("frobnicate", 2, "unknown command `frobnicate`"),
        ("snapshot rolback web@kept", 2, ""),
        ("snapshot revert web@kept", 2, ""),
        ("pool innit tank", 2, "did you mean `init`?"),
        ("start", 2, "is missing"),
        ("start web --fast", 2, "unexpected argument `--fast`"),
        ("set web rma=1G", 2, "did you mean `ram`?"),
        ("set web ram=8", 2, "did you mean 8G?"),
        ("set web cpu=lots", 2, "a whole number from 1 to 254"),
        ("set web loader=ufei", 2, "did you mean `uefi`?"),
        ("set web uuid=8a6e0804-2bd0-4672-b79d-d97027f9071a", 2, "kept by chyves"),
        ("set web cpu=3 cpu_sockets=2", 2, "cannot be"),
        ("set web", 2, "KEY=VALUE"),
        ("set all ram=8", 2, "less than 32M"),
        ("unset web nothing", 2, "no property"),
        ("get web rma", 2, "did you mean `ram`?"),
        ("get wbe ram", 3, "did you mean `web`?"),
        ("list -o nmae", 2, "no column"),
        ("list bogus", 3, "cannot be listed"),
        ("start wbe", 3, "did you mean `web`?"),
        ("start ewb,wbe", 3, "no guest is called `wbe`"),
        ("create two --image smal", 3, "did you mean `small`?"),
        ("create two --image small --size 1K", 2, "too small for a disk"),
        ("create two --size 8", 2, "did you mean 8G?"),
        ("create two --size 0", 2, "too small for a disk"),
        ("create two --size 100001", 2, "a multiple of 512 bytes"),
        ("create two --image small ram=1", 2, "less than 32M"),
        ("create web --image small", 4, "already"),
        ("create two --pool nope --image small", 3, "no pool"),
        ("create two --size 1.5X", 2, ""),
        ("image import ./nothing", 3, "no file"),
        ("image import ./small.img", 4, "already"),
        ("image delete smal --yes", 3, "did you mean `small`?"),
        ("image delete small --yes", 4, "in use"),
        ("pool init nope", 3, "no imported pool"),
        ("pool init POOL/a/b", 4, "already"),
        ("snapshot web@kept", 4, "already"),
        ("snapshot delete web@kep --yes", 3, "did you mean `kept`?"),
        ("snapshot rollback web@nope --yes", 3, "no snapshot"),
        ("clone web web", 4, "already"),
        ("clone web@nope two", 3, "no snapshot"),
        ("undelete nope", 3, "nothing called `nope`"),
        ("console nope", 3, "no guest"),
        ("console web", 4, ""),
        ("start web --host freebsd", 2, ""),
    ] {
        let answer = host.chyves(&line.replace("POOL", &host.pool)).ends(code);
        assert!(answer.err.contains(says), "chyves {line} does not say `{says}`:\n{}", answer.err);
        assert!(answer.out.is_empty(), "chyves {line} answers on standard output:\n{}", answer.out);
    }
    assert_eq!(host.tree(), before);
    host.nothing_is_left();
}

#[test]
fn hostile_names_are_refused_by_every_command() {
    let Some(host) = ground("bad::names") else { return };
    let before = host.tree();
    let long = "x".repeat(300);
    for name in ["../x", "web*", "a b", "a\nb", "\u{1b}[2J", "ä", "a/b", "web@", "@x", "", ".", "..", "-", "start", "defaults1/", &long] {
        for words in [
            &["create", name, "--image", "small"][..],
            &["start", name],
            &["stop", name],
            &["reset", name],
            &["delete", name, "--yes"],
            &["set", name, "cpu=1"],
            &["clone", "web", name],
            &["clone", name, "two"],
            &["snapshot", "create", name],
            &["snapshot", "delete", name, "--yes"],
            &["snapshot", "rollback", name, "--yes"],
            &["info", name],
            &["console", name],
            &["image", "import", "./small.img", "--name", name],
        ] {
            // An image may bear a command's word, since no command line begins with one.
            if words[0] == "image" && name == "start" {
                continue;
            }
            let answer = host.chyves_words(words);
            assert!(matches!(answer.code, 2 | 3), "{words:?} ends with {}:\n{}{}", answer.code, answer.out, answer.err);
            assert!(!answer.err.contains('\u{1b}'), "{words:?} lets an escape through");
        }
    }
    assert_eq!(host.tree(), before);
}

#[test]
fn errors_are_json_where_asked_for() {
    let Some(host) = ground("bad::json") else { return };
    let error = host.chyves("start nope --json").ends(3).json();
    assert_eq!((&error["error"]["code"], &error["error"]["class"]), (&"no-such-guest".into(), &"not-found".into()));
    assert_eq!(error["error"]["object"], "nope");
    assert!(error["error"]["hint"].is_array());
    assert_eq!(host.chyves("frobnicate --json").ends(2).json()["error"]["code"], "usage");
}

#[test]
fn a_full_pool_leaves_nothing_half_made() {
    let Some(host) = Host::sized("bad::full", With::Image, "100M") else { return };
    host.ok("create web --image small loader=bios");
    let big = host.work().join("big.img");
    host.sh("dd", &["if=/dev/urandom", &format!("of={}", big.display()), "bs=1M", "count=120"]);
    let before = host.tree();
    host.chyves("image import ./big.img").ends(1).says("No space left").says("free space");
    assert_eq!(host.tree(), before);
    // A quota at what is used: full, whatever else is on the pool.
    let root = format!("{}/chyves", host.pool);
    common::until("what the failed import took to be free", || {
        let used = host.zfs_get("used", &root);
        host.command("zfs").args(["set", &format!("quota={used}"), &root]).output().unwrap().status.success().then_some(())
    });
    let before = host.tree();
    for line in ["create two --size 1M", "image import ./big.img"] {
        let said = host.chyves(line).ends(1);
        assert!(["space", "quota"].iter().any(|w| said.err.contains(w)), "{said:?}");
        assert_eq!(host.tree(), before, "after `{line}`");
    }
    host.ok("list").says("web");
}

#[test]
fn of_several_new_guests_each_is_told() {
    let Some(host) = ground("bad::several") else { return };
    // A file stands where the second one's file system would be mounted.
    std::fs::write(host.open_path(host.mount_point().join("chyves/guests/two")), "in the way").unwrap();
    let said = host.chyves("create one,two,three --image small loader=bios").ends(6);
    let said = said.says("one: created as").says("three: created as").says("1 of 3 guests could not be created").says("two: ");
    assert!(!said.out.contains("two"), "{said:?}");
    assert_eq!(host.ok("list -H -o name").out, "one\nthree\nweb\n");
    let json = host.chyves("create five,two --image small loader=bios --json").ends(6).json();
    assert_eq!(json["error"]["code"], "partial");
    let results = &json["results"];
    assert_eq!((results[0]["object"].as_str(), results[1]["error"]["code"].as_str()), (Some("five"), Some("failed")));
    host.chyves("create two --image small loader=bios").ends(1);
}

#[test]
fn a_read_only_or_missing_pool_is_named() {
    let Some(host) = ground("bad::pool") else { return };
    let root = format!("{}/chyves", host.pool);
    host.sh("zfs", &["set", "readonly=on", &root]);
    let before = host.tree();
    host.chyves("set web notes=x").ends(1).says("read-only");
    host.chyves("create two --image small").ends(1);
    assert_eq!(host.tree(), before);
    host.sh("zfs", &["inherit", "readonly", &root]);
    common::until("the pool to be exported", || {
        host.command("zpool").args(["export", &host.pool]).output().unwrap().status.success().then_some(())
    });
    host.chyves("start web").ends(3).says("no pool is set up").says("zpool import");
    host.chyves("list").ends(3);
    host.sh("zpool", &["import", "-d", host.dir().to_str().unwrap(), &host.pool]);
    host.ok("list").says("web");
}

#[test]
fn what_others_wrote_by_hand_is_survived() {
    let Some(host) = ground("bad::stored") else { return };
    let web = host.dataset("web");
    host.sh("zfs", &["set", "chyves:notes=one\ttwo\nthree", &web]);
    assert_eq!(host.ok("get web notes --json").json()[0]["value"], "one\ttwo\nthree");
    host.ok("list -o name,notes").says("one\\ttwo\\nthree");
    host.sh("zfs", &["set", "chyves:ram=lots", &web]);
    host.chyves("start web").ends(2).says("the setting `ram` of `web` is wrong").says(&web);
    host.ok("list").says("web");
    host.ok("set web ram=64M");
    host.ok("start web --dry-run");
    // A value that pretends to be another guest's row fools nobody.
    host.ok("create other --image small loader=bios");
    let forged =
        format!("chyves:notes=x\n{}\ttype\t-\tfilesystem\n{}\tchyves:cpu\tlocal\t64", host.dataset("other"), host.dataset("other"));
    host.sh("zfs", &["set", &forged, &web]);
    let said = host.chyves("list");
    assert!(said.code == 1 && said.err.contains("cannot trust") || host.value("other", "cpu") == "1", "{said:?}");
    host.sh("zfs", &["inherit", "chyves:notes", &web]);
    host.sh("zfs", &["set", "chyves:layout=9", &format!("{}/chyves", host.pool)]);
    host.chyves("list").says("newer chyves");
}

#[test]
fn a_vanished_disk_and_a_missing_kvm_keep_a_guest_from_starting() {
    let Some(host) = ground("bad::start") else { return };
    let kept = host.in_folder("web", |folder| {
        let kept = std::fs::read(folder.join("disk0.raw")).unwrap();
        std::fs::remove_file(folder.join("disk0.raw")).unwrap();
        kept
    });
    host.chyves("start web").ends(4).says("disk 0 of `web` cannot be used").says("it is not there");
    host.nothing_is_left();
    host.in_folder("web", |folder| std::fs::write(folder.join("disk0.raw"), kept).unwrap());
    host.ok("set web loader=bhyveload");
    host.chyves("start web").ends(5).says("bhyveload");
    host.ok("set web loader=bios template=yes");
    host.chyves("start web").ends(4).says("template");
    host.ok("set web template=no");
    host.sh("zfs", &["set", "chyves:owner=8a6e0804-2bd0-4672-b79d-d97027f9071a", &host.dataset("web")]);
    host.chyves("start web").ends(4).says("foreign").says("chyves adopt web");
    host.ok("list").says("foreign");
    host.ok("adopt web");
    host.ok("start web --dry-run");
}

#[test]
fn a_value_that_looks_like_a_row_harms_its_own_guest_alone() {
    let Some(host) = Host::new("bad_input::forged", With::Image) else { return };
    for name in ["odd", "web", "zed"] {
        host.ok(&format!("create {name} --image small loader=bios cpu=2"));
    }
    let row = |guest: &str, rest: &str| format!("{}\t{rest}", host.dataset(guest));
    let forge = |lines: &[String]| host.sh("zfs", &["set", &format!("chyves:notes=x\n{}", lines.join("\n")), &host.dataset("odd")]);
    let forgeries = [
        vec![row("web", "chyves:cpu\tlocal\t64")],
        vec![row("zed", "type\t-\tfilesystem"), row("zed", "chyves:cpu\tlocal\t64")],
        vec![row("web", "type\t-\tfilesystem"), row("web", "chyves:uuid\tlocal\t00000000-0000-4000-8000-000000000001")],
        vec![row("odd", "chyves:uuid\tlocal\t00000000-0000-4000-8000-000000000001"), row("odd", "chyves:cpu\tlocal\t64")],
    ];
    for (index, lines) in forgeries.iter().enumerate() {
        forge(lines);
        for (guest, cpu) in [("web", "2"), ("zed", "2")] {
            assert_eq!(host.value(guest, "cpu"), cpu, "{index}");
            host.ok(&format!("set {guest} description=d{index}"));
            host.ok(&format!("snapshot {guest}@s{index}"));
        }
        let listed = host.ok("list -H -o name,cpu");
        assert!(listed.out.contains("web\t2\n") && listed.out.contains("zed\t2\n"), "{index}: {}", listed.out);
        let all = host.ok("get all all -H");
        // Where only its own rows are in doubt it is odd, and what to do is told; else its value is a text of several lines.
        let odd = host.chyves("info odd");
        if odd.code == 0 {
            assert_eq!(host.value("odd", "cpu"), "2", "{index}");
        } else {
            all.says("zfs inherit");
            odd.ends(4).says("cannot trust").says("zfs inherit");
        }
        host.sh("zfs", &["inherit", "chyves:notes", &host.dataset("odd")]);
        host.ok("set odd notes=good");
    }
}
