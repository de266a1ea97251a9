use super::*;
use crate::image::{Image, ImageKind};
use crate::plan::set::{self, Request};
use crate::plan::testing::{self, moment, own};
use crate::plan::{clone, create};
use crate::property::Scope;
use crate::vmm::Vmm;
use proptest::prelude::*;

mod levels;

fn request(pairs: &[(&str, &str)]) -> Request {
    Request { set: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), unset: Vec::new() }
}

/// A world with a host that has every feature that a guest may request.
fn world(vmm: Vmm) -> World {
    let mut world = testing::world(Vec::new());
    if vmm == Vmm::Bhyve {
        world.host = testing::freebsd();
        world.host.release = (15, 0);
        world.host.hypervisor = Some("bhyve".into());
    }
    world.host.kvm = Ok(());
    world.images.push(Image {
        name: FIRMWARE.parse().unwrap(),
        dataset: format!("tank/chyves/images/{FIRMWARE}").parse().unwrap(),
        kind: ImageKind::Firmware,
        size: crate::value::Size::bytes(1_966_080),
        ..world.images[0].clone()
    });
    world
}

/// An existing firmware image.
const FIRMWARE: &str = "split";

const GUEST: [(&str, &str); 6] =
    [("disk0.kind", "raw"), ("disk0.size", "64M"), ("net0.backend", "user"), ("loader", "uefi"), ("cpu", "1"), ("ci.enabled", "yes")];

#[test]
fn values_that_no_start_can_use_are_refused_where_they_are_set() {
    for vmm in [Vmm::Qemu, Vmm::Bhyve] {
        let world = world(vmm);
        let guest = testing::guest("web01", &GUEST);
        for pairs in [
            &[("com0", "/dev/nmdm1A")][..],
            &[("com1", "/dev/nmdm1A")],
            &[("com5", "/dev/nmdm1A")],
            &[("disk0.pci", "0:0")],
            &[("disk0.pci", "31:0")],
            &[("net0.pci", "31:7")],
            &[("net0.pci", "4:4:0")],
            &[("disk0.pci", "5:0"), ("net0.pci", "5:0")],
            &[("cpu", "3"), ("cpu_sockets", "2")],
            &[("cpu_threads", "2")],
            &[("ci.net0.gateway", "2001:db8::1")],
            &[("ci.net0.gateway6", "192.0.2.1")],
            &[("ci.net0.gateway", "192.0.2.1")],
            &[("ci.net5.address", "192.0.2.9/24")],
            &[("com2", "/dev/nmdm-web01.1A")],
            &[("com2", "/dev/nmdm-web01.1B")],
            &[("com2", "/dev/nmdm7A"), ("com3", "/dev/nmdm7A")],
            &[("com2", "tcp=0.0.0.0:5000"), ("com3", "tcp=127.0.0.1:5000")],
            &[("vnc", "on"), ("vnc_port", "5900"), ("com2", "tcp=127.0.0.1:5900")],
            &[("com2", "tcp=[fe80::1]:5000")],
            &[("vnc_address", "fe80::1")],
            &[("com2", "/etc/passwd")],
            &[("com2", "/dev/../etc/passwd")],
            &[("fw_cfg1", "opt/a,string=b"), ("fw_cfg2", "opt/a,string=c")],
            &[("ci.net0.address", "192.0.2.0/24")],
            &[("ci.net0.address", "192.0.2.255/24")],
            &[("ci.net0.address6", "fe80::2/64")],
            &[("ci.net0.address", "192.0.2.9/24"), ("ci.net0.gateway", "192.0.2.9")],
            &[("ci.net0.address6", "2001:db8::9/64"), ("ci.net0.gateway6", "2001:db8::9")],
            &[("disk0.options", "bootindex=4294967295")],
            &[("net0.pci", "2:0"), ("vnc", "on")],
            &[("ram", "1073741824")],
            &[("bargs", "-c 4 -m 1G")],
            &[("bargs", "--frob")],
            &[("bargs", "word")],
            &[("bargs", "-s 9,frobnicate")],
            &[("bargs", "-s 99,virtio-rnd")],
            &[("bargs", "-l com9,/dev/nmdm9A")],
            &[("bargs", "-l com2")],
            &[("bargs", "-m much")],
            &[("bargs", "-o x=")],
        ] {
            let refused = set::guest(&world, &guest, &request(pairs)).expect_err(&format!("{vmm:?} {pairs:?}"));
            assert_eq!(refused.code.exit_code(), 2, "{vmm:?} {pairs:?}: {refused:?}");
            assert!(!refused.hints.is_empty(), "{pairs:?}: {refused:?}");
        }
        let together = [("ci.net0.address", "192.0.2.9/24"), ("ci.net0.gateway", "192.0.2.1"), ("cpu", "4"), ("cpu_threads", "2")];
        set::guest(&world, &guest, &request(&together)).unwrap();
    }
}

