//! Starts and reboots as scripts.

use super::*;
use crate::confinement::Possible;
use crate::guest::RunState;
use crate::os::Os;
use crate::os::freebsd::recorded;
use crate::plan::machine::tap_name;
use crate::plan::testing;

fn request() -> Request {
    Request { fresh: Fresh { vnc_port: 5901, secret: "abcd1234".into(), ruleset: None }, ..Request::default() }
}

const USUAL: &[(&str, &str)] = &[("disk0.kind", "raw"), ("disk0.size", "64M"), ("net0.backend", "auto"), ("cpu", "2"), ("ram", "256M")];

#[test]
fn a_start_on_linux() {
    let g = testing::guest("web01", USUAL);
    let world = testing::world(vec![g.clone()]);
    insta::assert_snapshot!(start(&world, &g, &request()).unwrap().script(Os::Linux));
}

#[test]
fn the_same_guest_on_freebsd() {
    let g = testing::guest("web01", USUAL);
    let mut world = testing::world(vec![g.clone()]);
    world.host = testing::freebsd();
    insta::assert_snapshot!(start(&world, &g, &request()).unwrap().script(Os::FreeBsd));
}

#[test]
fn a_known_host_loads_only_what_is_missing() {
    let g = testing::guest("web01", USUAL);
    let mut world = testing::world(vec![g.clone()]);
    for (name, loaded) in [("13.5-intel", [""; 0].as_slice()), ("15.0-amd", &["kldload -n vmm", "kldload -n nmdm"]), ("14.3-amd", &[])] {
        world.host = recorded::host(name);
        let text = start(&world, &g, &request()).unwrap().script(Os::FreeBsd);
        let modules: Vec<&str> = text.lines().filter(|l| l.starts_with("kldload")).collect();
        assert_eq!(modules, loaded, "{name}");
    }
}

#[test]
fn all_that_keeps_a_guest_from_starting_is_told_at_once() {
    let mut settings = USUAL.to_vec();
    settings.extend([("pcidev_0", "passthru,1/0/0"), ("pcidev_1", "virtio-snd,x=1"), ("net0.bridge", "lan")]);
    let g = testing::guest("web01", &settings);
    let mut world = testing::world(vec![g.clone()]);
    world.host = recorded::host("14.3-intel-restricted");
    let problem = start(&world, &g, &request()).unwrap_err();
    assert_eq!(problem.code, crate::error::Kind::HostCant);
    let told = [vec![problem.message], problem.causes, problem.hints].concat().join("\n");
    insta::assert_snapshot!(told);
}

#[test]
fn a_tap_that_a_killed_run_left_is_made_anew_and_anybody_else_s_is_refused() {
    let g = testing::guest("web01", USUAL);
    let tap = tap_name(g.uuid, 0).unwrap();
    let mut world = testing::world(vec![g.clone()]);
    world.host = recorded::host("13.5-intel");
    world.host.state.interfaces.as_mut().unwrap().insert(tap.to_string(), crate::os::state::InterfaceKind::Other);
    let refused = start(&world, &g, &request()).unwrap_err();
    assert!(refused.message.contains(&format!("the tap {tap}, which net0 uses, already exists")), "{refused}");
    world.host.state.left_taps.insert(tap.to_string());
    let text = start(&world, &g, &request()).unwrap().script(Os::FreeBsd);
    let lines: Vec<&str> = text.lines().filter(|l| l.contains("destroy") || l.contains(" create name ")).collect();
    assert_eq!(lines[0], format!("ifconfig {tap} destroy"), "{text}");
    // A high unit number, so that tap0 is left to the administrator.
    assert!(lines[1].starts_with("ifconfig tap1") || lines[1].starts_with("ifconfig tap2"), "{text}");
    assert!(lines[1].ends_with(&format!(" create name {tap}")), "{text}");
}

#[test]
fn a_warning_is_a_note_of_the_plan() {
    let g = testing::guest("web01", &[("disk0.kind", "raw"), ("ram", "30G")]);
    let mut world = testing::world(vec![g.clone()]);
    world.host = recorded::host("14.3-intel");
    let plan = start(&world, &g, &request()).unwrap();
    assert_eq!(
        plan.notes,
        ["30G of memory is needed, and 17G is available: the host may have to page; `chyves set web01 ram=17408M` or less"]
    );
}

