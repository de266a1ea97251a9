//! Seeds as the programs in guests read them: the disc that a start writes, read by cloud-init's own classes; FreeBSD's
//! nuageinit and Windows' cloudbase-init by what they are known to take; and what is refused before anything is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a panic is the failure report

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Host, With};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFuhB9oOXbFg6UftLCS7a3FjWd/F+p2iUEAMLuzJQC2O ann@desk";
/// The system's Python, whose modules are those of the distribution's packages.
const PYTHON: &str = "/usr/bin/python3";

/// The files of a disc, by their Joliet names.
fn files(disc: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let sector = |n: usize| &disc[n * 2048..];
    let word = |bytes: &[u8], at: usize| usize::try_from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
    let descriptor = sector(17);
    assert_eq!(&descriptor[..6], b"\x02CD001");
    let (root, length) = (word(descriptor, 156 + 2), word(descriptor, 156 + 10));
    let mut records = &sector(root)[..length];
    let mut all = BTreeMap::new();
    while let Some(&size) = records.first().filter(|size| **size > 0) {
        let (record, rest) = records.split_at(usize::from(size));
        let name = &record[33..33 + usize::from(record[32])];
        let units: Vec<u16> = name.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
        if record[25] & 2 == 0 {
            let name = String::from_utf16(&units).unwrap().trim_end_matches(";1").to_owned();
            all.insert(name, sector(word(record, 2))[..word(record, 10)].to_vec());
        }
        records = rest;
    }
    all
}

