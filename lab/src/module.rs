//! Kernel modules as data: which there are, which GENERIC has built in, what loads what.
//! A new module is one row. Not its job: loading; see `tool/kldload`.

use crate::host::{Cpu, Host};

/// A kernel module.
pub(crate) struct Module {
    pub(crate) name: &'static str,
    /// Compiled into the GENERIC kernel.
    generic: bool,
    /// Loaded along with it.
    pub(crate) pulls: &'static [&'static str],
}

const fn module(name: &'static str, generic: bool, pulls: &'static [&'static str]) -> Module {
    Module { name, generic, pulls }
}

const KNOWN: &[Module] = &[
    module("vmm", false, &[]),
    module("nmdm", false, &[]),
    module("bridgestp", false, &[]),
    module("if_bridge", false, &["bridgestp"]),
    module("if_tuntap", true, &[]),
    module("if_vlan", true, &[]),
    module("if_epair", false, &[]),
    module("if_vxlan", false, &[]),
    module("netgraph", false, &[]),
    module("ng_ether", false, &["netgraph"]),
    module("ng_bridge", false, &["netgraph"]),
    module("ng_hub", false, &["netgraph"]),
    module("ng_socket", false, &["netgraph"]),
    module("ng_device", false, &["netgraph"]),
    module("pf", false, &[]),
    module("netmap", true, &[]),
    module("zfs", false, &[]),
];

/// Other names of the same file.
const ALIASES: &[(&str, &str)] = &[("if_tap", "if_tuntap"), ("if_tun", "if_tuntap")];

/// The module that a word names: its name, its file, or a path of the file.
pub(crate) fn find(word: &str) -> Option<&'static Module> {
    let name = word.rsplit('/').next().unwrap_or(word);
    let name = name.strip_suffix(".ko").unwrap_or(name);
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    KNOWN.iter().find(|module| module.name == name)
}

/// Is it in the kernel without being loaded?
pub(crate) fn built_in(host: &Host, name: &str) -> bool {
    find(name).is_some_and(|module| module.generic && (module.name != "netmap" || host.netmap))
}

/// Why it can't be loaded on this host, as the kernel's message says it; none when it can.
pub(crate) fn obstacle(host: &Host, module: &Module) -> Option<&'static str> {
    match (module.name, host.cpu) {
        ("vmm", Cpu::Plain) => Some("vmx_modinit: processor does not support VMX operation"),
        ("netmap", _) if !host.netmap => Some("netmap: not available"),
        _ => None,
    }
}
