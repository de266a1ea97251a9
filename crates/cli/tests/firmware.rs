//! Firmware of one's own: imported, chosen, kept while somebody boots with it; and variables that become fresh again.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};
use std::path::Path;

/// Firmware as Debian packs it: code and variables apart, of two lengths, and whole.
const CODE: &str = "/usr/share/OVMF/OVMF_CODE.fd";
const VARS: &str = "/usr/share/OVMF/OVMF_VARS.fd";
const WHOLE: &str = "/usr/share/ovmf/OVMF.fd";
const LONG_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

fn host(test: &str, with: With) -> Option<Host> {
    if let Some(missing) = [CODE, VARS, WHOLE, LONG_VARS].into_iter().find(|file| !Path::new(file).exists()) {
        Host::lacks(test, &format!("there is no {missing} (scripts/setup installs ovmf)"));
        return None;
    }
    Host::new(test, with)
}

/// The firmware's variables of a stopped guest.
fn variables(host: &Host, guest: &str) -> Vec<u8> {
    host.in_folder(guest, |folder| std::fs::read(folder.join("uefi-vars.fd")).unwrap())
}

fn runs_by(host: &Host, guest: &str) -> String {
    let (machine, _) = host.pids(guest);
    let line = std::fs::read(host.open_path(format!("/proc/{machine}/cmdline"))).unwrap();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

#[test]
fn linux_boots_by_firmware_that_was_one_file() {
    let Some(host) = host("firmware::whole", With::Files) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img --name linux");
    host.ok(&format!("firmware import {WHOLE} --name ovmf")).says("firmware of 1.88M with 128K of variables");
    // Packed firmware is firmware too, and one that is not what it must be leaves nothing.
    host.sh("sh", &["-c", &format!("gzip -c {WHOLE} > whole.fd.gz")]);
    host.ok("firmware import ./whole.fd.gz --name packed").says("with 128K of variables");
    host.chyves(&format!("firmware import ./whole.fd.gz --name other --hash sha256:{}", "0".repeat(64))).ends(1).says("does not match");
    host.chyves("firmware info other").ends(3);
    host.ok("firmware verify ovmf packed");
    host.ok("create web01 --image linux --ram 256M cpu=1 firmware=ovmf");
    host.ok("start web01");
    assert!(runs_by(&host, "web01").contains("/images/ovmf/image.fd"), "{}", runs_by(&host, "web01"));
    let mut console = host.console("web01");
    console.sees("login:");
    console.leaves();
    host.ok("stop web01");
    assert_eq!(host.zfs_get("mounted", &format!("{}/chyves/images/ovmf", host.pool)), "no");
    let template = std::fs::read(VARS).unwrap();
    let after = variables(&host, "web01");
    assert!(after.len() == template.len() && after != template, "what the firmware remembers is the guest's own");
    host.nothing_is_left();
}

#[test]
fn code_alone_takes_a_template_of_its_own_or_keeps_no_variables() {
    let Some(host) = host("firmware::code", With::Tiny) else { return };
    host.ok(&format!("firmware import {CODE} --vars {VARS} --name both")).says("with 128K of variables");
    host.ok(&format!("firmware import {CODE} --name code")).is_silent_of("variables");
    for (line, why) in [
        (format!("firmware import {VARS} --name x"), "holds the variables of firmware and no code"),
        (format!("firmware import {CODE} --vars {CODE} --name x"), "is not a template of variables"),
        (format!("firmware import {WHOLE} --vars {LONG_VARS} --name x"), "the firmware takes 131072"),
        ("image import ./tiny.img --vars ./tiny.img --name x".to_owned(), "which has no variables"),
        (format!("firmware import {CODE} --name auto"), "an image cannot be called `auto`"),
    ] {
        host.chyves(&line).ends(2).says(why);
    }
    host.ok("create a,b --image tiny --ram 64M");
    host.ok("set a firmware=both");
    host.ok("set b fw=code");
    host.ok("start a,b");
    // The packages' own code is longer, so their template is not for this one.
    assert!(runs_by(&host, "a").contains("uefi-vars.fd") && !runs_by(&host, "b").contains("uefi-vars.fd"));
    host.ok("firmware info both").says("running").says("boots").says("variables");
    host.ok("stop a,b --now");
    assert!(host.files("a").contains_key("uefi-vars.fd") && !host.files("b").contains_key("uefi-vars.fd"));
    host.chyves("firmware reset b").ends(4).says("keeps no variables").says("--vars");
    host.nothing_is_left();
}

#[test]
fn firmware_in_use_is_not_deleted_and_its_name_follows() {
    let Some(host) = host("firmware::used", With::Tiny) else { return };
    host.ok(&format!("firmware import {WHOLE} --name ovmf"));
    host.chyves("create x --size 8M firmware=ovnf").ends(3).says("no firmware image is called `ovnf`").says("`ovmf`");
    host.chyves("set defaults firmware=tiny").ends(2).says("holds no firmware").says("it is a disk");
    host.ok("create web01,other --image tiny --ram 64M");
    host.ok("set web01 firmware=ovmf");
    host.chyves("firmware delete ovmf --yes").ends(4).says("so boot web01").says("firmware=auto");
    host.ok("start web01");
    for line in ["firmware rename ovmf edk", "firmware delete ovmf --yes"] {
        host.chyves(line)
            .ends(4)
            .says("the firmware `ovmf` is in use")
            .says("guests that run with it: web01")
            .says("`chyves stop web01` first");
    }
    host.ok("stop web01 --now");
    host.ok("set defaults firmware=ovmf");
    host.ok("firmware rename ovmf edk");
    assert_eq!((host.value("web01", "firmware"), host.value("other", "firmware")), ("edk".into(), "edk".into()));
    host.in_folder("web01", |folder| {
        assert!(std::fs::read_to_string(folder.join("config.toml")).unwrap().contains("\"edk\""), "the copy follows");
    });
    host.ok("set web01 firmware=auto");
    host.chyves("firmware delete edk --yes").ends(4).says("so boot other, all guests below");
    host.ok("delete other");
    host.chyves("firmware delete edk --yes").ends(4).says("all guests below");
    host.ok("unset defaults firmware");
    host.ok("set web01 firmware=edk");
    // A clone boots with the same one, a guest of another name too.
    host.ok("clone web01 web02");
    host.ok("rename web02 web03");
    host.ok("start web03");
    assert!(runs_by(&host, "web03").contains("/images/edk/image.fd"));
    host.ok("stop web03 --now");
    host.ok("delete web03 --now --yes");
    // One that came from elsewhere may name what is not here.
    host.sh("zfs", &["set", "chyves:uefi_firmware=gone", &host.dataset("web01")]);
    host.chyves("start web01").ends(3).says("no firmware image is called `gone`").says("chyves set web01 firmware=auto");
    host.ok("firmware delete edk --yes");
    host.nothing_is_left();
}

#[test]
fn variables_become_fresh_and_the_former_ones_are_kept() {
    let Some(host) = host("firmware::reset", With::Tiny) else { return };
    host.ok("create web01,web02,bios --image tiny --ram 64M");
    host.ok("set bios loader=bios");
    host.ok("start web01");
    host.chyves("firmware reset web01").ends(4).says("cannot reset the firmware of `web01` while it is running").says("chyves stop web01");
    host.ok("stop web01 --now");
    let fresh = std::fs::read(LONG_VARS).unwrap();
    let mut changed = variables(&host, "web01");
    changed[1000] ^= 0xff;
    host.in_folder("web01", |folder| std::fs::write(folder.join("uefi-vars.fd"), &changed).unwrap());
    host.ok("web01 firmware reset -n").says("zfs mount").says("uefi-vars.fd");
    assert!(variables(&host, "web01") == changed, "that was no more than a look");
    let answer = host.ok("firmware reset web01,web02 --json").json();
    assert_eq!((answer[0]["object"].as_str(), answer[1]["kept"].as_str()), (Some("web01"), None));
    let kept = answer[0]["kept"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(variables(&host, "web01") == fresh);
    assert!(host.in_folder("web01", |folder| std::fs::read(folder.join(&kept)).unwrap()) == changed);
    assert!(variables(&host, "web02") == fresh, "one that never ran has them from now on");
    host.ok("firmware reset web01");
    host.chyves("firmware reset bios").ends(2).says("boots without UEFI firmware").says("loader is bios");
    host.chyves("firmware reset nobody").ends(3).says("no guest is called `nobody`");
    // Variables of another length are another firmware's: the guest says so before it starts, and a reset is the cure.
    host.ok(&format!("firmware import {WHOLE} --name ovmf"));
    host.ok("set web01 firmware=ovmf");
    host.chyves("start web01").ends(4).says("are those of another firmware").says("chyves firmware reset web01");
    host.ok("firmware web01 reset").says("its UEFI variables are fresh; the former ones are ");
    host.ok("start web01");
    host.ok("stop web01 --now");
    assert_eq!(variables(&host, "web01").len(), 131_072);
    host.nothing_is_left();
}

#[test]
fn firmware_that_is_chosen_while_a_guest_runs_is_felt_at_its_reboot() {
    let Some(host) = host("firmware::reboot", With::Tiny) else { return };
    host.ok(&format!("firmware import {WHOLE} --name ovmf"));
    host.ok("create web01 --image tiny --ram 64M loader=bios");
    host.ok("start web01");
    let mut console = host.console("web01");
    console.sees("tiny: ready 1");
    // From its next reboot on it boots with firmware, whose image is mounted for it then.
    host.ok("set web01 loader=uefi firmware=ovmf").says("takes effect at its next start or reboot");
    console.types("r");
    until("the new machine", || host.processes().iter().find(|p| p.line.contains("/images/ovmf/image.fd")).map(drop));
    assert_eq!(host.zfs_get("mounted", &format!("{}/chyves/images/ovmf", host.pool)), "yes");
    host.ok("stop web01 --now");
    assert_eq!(host.zfs_get("mounted", &format!("{}/chyves/images/ovmf", host.pool)), "no");
    host.nothing_is_left();
}

#[test]
fn an_image_that_is_gone_is_shown_as_such_by_what_reads_and_refused_by_what_needs_it() {
    let Some(host) = Host::new("firmware::gone", With::Tiny) else { return };
    host.make_iso();
    host.ok("image import ./tiny.iso --name disc");
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg iso_eject_after_reboots=0");
    host.ok("start web --iso disc");
    assert_eq!(host.ok("info web --json").json()[0]["drives"][0]["missing"], false);
    // It is an image no more; the hypervisor has its file open.
    host.sh("zfs", &["inherit", "chyves:image.kind", &format!("{}/chyves/images/disc", host.pool)]);
    host.ok("info web").says("image disc  no image is called `disc` any more");
    host.ok("list").says("running");
    host.chyves("insert web disc").ends(4).says("marked as an image and cannot be used").says("its chyves:image.kind is not set");
    host.ok("eject web cd0");
    host.ok("info web").is_silent_of("missing");
    host.ok("stop web --now");
    // Firmware.
    host.ok("create web2 --size 1M loader=uefi");
    host.sh("zfs", &["set", "chyves:uefi_firmware=gone", &host.dataset("web2")]);
    let all = host.ok("info web2").shows("firmware", "gone").says("missing:").says("no firmware image is called `gone`");
    assert_eq!(all.out.matches("missing:").count(), 1);
    let info = host.ok("info web2 --json").json();
    assert!(info[0]["missing_firmware"].to_string().contains("`gone`"), "{info}");
    for line in ["list", "get web2 all", "disk list web2", "snapshot web2@a", "image list"] {
        host.ok(line);
    }
    host.chyves("doctor").says("`web2` boots with the firmware `gone`, which is not available").says("chyves set web2 firmware=auto");
    host.chyves("start web2").ends(3).says("no firmware image is called `gone`").says("firmware=auto");
    host.ok("unset web2 firmware");
    host.chyves("doctor").is_silent_of("`gone`");
    host.ok("info web2").is_silent_of("missing:");
    host.nothing_is_left();
}