#[test]
fn a_screen_is_on_loopback_with_a_secret_that_no_plan_shows() {
    let mut settings = USUAL.to_vec();
    settings.extend([("vnc", "on"), ("loader", "bios")]);
    let g = testing::guest("web01", &settings);
    let world = testing::world(vec![g.clone()]);
    let text = start(&world, &g, &request()).unwrap().script(Os::Linux);
    assert!(text.contains("127.0.0.1:1") && !text.contains("abcd1234"), "{text}");
}

#[test]
fn what_keeps_a_guest_from_starting_is_told() {
    let refused = |settings: &[(&str, &str)], state: RunState, foreign: Option<&str>| {
        let mut g = testing::guest("web01", settings);
        g.state = state;
        g.foreign = foreign.map(str::to_owned);
        let world = testing::world(vec![g.clone()]);
        start(&world, &g, &request()).unwrap_err().to_string()
    };
    assert!(refused(&[("template", "yes")], RunState::Stopped, None).contains("template"));
    assert!(refused(&[], RunState::Stopped, Some("x owns it")).contains("foreign"));
    assert!(refused(&[("accel", "kvm")], RunState::Stopped, None).contains("KVM"));
    assert!(refused(&[("ram", "3")], RunState::Stopped, None).contains("ram"));
    assert!(refused(&[("loader", "bhyveload")], RunState::Stopped, None).contains("bhyveload"));
    let mut g = testing::guest("web01", &[]);
    g.state = RunState::Running;
    assert!(start(&testing::world(vec![]), &g, &request()).unwrap().steps.is_empty());
}

/// A world with an ISO image.
fn with_disc(guest: &Guest) -> World {
    let mut world = testing::world(vec![guest.clone()]);
    let disc = crate::image::Image {
        name: "install75".parse().unwrap(),
        dataset: "tank/chyves/images/install75".parse().unwrap(),
        kind: crate::image::ImageKind::Iso,
        ..world.images[0].clone()
    };
    world.images.push(disc);
    world
}

fn disc_request(name: &str, occasion: Occasion) -> Request {
    Request { drives: vec![Drive::with(name.parse().unwrap())], occasion, ..request() }
}

#[test]
fn a_disc_is_borrowed_booted_first_and_remembered() {
    let g = testing::guest("web01", &[("loader", "bios"), ("disk0.kind", "raw")]);
    let plan = start(&with_disc(&g), &g, &disc_request("install75", Occasion::Start)).unwrap();
    let Some(Action::Launch(launch)) = plan.steps.last() else { panic!("{plan:?}") };
    assert_eq!(launch.again, ["--drive", "install75@0"]);
    assert_eq!(launch.borrows, ["tank/chyves/images/install75".parse().unwrap()]);
    let borrow = Action::Borrow { dataset: launch.borrows[0].clone() };
    assert!(plan.steps.contains(&borrow) && borrow.undo() == crate::action::Undo::Nothing);
    let line = launch.hypervisor.to_string();
    assert!(line.contains("opaque=/tank/chyves/images/install75/image.iso"), "{line}");
    assert!(line.contains("drive=cd-3.0-drive0-node,bootindex=0") && line.contains("drive=disk-4.0-node,bootindex=1"), "{line}");
}

#[test]
fn at_its_reboot_the_disc_is_out_and_the_drive_stays() {
    let g = testing::guest("web01", &[("loader", "bios"), ("disk0.kind", "raw"), ("iso_eject_after_reboots", "2")]);
    let world = with_disc(&g);
    let at = |n| launch(&world, &g, &disc_request("install75", Occasion::Reboot(n))).unwrap().launch;
    assert_eq!(at(1).again, ["--drive", "install75@0"]);
    let out = at(2);
    assert_eq!((out.again.as_slice(), out.borrows.len()), (&["--drive".to_owned(), "@".to_owned()][..], 0));
    let line = out.hypervisor.to_string();
    assert!(line.contains("ide-cd,bus=cd-3.0.0") && !line.contains("image.iso"), "{line}");
    // Without a drive there is nothing to eject, and no drive is added.
    let plain = launch(&world, &g, &Request { occasion: Occasion::Reboot(2), ..request() }).unwrap().launch;
    assert!(plain.again.is_empty() && !plain.hypervisor.to_string().contains("ide-cd"));
}