#[test]
fn values_that_only_this_hypervisor_refuses_are_refused_on_its_hosts() {
    let guest = testing::guest("web01", &GUEST);
    for pairs in [&[("disk0.bus", "ahci-hd"), ("disk0.options", "sectorsize=4096")][..], &[("vnc", "on"), ("vnc_port", "80")]] {
        let refused = set::guest(&world(Vmm::Qemu), &guest, &request(pairs)).expect_err(&format!("{pairs:?}"));
        assert_eq!(refused.code.exit_code(), 2, "{pairs:?}: {refused:?}");
        set::guest(&world(Vmm::Bhyve), &guest, &request(pairs)).unwrap();
    }
    set::guest(&world(Vmm::Qemu), &guest, &request(&[("disk0.bus", "ahci-hd"), ("disk0.options", "sectorsize=512/4096")])).unwrap();
}

#[test]
fn a_guest_that_is_wrong_already_can_be_cured_step_by_step() {
    let world = world(Vmm::Qemu);
    let guest = testing::guest("web01", &[&GUEST[..], &[("cpu_sockets", "2"), ("com5", "/dev/nmdm1A")]].concat());
    set::guest(&world, &guest, &request(&[("notes", "x")])).unwrap();
    set::guest(&world, &guest, &Request { set: Vec::new(), unset: vec!["com5".into()] }).unwrap();
    let guest = testing::guest("web01", &[&GUEST[..], &[("cpu_sockets", "2"), ("net0.pci", "4:0"), ("disk0.pci", "4:0")]].concat());
    set::guest(&world, &guest, &request(&[("cpu", "2")])).unwrap();
    set::guest(&world, &guest, &request(&[("net0.pci", "6:0")])).unwrap();
}

#[test]
fn new_guests_and_clones_are_checked_as_a_whole() {
    let source = testing::guest("web01", &GUEST);
    let mut world = world(Vmm::Qemu);
    world.guests = vec![source.clone()];
    let set = [("cpu".to_owned(), "3".to_owned()), ("cpu_sockets".to_owned(), "2".to_owned())];
    let wish = clone::Request { names: vec!["copy".parse().unwrap()], set: set.to_vec(), ..clone::Request::default() };
    assert_eq!(clone::clone(&world, &source, &wish, &moment(1)).unwrap_err().code.exit_code(), 2);
    let mut wish = create::Request {
        name: "fresh".parse().unwrap(),
        pool: None,
        image: None,
        full: false,
        size: None,
        disk: None,
        nets: 1,
        set: set.to_vec(),
        texts: Vec::new(),
        defaults: OwnValues::new(),
    };
    assert_eq!(create::create(&world, &wish, &moment(1)).unwrap_err().code.exit_code(), 2);
    // Inherited values count too.
    wish.set = vec![("cpu".to_owned(), "3".to_owned())];
    create::create(&world, &wish, &moment(1)).unwrap();
    wish.defaults = own(&[("cpu_sockets", "2")]);
    assert!(create::create(&world, &wish, &moment(1)).unwrap_err().message.contains("3 processors"));
}

#[test]
fn defaults_that_would_break_guests_name_them() {
    let mut world = world(Vmm::Qemu);
    let two = testing::guest("two", &[("cpu", "2"), ("loader", "bios")]);
    let odd = testing::guest("odd", &[("cpu", "3"), ("loader", "bios")]);
    world.guests = vec![two, odd];
    let root = world.roots[0].clone();
    let defaults =
        |world: &World, before: &[(&str, &str)], pairs: &[(&str, &str)]| set::defaults(world, &root, &own(before), &request(pairs));
    let refused = defaults(&world, &[], &[("cpu_threads", "2")]).unwrap_err();
    assert!(refused.message.ends_with("1 guest could not start: odd"), "{refused:?}");
    world.guests.pop();
    // A new guest has one processor.
    let refused = defaults(&world, &[], &[("cpu_threads", "2")]).unwrap_err();
    assert!(refused.message.ends_with("a new guest could not start"), "{refused:?}");
    defaults(&world, &[], &[("cpu_threads", "2"), ("cpu", "2")]).unwrap();
    for pairs in
        [&[("cpu", "3"), ("cpu_sockets", "2")][..], &[("com5", "/dev/nmdm1A")], &[("ram", "1073741824")], &[("ci.net0.gateway", "::1")]]
    {
        assert_eq!(defaults(&world, &[], pairs).unwrap_err().code.exit_code(), 2, "{pairs:?}");
    }
    assert!(set::global(&world, &root, &request(&[("cpu", "3"), ("cpu_sockets", "2")])).is_err());
}

