//! Signatures: of catalogues, of images, and of vendors' lists whose keys the catalogue has.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;
mod loopback;

use common::images::{direct, disk, listed};
use common::signer::Signer;
use common::{Host, With};
use loopback::{Reply, Server};

/// A catalogue newer than any that comes with the program.
fn catalogue(serial: u64, more: &str) -> String {
    format!(r#"{{"format": 1, "serial": 99991200{serial:02}, "issued": "2026-01-{serial:02}"{more}}}"#)
}

#[test]
fn a_catalogue_is_installed_where_the_pinned_key_signed_it_and_it_is_newer() {
    let Some(host) = Host::new("images::catalogues", With::Pool) else { return };
    let (mine, other) = (Signer::new(&host, "mine", 1), Signer::new(&host, "other", 2));
    let system = r#", "systems": [{"name": "theirs", "title": "T", "kind": "disk", "note": "ask them"}],
        "advisories": [{"name": "SA-1", "os": "freebsd", "about": "x", "fixed": ["99.0-p1"]}]"#;
    let make = |name: &str, text: &str, signer: &Signer<'_>| {
        std::fs::write(host.work().join(name), text).unwrap();
        signer.minisign(name);
    };
    make("one", &catalogue(1, ""), &mine);
    make("two", &catalogue(2, system), &mine);
    make("forged", &catalogue(3, system), &other);
    make("broken", "{}", &mine);
    make("changed", &catalogue(4, ""), &mine);
    std::fs::write(host.work().join("changed"), catalogue(5, "")).unwrap();
    std::fs::write(host.work().join("unsigned"), catalogue(6, "")).unwrap();
    let serial = || host.ok("image catalogue status --json").json()["serial"].to_string();
    let built_in = serial();
    let file = || std::fs::read(host.state_dir().join("catalogue.json")).ok();
    host.chyves("image catalogue update one").ends(2).says("no key for catalogues").says("--key FILE");
    host.chyves("image catalogue undo").ends(4).says("comes with chyves");
    host.ok("-n image catalogue update one --key mine.pub").says("catalogue.json");
    assert_eq!((serial(), file()), (built_in.clone(), None), "a dry run installed it");
    host.ok("image catalogue update one --key mine.pub").says("signed by the minisign key 0101010101010101").says("pinned");
    assert_eq!(serial(), "9999120001");
    host.ok("image catalogue update two");
    assert_eq!(serial(), "9999120002");
    host.ok("image catalogue").says("theirs").says("catalogue 9999120002 of 2026-01-02");
    // Its advisories are what the doctor knows.
    let mut facts = host.ok("dev facts --host freebsd").json();
    facts["state"]["system"] = "15.1-RELEASE-p1".into();
    std::fs::write(host.work().join("facts.json"), facts.to_string()).unwrap();
    host.chyves("doctor -n --host freebsd --facts facts.json").says("SA-1").is_silent_of("SA-26:72");
    let before = file();
    for (line, code, says) in [
        ("two", 0, "in force already"),
        ("one", 4, "is older than the one in force"),
        ("forged", 1, "signed by key 0202020202020202"),
        ("forged --key other.pub", 4, "another key than the one that is pinned"),
        ("broken", 2, "not a catalogue of images"),
        ("changed", 1, "does not match"),
        ("unsigned", 3, "unsigned.minisig"),
        ("unsigned --signature one.minisig", 1, "does not match"),
        ("missing", 3, "missing"),
    ] {
        let answer = host.chyves(&format!("image catalogue update {line}")).ends(code).says(says);
        assert!(code == 0 || answer.err.contains("hint:"), "{line} does not say what to do:\n{}", answer.err);
        assert_eq!(file(), before, "{line}");
    }
    host.ok("image catalogue undo").says("9999120001");
    host.ok("image catalogue undo").says("9999120002");
    assert_eq!(serial(), "9999120002");
    // From a server, by another key, which somebody says is the right one now.
    let server = Server::new();
    for name in ["forged", "forged.minisig"] {
        server.gives(&format!("/{name}"), Reply::Plain(std::fs::read(host.work().join(name)).unwrap()));
    }
    direct(&host, &format!("image catalogue update {} --key other.pub --replace-key", server.address("/forged"))).ends(0);
    assert_eq!(serial(), "9999120003");
    // A state that is damaged is reported, by the doctor too, and nothing else stands still.
    std::fs::write(host.state_dir().join("catalogue.json"), "{").unwrap();
    host.chyves("image catalogue").ends(1).says("damaged").says("rm ");
    host.chyves("doctor").says("is damaged");
    std::fs::remove_file(host.state_dir().join("catalogue.json")).unwrap();
    assert_eq!(serial(), built_in);
    host.nothing_is_left();
}