#[test]
fn loaders_of_freebsd_boot_the_disc() {
    let line = |settings: &[(&str, &str)]| {
        let g = testing::guest("web01", settings);
        let mut world = with_disc(&g);
        world.host = testing::freebsd();
        start(&world, &g, &disc_request("install75", Occasion::Start)).unwrap().script(Os::FreeBsd)
    };
    let disc = "/tank/chyves/images/install75/image.iso";
    let uefi = line(USUAL);
    assert!(uefi.contains(&format!("-s 3:0,ahci-cd,{disc}")), "{uefi}");
    let bhyveload = line(&[("loader", "bhyveload"), ("disk0.kind", "raw")]);
    assert!(bhyveload.contains(&format!("-d {disc} -d /tank/chyves/guests/web01/disk0.raw")), "{bhyveload}");
    let g = testing::guest("web01", &[("loader", "grub-bhyve"), ("os", "openbsd"), ("disk0.kind", "raw")]);
    let mut world = with_disc(&g);
    world.host = testing::freebsd();
    let files = launch(&world, &g, &disc_request("install75", Occasion::Start)).unwrap().files;
    let text: String = files.iter().map(|f| f.text.as_str()).collect();
    assert!(text.contains(&format!("(cd0) {disc}")) && text.contains("/7.5/amd64/"), "{text}");
}

#[test]
fn what_is_no_disc_is_refused_with_what_is() {
    let g = testing::guest("web01", &[("loader", "bios")]);
    let world = with_disc(&g);
    let why = |name| start(&world, &g, &disc_request(name, Occasion::Start)).unwrap_err();
    assert_eq!(why("instal75").code.exit_code(), 3);
    assert!(why("instal75").hints[0].contains("`install75`"));
    let disk = why("tiny");
    assert!(disk.message.contains("not an ISO but a disk") && disk.hints[0].contains("install75"), "{disk}");
}

#[test]
fn a_seed_is_written_before_the_launch_and_stands_behind_all_disks() {
    let g = testing::guest("web01", &[USUAL, &[("ci.enabled", "yes"), ("ci.user", "ann"), ("ci.password_file", "hash")]].concat());
    let mut world = testing::world(vec![g.clone()]);
    let plan = start(&world, &g, &request()).unwrap();
    let [.., Action::WriteSeed(disc), Action::Launch(launch)] = &plan.steps[..] else { panic!("{plan:?}") };
    assert_eq!(disc.path, format!("{}/{}/cidata.iso", world.host.run_dir, g.uuid));
    assert_eq!(disc.folder.to_string(), "/tank/chyves/guests/web01/cloud-init");
    let line = launch.hypervisor.to_string();
    assert!(line.contains("addr=1e.0,drive=disk-30.0-node") && line.contains(&disc.path), "{line}");
    assert_eq!(super::launch(&world, &g, &Request { occasion: Occasion::Reboot(1), ..request() }).unwrap().seed.unwrap(), **disc);
    world.host = testing::freebsd();
    let script = start(&world, &g, &request()).unwrap().script(Os::FreeBsd);
    assert!(script.contains("-s 30:0,virtio-blk,") && script.contains("cidata.iso,ro,nodelete,ser=CIDATA"), "{script}");
    // A guest without a virtio driver gets a drive on a bus that it has a driver for.
    let ahci = testing::guest("web01", &[("ci.enabled", "yes"), ("disk0.kind", "raw"), ("disk0.bus", "ahci-hd")]);
    let script = start(&world, &ahci, &request()).unwrap().script(Os::FreeBsd);
    assert!(script.contains("-s 30:0,ahci-cd,"), "{script}");
}

#[test]
fn taps_are_told_apart_by_identity() {
    let of = |name: &str| tap_name(testing::guest(name, &[]).uuid, 0).unwrap();
    let names: std::collections::BTreeSet<_> = ["web", "web-1", "web01", "web1"].iter().map(|n| of(n)).collect();
    assert_eq!(names.len(), 4);
}

#[test]
fn a_hypervisor_is_nobody_of_this_host() {
    let g = testing::guest("web01", &[USUAL, &[("confine_uids", "200000")]].concat());
    let mut world = testing::world(vec![g.clone()]);
    assert!(start(&world, &g, &request()).is_ok());
    world.host.confinement.taken = crate::confinement::taken("ann:x:200001:1::/:/bin/sh\n", "", "", "");
    let refused = start(&world, &g, &request()).unwrap_err();
    assert!(refused.code.exit_code() == 4 && refused.causes[0].contains("the user ann has the id 200001"), "{refused:?}");
}

