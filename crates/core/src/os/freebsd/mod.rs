//! FreeBSD: the commands of intents, and one file for each tool that provides facts about the host.
//!
//! * [`sysctl`], [`dmesg`], [`kldstat`], [`kenv`]: kernel, processor, memory, modules
//! * [`pciconf`], [`acpidump`]: passthrough
//! * [`pkg`]: the version of the firmware
//! * [`bhyve`]: the devices of this release's bhyve
//! * [`fstat`]: which files a process has open
//! * [`rctl`]: resource accounting
//! * [`jail`]: querying and removing jails
//! * [`mod@ifconfig`], [`ngctl`], [`processes`]: interfaces; netgraph nodes; which processes use a file
//! * [`Release`]: releases by number
//! * [`facts`]: combines all of them

pub mod acpidump;
pub mod bhyve;
pub mod dmesg;
pub mod facts;
pub mod fstat;
pub mod ifconfig;
pub mod jail;
pub mod kenv;
pub mod kldstat;
pub mod ngctl;
pub mod pciconf;
pub mod pkg;
pub mod processes;
pub mod rctl;
#[cfg(test)]
pub(crate) mod recorded;
mod release;
pub mod sysctl;

pub use release::Release;

use super::{HostFacts, HostState, Intent, Os};
use crate::cmd::Cmd;
use crate::confinement::Possible;
use crate::value::{Cidr, IfName, Vmm};
use crate::zfs::Dialect;

/// The paths of UEFI firmware in FreeBSD's packages, newer ones first: code, and the template of its variables.
pub const UEFI: &[(&str, &str)] = &[
    ("/usr/local/share/uefi-firmware/BHYVE_UEFI.fd", "/usr/local/share/uefi-firmware/BHYVE_UEFI_VARS.fd"),
    ("/usr/local/share/edk2-bhyve/BHYVE_UEFI.fd", "/usr/local/share/edk2-bhyve/BHYVE_UEFI_VARS.fd"),
];

/// The facts of a typical FreeBSD 14.3 amd64 host, for planning on another host.
pub fn release_14_3() -> HostFacts {
    HostFacts {
        os: Os::FreeBsd,
        release: (14, 3),
        arch: "amd64".into(),
        vmm: Vmm::Bhyve,
        dialect: Dialect::OpenZfs,
        run_dir: "/var/run/chyves".into(),
        uefi: UEFI.first().map(|(code, vars)| ((*code).to_owned(), (*vars).to_owned())),
        kvm: Err("bhyve has no KVM".into()),
        hypervisor: Some("bhyve".into()),
        confinement: Possible::default(),
        state: HostState::default(),
    }
}

fn ifconfig<const N: usize>(args: [&str; N]) -> Cmd {
    Cmd::new(ifconfig::TOOL, args)
}

/// Whether a name is one that the kernel itself assigns to interfaces of a kind: `bridge0`.
pub fn is_unit(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|unit| !unit.is_empty() && unit.bytes().all(|b| b.is_ascii_digit()))
}

/// The first unit number for interfaces that are renamed, and how many there are: above the numbers that users and rc.conf
/// choose, below the kernel's limit of 32767.
const UNITS: (u32, u32) = (10_000, 20_000);

/// Creates an interface. A name that the kernel assigns is requested directly. An interface with any other name keeps the
/// unit it was created with: with the next free unit, it could occupy bridge0, which could then not be created any more.
/// Therefore it gets a high unit, derived from its name.
fn create(kind: &str, name: &str, words: &[&str]) -> Cmd {
    let cmd = if is_unit(name, kind) { ifconfig([name, "create"]) } else { ifconfig([&unit(kind, name, 0), "create", "name", name]) };
    cmd.args(words.iter().copied())
}

/// The kernel's name of an interface that is renamed; `nth` counts the attempts if a unit is taken.
fn unit(kind: &str, name: &str, nth: u32) -> String {
    // FNV-1a: the same on every host and in every version.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{kind}{}", UNITS.0 + hash.wrapping_add(nth) % UNITS.1)
}

/// The same command with the next unit, if the unit of a new interface is taken.
pub fn next_unit(cmd: &Cmd, nth: u32) -> Option<Cmd> {
    let [first, verb, rest @ ..] = &cmd.args[..] else { return None };
    let kind = first.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = rest.iter().position(|word| word == "name").and_then(|at| rest.get(at + 1))?;
    if cmd.program != ifconfig::TOOL || verb != "create" || *first == kind {
        return None;
    }
    let mut next = cmd.clone();
    next.args[0] = unit(kind, name, nth);
    Some(next)
}

/// Sets the description of a new interface, and its MTU if it is stated.
fn described(interface: &IfName, owner: &str, mtu: Option<u32>) -> Cmd {
    let describe = ifconfig([interface.as_str(), "descr", owner, "group", "chyves"]);
    match mtu {
        Some(mtu) => describe.args(["mtu", &mtu.to_string(), "up"]),
        None => describe.arg("up"),
    }
}