#[test]
fn an_image_may_bear_a_signature_of_its_own() {
    let Some(host) = Host::new("images::signed", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let (mine, other) = (Signer::new(&host, "mine", 1), Signer::new(&host, "other", 2));
    let disk = disk();
    std::fs::write(host.work().join("disk.img"), &disk).unwrap();
    std::fs::write(host.work().join("keys"), [other.public.as_str(), &mine.public].concat()).unwrap();
    mine.minisign("disk.img");
    host.ok("image import disk.img --name mini --key mine.pub").says("the image is signed by the minisign key 0101010101010101");
    host.ok("image import disk.img --name several --key keys").says("signed by");
    assert_eq!(listed(&host, "mini")["checked"], "the image is signed by the minisign key 0101010101010101");
    std::fs::rename(host.work().join("disk.img.minisig"), host.work().join("elsewhere")).unwrap();
    host.ok("image import disk.img --name named --key mine.pub --signature elsewhere");
    mine.signify("disk.img");
    host.ok("image import disk.img --name signified --key mine.pub").says("the signify key 0101010101010101");
    let server = Server::new();
    for name in ["disk.img", "disk.img.sig"] {
        server.gives(&format!("/{name}"), Reply::Cuts(std::fs::read(host.work().join(name)).unwrap(), 1_500_000.min(disk.len())));
    }
    server.gives("/disk.img.sig", Reply::Plain(std::fs::read(host.work().join("disk.img.sig")).unwrap()));
    direct(&host, &format!("image fetch {} --name fetched --key mine.pub", server.address("/disk.img"))).ends(0).says("signify key");
    // OpenPGP: two signers, of whom one is known.
    let home = host.work().join("gnupg");
    std::fs::create_dir(&home).unwrap();
    host.sh("chmod", &["700", "gnupg"]);
    let home = home.to_str().unwrap();
    let gpg = |args: &[&str]| {
        host.sh("gpg", &[&["--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""], args].concat())
    };
    for name in ["ann", "bob", "eve"] {
        gpg(&["--quick-gen-key", &format!("{name}@example.org"), "ed25519", "sign", "never"]);
        gpg(&["--armor", "--output", &format!("{name}.asc"), "--export", &format!("{name}@example.org")]);
    }
    gpg(&["--armor", "--detach-sign", "-u", "ann@example.org", "-u", "bob@example.org", "disk.img"]);
    host.command("gpgconf").args(["--homedir", home, "--kill", "all"]).output().unwrap();
    for (name, key) in [("ann", "ann.asc"), ("bob", "bob.asc")] {
        host.ok(&format!("image import disk.img --name by-{name} --key {key}")).says("the image is signed by the OpenPGP key");
    }
    host.sh("sh", &["-c", "cat eve.asc ann.asc > ring.asc"]);
    host.ok("image import disk.img --name ring --key ring.asc");
    let before = host.tree();
    let mut bad = disk;
    bad[1 << 20] ^= 1;
    std::fs::write(host.work().join("bad.img"), bad).unwrap();
    other.minisign("bad.img");
    for (line, code, says) in [
        ("disk.img --key eve.asc", 1, "which is not trusted"),
        ("disk.img --key other.pub", 1, "signed by key"),
        ("bad.img --key ann.asc --signature disk.img.asc", 1, "does not match"),
        ("bad.img --key mine.pub --signature elsewhere", 1, "does not match"),
        ("bad.img --key mine.pub", 1, "signed by key 0202020202020202"),
        ("bad.img --key ann.asc", 3, "bad.img.asc"),
        ("bad.img --key mine.pub --signature disk.img.asc", 1, "no signature of signify or minisign"),
        ("bad.img --key bad.img", 2, "holds no public key"),
        ("- --name x --key mine.pub", 2, "--signature"),
        ("disk.img --signature elsewhere", 2, "--key"),
    ] {
        let answer = host.chyves(&format!("image import {line}")).ends(code).says(says);
        assert!(answer.err.contains("hint:"), "{line} does not say what to do:\n{}", answer.err);
        assert_eq!(host.tree(), before, "{line}");
    }
    // A hash and a signature are two questions.
    let zeros = "0".repeat(64);
    host.chyves(&format!("image import disk.img --name x --key mine.pub --hash {zeros}")).ends(1).says("does not match");
    host.nothing_is_left();
}

#[test]
fn the_catalogue_s_keys_check_what_vendors_sign() {
    let Some(host) = Host::new("images::vendors", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let (mine, vendor) = (Signer::new(&host, "mine", 1), Signer::new(&host, "vendor", 7));
    let server = Server::new();
    let write = |name: &str, bytes: &[u8]| std::fs::write(host.work().join(name), bytes).unwrap();
    let give = |name: &str| server.gives(&format!("/{name}"), Reply::Plain(std::fs::read(host.work().join(name)).unwrap()));
    write("disk.img", &disk());
    write("SUMS", host.sh("sha256sum", &["disk.img"]).as_bytes());
    vendor.minisign("SUMS");
    vendor.minisign("disk.img");
    for name in ["disk.img", "SUMS", "SUMS.minisig", "disk.img.minisig"] {
        give(name);
    }
    let at = |name: &str| server.address(&format!("/{name}"));
    let entry = |name: &str, more: &str| {
        format!(
            r#"{{"name": "{name}", "title": "T", "kind": "disk", "address": "{}", "checksums": "{}"{more}}}"#,
            at("disk.img"),
            at("SUMS")
        )
    };
    let systems = [
        entry("listed", &format!(r#", "signature": "{}", "signed_by": ["vendor"]"#, at("SUMS.minisig"))),
        entry("itself", &format!(r#", "image_signature": "{}", "signed_by": ["vendor"]"#, at("disk.img.minisig"))),
        entry("afar", &format!(r#", "signature": "{}", "signed_by": ["afar"]"#, at("NONE"))),
    ];
    let key = vendor.public.replace('\n', "\\n");
    let fingerprint = "A".repeat(40);
    write(
        "c.json",
        catalogue(
            1,
            &format!(
                r#", "keys": {{"vendor": {{"from": "their page", "block": "{key}"}}, "afar": {{"from": "their page", "fingerprint": "{fingerprint}"}}}},
                "systems": [{}]"#,
                systems.join(",")
            ),
        )
        .as_bytes(),
    );
    mine.minisign("c.json");
    host.ok("image catalogue update c.json --key mine.pub");
    direct(&host, "image fetch listed").ends(0).says("signed by the minisign key 0707070707070707 (the catalogue)");
    direct(&host, "image fetch itself").ends(0).says("the image is signed by the minisign key 0707070707070707").says("checked: sha256:");
    // What nobody here can check is said, and where the key is.
    direct(&host, "image fetch afar").ends(0).says("was not checked").says(&fingerprint).says("their page").says("--key FILE");
    let before = host.tree();
    // Whoever changed both the image and its list does not have the key; a signature that is gone is no way around it.
    let mut bad = disk();
    bad[9] ^= 1;
    write("disk.img", &bad);
    write("SUMS", host.sh("sha256sum", &["disk.img"]).as_bytes());
    give("disk.img");
    give("SUMS");
    direct(&host, "image fetch listed --name x").ends(1).says("is not valid");
    direct(&host, "image fetch itself --name x").ends(1).says("is not valid");
    server.gives("/SUMS.minisig", Reply::Status(404));
    direct(&host, "image fetch listed --name x").ends(3).says("404");
    assert_eq!(host.tree(), before);
    host.nothing_is_left();
}
