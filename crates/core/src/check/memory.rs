//! Compares the memory that a guest needs with what the host has. A guest's memory is allocated page by page as the guest
//! uses it, so a shortage is only a warning; wired memory, for passthrough, is allocated completely at the start or not at
//! all.

use super::{Finding, Wants};
use crate::os::{HostFacts, Os};
use crate::value::Size;

const WHAT: &str = "memory";

/// A host with less free memory than this is short of memory, whatever its guests need.
const SHORT: Size = Size::mib(512);

/// The host's memory.
pub(super) fn host(host: &HostFacts) -> Finding {
    let Some(memory) = host.state.memory else { return Finding::unknown(WHAT, "memory was not observed") };
    let cache = memory.cache.map_or_else(String::new, |cache| format!(", {} of that from the cache of ZFS", cache.human()));
    let shown = format!("{}; {} available to guests{cache}", memory.total.human(), memory.obtainable().human());
    if memory.obtainable() >= SHORT {
        return Finding::ok(WHAT, shown);
    }
    Finding::warns(WHAT, shown).cure(match host.os {
        Os::FreeBsd => "stop what is not needed, or limit the cache of ZFS: vfs.zfs.arc.max in /boot/loader.conf",
        Os::Linux => "stop what is not needed",
    })
}

/// The finding for a start.
pub(super) fn start(host: &HostFacts, wants: &Wants) -> Option<Finding> {
    let memory = host.state.memory?;
    let (ram, guest) = (wants.ram, &wants.guest);
    let less = |most: Size| format!("`chyves set {guest} ram={}M` or less", most.get() >> 20);
    if ram >= memory.total {
        return Some(
            Finding::fails(WHAT, format!("{} of memory is needed, and the host has {}", ram.human(), memory.total.human()))
                .cure(less(memory.obtainable())),
        );
    }
    if ram <= memory.obtainable() {
        return None;
    }
    let shown = format!("{} of memory is needed, and {} is available", ram.human(), memory.obtainable().human());
    Some(if wants.passthru.is_empty() {
        Finding::warns(WHAT, format!("{shown}: the host may have to page")).cure(less(memory.obtainable()))
    } else {
        Finding::fails(WHAT, format!("{shown}; with passthrough all of it is wired at the start"))
            .cure(less(memory.obtainable()))
            .cure("or stop other guests")
    })
}