/// The commands that carry out an intent.
pub fn commands(intent: &Intent) -> Vec<Cmd> {
    match intent {
        // -n: a loaded module is no error.
        Intent::LoadModule { module } => vec![Cmd::new("kldload", ["-n", module])],
        Intent::MakeTap { tap, owner, mtu, .. } => vec![
            create("tap", tap.as_str(), &[]),
            ifconfig([tap.as_str(), "descr", owner, "group", "chyves", "mtu", &mtu.to_string(), "up"]),
        ],
        Intent::RemoveTap { tap: interface, .. }
        | Intent::RemoveBridge { bridge: interface, .. }
        | Intent::RemoveVlan { vlan: interface, .. }
        | Intent::RemovePair { end: interface, .. } => {
            vec![ifconfig([interface.as_str(), "destroy"])]
        }
        Intent::DestroyVm { vm } => vec![bhyve::destroy(vm)],
        Intent::RemoveJail { name, conf, ruleset, root, exists } => {
            let remove = exists.then(|| jail::remove(conf, name));
            remove.into_iter().chain(jail::clean(*ruleset, root)).collect()
        }
        Intent::Join { bridge, member, vlan: None } => vec![ifconfig([bridge.as_str(), "addm", member.as_str()])],
        Intent::Join { bridge, member, vlan: Some(tag) } => {
            vec![ifconfig([bridge.as_str(), "addm", member.as_str(), "untagged", &tag.to_string()])]
        }
        Intent::Leave { bridge, member, .. } => vec![ifconfig([bridge.as_str(), "deletem", member.as_str()])],
        Intent::MakeBridge { bridge, owner, mtu, filters } => {
            let mut cmds = vec![create("bridge", bridge.as_str(), &[]), described(bridge, owner, *mtu)];
            cmds.extend(filters.then(|| ifconfig([bridge.as_str(), "vlanfilter"])));
            cmds
        }
        Intent::MakeVlan { vlan, parent, tag, owner, mtu } => vec![
            ifconfig([
                &unit("vlan", vlan.as_str(), 0),
                "create",
                "vlandev",
                parent.as_str(),
                "vlan",
                &tag.to_string(),
                "name",
                vlan.as_str(),
            ]),
            described(vlan, owner, *mtu),
        ],
        // The kernel creates both ends if the name of the pair is requested.
        Intent::MakePair { end, owner } => {
            let pair = super::pair_of(end.as_str()).map_or(end.as_str(), |(pair, _)| pair);
            vec![ifconfig([pair, "create"]), described(end, owner, None)]
        }
        Intent::MakeNode { node, .. } => vec![ngctl::make(node.as_str())],
        Intent::RemoveNode { node, .. } => vec![ngctl::remove(node.as_str())],
        // The mark is recorded in chyves' own folder.
        Intent::MarkNode { .. } => Vec::new(),
        Intent::Wire { node, interface, lower, upper } => vec![ngctl::wire(node.as_str(), interface.as_str(), *lower, *upper)],
        Intent::Unwire { interface, lower, upper, .. } => vec![ngctl::unwire(interface.as_str(), *lower, *upper)],
        Intent::Describe { interface, to, .. } => vec![ifconfig([interface.as_str(), "descr", to])],
        Intent::SetUp { interface, .. } => vec![ifconfig([interface.as_str(), "up"])],
        Intent::SetDown { interface } => vec![ifconfig([interface.as_str(), "down"])],
        Intent::SetMtu { interface, to, .. } => vec![ifconfig([interface.as_str(), "mtu", &to.to_string()])],
        Intent::AddAddress { interface, address, router } => {
            let mut cmds = vec![ifconfig([interface.as_str(), family(address), &address.to_string(), "alias"])];
            cmds.extend(router.map(|via| Cmd::new("route", [of_family(address), "add", "default", &via.to_string()])));
            cmds
        }
        Intent::RemoveAddress { interface, address, router } => {
            let route = router.map(|_| Cmd::new("route", [of_family(address), "delete", "default"]));
            let remove = ifconfig([interface.as_str(), family(address), &address.address.to_string(), "-alias"]);
            route.into_iter().chain([remove]).collect()
        }
        Intent::SetAddresses { interface, before, after, routes_before, routes_after } => {
            super::addresses::freebsd(interface, before, after, (routes_before, routes_after))
        }
        Intent::FilterVlans { bridge } => vec![ifconfig([bridge.as_str(), "vlanfilter"])],
        Intent::Forward { v6: false } => vec![Cmd::new("sysctl", ["net.inet.ip.forwarding=1"])],
        Intent::Forward { v6: true } => vec![Cmd::new("sysctl", ["net.inet6.ip6.forwarding=1"])],
        // The packet filter is configured by the administrator; the anchor is printed.
        Intent::LoadRules { .. } | Intent::DropRules { .. } => Vec::new(),
        Intent::StartDhcp { file } => vec![Cmd::new("dnsmasq", [format!("--conf-file={file}")])],
        // chyves verifies first that the process is the one that uses this file.
        Intent::StopDhcp { file } => vec![Cmd::new("pkill", ["-F", &file.replace("dnsmasq.conf", "dnsmasq.pid")])],
    }
}

fn of_family(address: &Cidr) -> &'static str {
    if address.address.is_ipv4() { "-4" } else { "-6" }
}

fn family(address: &Cidr) -> &'static str {
    if address.address.is_ipv4() { "inet" } else { "inet6" }
}
