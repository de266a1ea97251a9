//! FreeBSD's programs, one file each. A new one is a file and a row here.
//! Not its job: bhyve, which has a folder of its own.

mod acpidump;
mod bhyvectl;
mod bhyveload;
mod devctl;
mod devfs;
mod fstat;
mod grub_bhyve;
mod ifconfig;
mod jail;
mod kenv;
mod kldload;
mod kldstat;
mod loader;
mod netstat;
mod ngctl;
mod pciconf;
mod pkg;
mod route;
mod sysctl;
mod valectl;

use crate::bhyve;
use crate::exit::Done;
use crate::place::Place;

/// A stand-in: the name it is called by, and what it does with its arguments.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Place, &[String]) -> Done,
}

/// All stand-ins.
pub(crate) const TOOLS: &[Tool] = &[
    Tool { name: "acpidump", run: acpidump::run },
    Tool { name: "bhyve", run: bhyve::run },
    Tool { name: "bhyvectl", run: bhyvectl::run },
    Tool { name: "bhyveload", run: bhyveload::run },
    Tool { name: "devctl", run: devctl::run },
    Tool { name: "devfs", run: devfs::run },
    Tool { name: "fstat", run: fstat::run },
    Tool { name: "grub-bhyve", run: grub_bhyve::run },
    Tool { name: "ifconfig", run: ifconfig::run },
    Tool { name: "jail", run: jail::run },
    Tool { name: "jexec", run: jail::jexec },
    Tool { name: "jls", run: jail::jls },
    Tool { name: "kenv", run: kenv::run },
    Tool { name: "kldload", run: kldload::run },
    Tool { name: "kldstat", run: kldstat::run },
    Tool { name: "netstat", run: netstat::run },
    Tool { name: "ngctl", run: ngctl::run },
    Tool { name: "pciconf", run: pciconf::run },
    Tool { name: "pkg", run: pkg::run },
    Tool { name: "route", run: route::run },
    Tool { name: "sysctl", run: sysctl::run },
    Tool { name: "valectl", run: valectl::run },
];

/// The stand-in of a name.
pub(crate) fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

pub(crate) use ifconfig::{Kind, hidden_name, interfaces};
pub(crate) use kldload::load;
pub(crate) use sysctl::value as sysctl_value;
pub(crate) use valectl::parse_port as parse_vale_port;