#[test]
fn less_confinement_than_wanted_is_a_note_and_never_silent() {
    let text = |settings: &[(&str, &str)], host: Possible| {
        let g = testing::guest("web01", &[USUAL, settings].concat());
        let mut world = testing::world(vec![g.clone()]);
        world.host.confinement = host;
        world.host.kvm = Ok(());
        start(&world, &g, &request()).unwrap().script(Os::Linux)
    };
    let full = text(&[], Possible::default());
    assert!(full.contains("-sandbox on") && !full.contains("# note: confinement"), "{full}");
    let no_namespaces = || Possible { no_namespaces: Some("no namespaces in this container".into()), ..Possible::default() };
    let user = text(&[], no_namespaces());
    assert!(
        user.contains("# note: confinement of web01: user (no namespaces in this container)\n") && user.contains("-sandbox on"),
        "{user}"
    );
    // The host's /dev/kvm is accessible to root only, and the guest cannot have its own.
    let no_kvm = || Possible { no_kvm: Some("/dev/kvm is for root alone".into()), ..no_namespaces() };
    let with = text(&[("accel", "kvm")], no_kvm());
    assert!(
        with.contains(
            "# note: confinement of web01: user (it runs as root without privileges but those for files: /dev/kvm is for root alone; "
        ),
        "{with}"
    );
    assert!(
        with.contains("; the guest reaches the host's loopback at 10.0.2.2: QEMU runs as root; no namespaces in this container)\n"),
        "{with}"
    );
    assert!(text(&[("accel", "tcg")], no_kvm()).contains("# note: confinement of web01: user (no namespaces in this container)\n"));
    let no_rules = text(&[], Possible { no_loopback_rules: Some("the program `nft` is missing".into()), ..Possible::default() });
    assert!(no_rules.contains("full (the guest reaches the host's loopback at 10.0.2.2: the program `nft` is missing)\n"), "{no_rules}");
    let shown = [("net0.backend", "bridge"), ("net0.bridge", "lan"), ("vnc", "on")];
    let shown = text(&shown, Possible { no_loopback_rules: Some("no rules".into()), ..Possible::default() });
    assert!(shown.contains("full (QEMU can accept connections on ports that the kernel chooses: no rules)\n"), "{shown}");
    let bridged = text(
        &[("net0.backend", "bridge"), ("net0.bridge", "lan")],
        Possible { no_loopback_rules: Some("no".into()), ..Possible::default() },
    );
    assert!(!bridged.contains("loopback"), "{bridged}");
    let off = text(&[], Possible { no_user: Some("not root".into()), ..Possible::default() });
    assert!(
        off.contains(
            "# note: confinement of web01: off (the guest reaches the host's loopback at 10.0.2.2: QEMU runs as root; not root)\n"
        ) && !off.contains("-sandbox"),
        "{off}"
    );
    // A level that the user requested needs no note.
    let asked = text(&[("confine", "off")], no_namespaces());
    assert!(!asked.contains("# note: confinement") && !asked.contains("-sandbox"), "{asked}");
    let named = text(&[("qargs", "-cdrom /srv/x.iso")], Possible::default());
    assert!(named.contains("# note: confinement of web01: user (qargs names files"), "{named}");
    // A file of the host never removes all confinement.
    let file = [("confine", "user"), ("fw_cfg0", "opt/x,file=/etc/hostname")];
    let up = text(&file, Possible::default());
    assert!(
        up.contains("# note: confinement of web01: full (full, not user: QEMU opens /etc/hostname") && up.contains("-sandbox on"),
        "{up}"
    );
    let down = text(&file, no_namespaces());
    assert!(down.contains("user (it runs as root without privileges but those for files: QEMU opens /etc/hostname"), "{down}");
    assert!(down.contains("-sandbox on"), "{down}");
    let both = text(&[("qargs", "-name a/b"), file[1]], Possible::default());
    assert!(both.contains("-sandbox on") && both.contains("qargs names files"), "{both}");
    assert!(!text(&[("qargs", "-global ICH9-LPC.disable_s3=1")], Possible::default()).contains("# note: confinement"));
}