/// What cloud-init's classes make of a seed; none, with a report, if cloud-init is not installed.
fn read_by_cloud_init(test: &str, host: &Host, files: &BTreeMap<String, Vec<u8>>) -> Option<Value> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/cloud-init");
    let python = || {
        let mut python = Command::new(PYTHON);
        python.env("PYTHONPATH", &modules).env("PYTHONDONTWRITEBYTECODE", "1");
        python
    };
    let has = python().args(["-c", "import cloudinit"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !has {
        Host::lacks(test, "the package cloud-init is missing (scripts/setup installs it)");
        return None;
    }
    let folder = host.work().join("read");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("nocloud")).unwrap();
    for (name, content) in files {
        std::fs::write(folder.join("nocloud").join(name), content).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/cloud_init.py");
    let output = python().arg(script).arg(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn disc(host: &Host, guest: &str) -> BTreeMap<String, Vec<u8>> {
    files(&std::fs::read(host.run_dir().join(host.value(guest, "uuid")).join("cidata.iso")).unwrap())
}

#[test]
fn cloud_init_itself_reads_the_disc_that_a_start_writes() {
    const TEST: &str = "cloud_init_readers::cloud_init";
    let Some(host) = Host::new(TEST, With::Tiny) else { return };
    let work = host.work();
    std::fs::write(work.join("hash"), "$6$salt$hash\n").unwrap();
    host.sh("chmod", &["600", "hash"]);
    // One letter outside of ASCII, and an end without a line break.
    let script = "#!/bin/sh\necho grün";
    std::fs::write(work.join("own.sh"), script).unwrap();
    std::fs::write(work.join("id.pub"), format!("\u{feff}restrict,command=\"echo \\\"hi there\\\"\" {KEY}\r\n")).unwrap();
    host.ok("create web01 --image tiny --loader bios --ram 64M --ssh-key id.pub --user ann --password-file hash --user-data own.sh");
    host.ok("set web01 ci.net0.address=192.0.2.10/24 ci.net0.gateway=192.0.2.1 ci.net0.address6=2001:db8::10/64 ci.net0.gateway6=fe80::1");
    host.ok("set web01 ci.dns0=192.0.2.53 ci.search0=example.org");
    host.ok("start web01");
    let seed = disc(&host, "web01");
    host.ok("stop web01 --force --timeout 1");
    let uuid = host.value("web01", "uuid");
    let Some(read) = read_by_cloud_init(TEST, &host, &seed) else { return };
    assert_eq!(read["metadata"]["instance-id"], format!("{uuid}-1"));
    assert_eq!(read["metadata"]["local-hostname"], "web01");
    let own = read["parts"].as_array().unwrap().iter().find(|part| part["name"] == "own").unwrap();
    assert_eq!(own["type"], "text/x-shellscript");
    assert_eq!(STANDARD.decode(own["bytes"].as_str().unwrap()).unwrap(), script.as_bytes(), "exactly its bytes");
    let merged = &read["merged"];
    assert_eq!(merged["user"]["name"], "ann");
    assert_eq!(merged["user"]["passwd"], "$6$salt$hash");
    assert_eq!(merged["ssh_authorized_keys"][0], format!("restrict,command=\"echo \\\"hi there\\\"\" {KEY}"));
    assert_eq!(read["schema"], serde_json::json!([]), "{read}");
    let subnets = read["interfaces"]["net0"]["subnets"].as_array().unwrap();
    let text = serde_json::to_string(subnets).unwrap();
    for word in ["\"192.0.2.10\"", "\"prefix\":24", "\"192.0.2.1\"", "\"2001:db8::10\"", "\"fe80::1\"", "\"192.0.2.53\""] {
        assert!(text.contains(word), "{word} in {text}");
    }

    // Every other format that cloud-init knows arrives as what it is, whatever stands before its first line.
    let cases = [
        ("\n\n#cloud-config  \npackages: [nginx]\ntimezone: Zürich\n", "text/cloud-config"),
        ("## template: jinja\n#cloud-config\nfqdn: {{ ds.meta_data.x }}\n", "text/jinja2"),
        ("#cloud-boothook\necho 1\n", "text/cloud-boothook"),
        ("#part-handler\ndef list_types(): return []\n", "text/part-handler"),
        ("MIME-Version: 1.0\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n", "text/x-shellscript"),
    ];
    for (text, kind) in cases {
        std::fs::write(work.join("own"), text).unwrap();
        host.ok("cloud-init set web01 --user-data own");
        host.ok("start web01");
        let seed = disc(&host, "web01");
        host.ok("stop web01 --force --timeout 1");
        let read = read_by_cloud_init(TEST, &host, &seed).unwrap();
        let kinds: Vec<&str> = read["parts"].as_array().unwrap().iter().map(|part| part["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["text/cloud-config", kind], "{text}");
        assert_eq!(read["merged"]["user"]["name"], "ann");
        if kind == "text/cloud-config" {
            assert_eq!(read["merged"]["timezone"], "Zürich");
        }
    }
}

#[test]
fn a_freebsd_guest_gets_one_cloud_config_that_nuageinit_takes() {
    let Some(host) = Host::new("cloud_init_readers::nuageinit", With::Image) else { return };
    let work = host.work();
    std::fs::write(work.join("hash"), "$6$salt$hash\n").unwrap();
    host.sh("chmod", &["600", "hash"]);
    std::fs::write(work.join("user.yaml"), "\n#cloud-config \npackages: [nginx]\nusers:\n- default\n- name: bob\n").unwrap();
    std::fs::write(work.join("id.pub"), format!("{KEY}\n")).unwrap();
    host.ok("create bsd --image small --os freebsd --ssh-key id.pub --user ann --password-file hash --user-data user.yaml");
    host.ok("set bsd ci.net0.address=192.0.2.10/24 ci.net0.gateway=192.0.2.1 ci.dns0=192.0.2.53");
    let shown = host.ok("cloud-init show bsd user-data");
    assert!(shown.out.starts_with("#cloud-config\n"), "{}", shown.out);
    shown
        .says("gateway4: \"192.0.2.1\"")
        .says("- nginx")
        .says("name: \"ann\"")
        .says("name: bob")
        .says("chpasswd:")
        .says("(from the password file)")
        .is_silent_of("default")
        .is_silent_of("$6$")
        .is_silent_of("Content-Type");
    host.chyves("cloud-init show bsd network-config").ends(3).says("meta-data, user-data");
    // Another reader, another seed.
    host.ok("set bsd ci.reader=cloud-init");
    host.ok("cloud-init show bsd network-config").says("routes:").is_silent_of("gateway4");
    host.ok("unset bsd ci.reader");

    // What it can't be told is refused, with what can be set, at the first command that would use it.
    host.ok("set bsd ci.reader=cloud-init");
    host.ok("set bsd ci.net0.gateway=198.51.100.1");
    let refused = host.chyves("set bsd ci.reader=nuageinit");
    let shown = if refused.code == 0 { host.chyves("cloud-init show bsd").ends(2) } else { refused };
    shown.says("outside of the interface's network").says("ci.net0.gateway");
    host.ok("set bsd ci.reader=cloud-init ci.net0.gateway=192.0.2.1");
    host.ok("set bsd ci.reader=nuageinit");
    for text in ["#include\nhttps://a.example/\n", "## template: jinja\n#cloud-config\n", "MIME-Version: 1.0\n\n"] {
        std::fs::write(work.join("odd"), text).unwrap();
        host.chyves("cloud-init set bsd --user-data odd").ends(2).says("nuageinit does not read");
        host.chyves("create bsd2 --image small --os freebsd --user-data odd").ends(2).says("nuageinit does not read");
    }
    host.ok("cloud-init show bsd user-data").says("- nginx");

    // Windows: a script under its own name, beside the user.
    std::fs::write(work.join("win.ps1"), "#ps1_sysnative\nWrite-Host ü\n").unwrap();
    host.ok("create win --image small --os windows --user ann --ssh-key id.pub --user-data win.ps1");
    host.ok("cloud-init show win user-data --decoded").says("own.ps1").says("Administrators").says("Write-Host ü");
    host.chyves("cloud-init set bsd --user-data win.ps1").ends(2).says("nuageinit does not read");
}

#[test]
fn texts_and_keys_are_taken_as_people_have_them_and_broken_ones_are_refused() {
    let Some(host) = Host::new("cloud_init_readers::texts", With::Image) else { return };
    let work = host.work();
    std::fs::write(work.join("good.yaml"), "#cloud-config\npackages: [nginx]\n").unwrap();
    host.ok("create web01 --image small --user-data good.yaml");
    for (text, why) in [
        ("#cloud-config\npackages: [nginx\nruncmd: [date]\n", "line "),
        ("#cloud-config\na: 1\n b: 2\n", "line "),
        ("#cloud-config\n- a\n", "mapping"),
        ("#cloud-config\na: &a [*a]\n", "line 2"),
        ("packages: [nginx]\n", "first line"),
    ] {
        std::fs::write(work.join("bad.yaml"), text).unwrap();
        host.chyves("cloud-init set web01 --user-data bad.yaml").ends(2).says(why).says("bad.yaml");
        host.chyves("create web02 --image small --user-data bad.yaml").ends(2).says(why);
    }
    std::fs::write(work.join("bad.yaml"), "version: 2\nethernets: {\n").unwrap();
    host.chyves("cloud-init set web01 --network-config bad.yaml").ends(2).says("not YAML");
    host.chyves("info web02").ends(3);
    host.ok("cloud-init show web01 user-data --decoded").says("packages: [nginx]");
    // Compressed texts are unpacked and can be read.
    host.sh("gzip", &["-k", "good.yaml"]);
    host.ok("cloud-init set web01 --user-data good.yaml.gz");
    host.ok("cloud-init show web01 user-data --decoded").says("packages: [nginx]");

    // A key from standard input, from a pipe and from the command line, with options and with a byte order mark.
    let typed = |command: &str| {
        let line = command.replace("chyves ", &format!("{} ", env!("CARGO_BIN_EXE_chyves")));
        let output = host.command("bash").args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    typed(&format!("echo '{KEY}' | chyves create a01 --image small --ssh-key -"));
    typed(&format!("chyves create a02 --image small --ssh-key <(echo 'from=\"10.0.0.0/8\" {KEY}')"));
    typed(&format!("chyves create a03 --image small --ssh-key 'no-pty,command=\"a b\" {KEY}'"));
    typed("cat good.yaml | chyves cloud-init set a01 --user-data -");
    assert_eq!(host.value("a01", "ci.key0"), KEY);
    assert_eq!(host.value("a02", "ci.key0"), format!("from=\"10.0.0.0/8\" {KEY}"));
    assert_eq!(host.value("a03", "ci.key0"), format!("no-pty,command=\"a b\" {KEY}"));
    host.ok("cloud-init show a01 user-data --decoded").says("packages: [nginx]");
}