#[test]
fn one_wrong_bridge_stops_no_other() {
    let world = world(Vmm::Qemu);
    let mut root = world.roots[0].clone();
    let refused = set::global(&world, &root, &request(&[("bridge3.vlan", "7")])).unwrap_err();
    assert!(refused.message.contains("of no uplink"), "{refused:?}");
    // A setting that was written directly is invalid already; others can still be set, and it can be fixed.
    root.own = Arc::new(own(&[("bridge3.vlan", "7")]));
    set::global(&world, &root, &request(&[("bridge4.private", "yes")])).unwrap();
    set::global(&world, &root, &request(&[("bridge3.uplink", "em0")])).unwrap();
    assert!(set::global(&world, &root, &request(&[("bridge5.vlan", "7")])).is_err());
}

/// A value of a property, valid or not; if it names an object of the host, one that may exist.
fn value(key: &str) -> BoxedStrategy<String> {
    let known = crate::property::find(key).unwrap();
    match known.property.kind {
        crate::property::kind::Kind::Firmware => proptest::sample::select(vec!["auto", FIRMWARE]).prop_map(str::to_owned).boxed(),
        crate::property::kind::Kind::Choice(words) => proptest::sample::select(words).prop_map(str::to_owned).boxed(),
        crate::property::kind::Kind::YesNo => proptest::sample::select(vec!["yes", "no"]).prop_map(str::to_owned).boxed(),
        crate::property::kind::Kind::Count { min, max } => {
            prop_oneof![min..=max.min(min.saturating_add(9)), min..=max].prop_map(|n| n.to_string()).boxed()
        }
        crate::property::kind::Kind::Seconds { min, max } => (min..=max).prop_map(|n| n.to_string()).boxed(),
        crate::property::kind::Kind::Memory => prop_oneof![32u64..=4096, any::<u64>()].prop_map(|n| n.to_string()).boxed(),
        crate::property::kind::Kind::Place => ("[0-9]{1,2}", "[0-9]").prop_map(|(s, f)| format!("{s}:{f}")).boxed(),
        _ => proptest::sample::select(vec![
            "1M",
            "64M",
            "lan",
            "bridge0",
            "tap3",
            "vale0:a",
            "vale1",
            "lan:",
            "lan:link2",
            "58:9c:fc:00:00:01",
            "1024x768",
            "127.0.0.1",
            "::1",
            "192.0.2.1",
            "2001:db8::1",
            "192.0.2.9/24",
            "2001:db8::9/64",
            "dhcp",
            "auto",
            "none",
            "ro",
            "nocache,ro",
            "bootindex=1",
            "bootindex=2",
            "bootindex=4294967295",
            "sectorsize=512/4096",
            "sectorsize=4096",
            "/dev/nmdm7A",
            "/dev/nmdm8B",
            "tcp=127.0.0.1:5555",
            "tcp=[::1]:5555",
            "/dev/nmdm-web01.1A",
            "virtio-rnd",
            "virtio-9p,share=/usr/share",
            "passthru,2/0/0",
            "ahci-cd,/a.iso",
            "virtio-blk,/dev/x",
            "lpc",
            "fbuf,tcp=0.0.0.0:5900",
            "xhci,tablet",
            "hda,play=/dev/dsp0",
            "e1000,tap9",
            "nvme,/x,ser=a",
            "opt/a,string=b",
            "opt/a,file=/b",
            "passthru,/dev/tpm0",
            "swtpm,/run/s",
            "-S",
            "-w -H",
            "-c 4 -m 1G",
            "-c cpus=1,sockets=1",
            "--frob",
            "-s 9,frobnicate",
            "-s 4:0,virtio-rnd",
            "-s 29,virtio-rnd",
            "-l com9,/dev/nmdm9A",
            "-l com4,/dev/nmdm9A",
            "-m 1G",
            "-n id=0,size=1G",
            "-e a=b",
            "ann",
            "db01",
            "ABC",
            "hash",
            "before",
            "x",
        ])
        .prop_map(str::to_owned)
        .boxed(),
    }
}

/// A user-settable property of these scopes, with a device number if it needs one.
fn setting(scopes: &'static [Scope], family: &'static str) -> impl Strategy<Value = (String, String)> {
    let free = |p: &&crate::property::Property| p.access == crate::property::Access::Free && scopes.contains(&p.scope);
    let keys: Vec<&'static str> =
        crate::property::catalog::all().filter(free).map(|p| p.key).filter(|key| key.starts_with(family)).collect();
    (proptest::sample::select(keys), 0u16..7).prop_flat_map(|(key, n)| {
        let key = key.replace("{n}", &(if key.starts_with("disk") || key.contains("net") { n % 2 } else { n }).to_string());
        value(&key).prop_map(move |value| (key.clone(), value))
    })
}

/// A setting of a guest.
fn pair() -> impl Strategy<Value = (String, String)> {
    setting(&[Scope::Guest, Scope::GuestOnly], "")
}
