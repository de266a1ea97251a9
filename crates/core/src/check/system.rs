//! The host as a whole: its release, chyves' privileges, jails and nesting, and tools with unreadable output.

use super::{Finding, Wants};
use crate::os::{HostFacts, HostState, Os};
use crate::vmm::Vmm;
use crate::vmm::bhyve::{Feature, Release};

const WHAT: &str = "system";
const RIGHTS: &str = "rights";

/// Tools with output that could not be parsed, so that their facts are unknown.
pub(super) fn faults(state: &HostState) -> Vec<Finding> {
    let finding = |fault: &crate::error::Problem| {
        let mut finding = Finding::fails(fault.object.as_deref().unwrap_or("facts"), fault.to_string());
        finding.cure.clone_from(&fault.hints);
        finding
    };
    state.faults.iter().map(finding).collect()
}

/// The release. Guests' devices that it does not support are reported by `vmm::bhyve::check`.
pub(super) fn host(host: &HostFacts) -> Finding {
    let name = host.state.system.clone().unwrap_or_else(|| format!("{}.{}", host.release.0, host.release.1));
    let shown = format!("{} {name} on {}", host.os, host.arch);
    let release = Release::from(host.release);
    let too_old = |feature: Feature| {
        Finding::fails(WHAT, format!("{shown}: {} came with FreeBSD {}", feature.words(), feature.since())).cure("upgrade the host")
    };
    match (host.os, host.arch.as_str()) {
        (Os::Linux, _) => Finding::ok(WHAT, shown),
        (Os::FreeBsd, _) if release < Feature::Tree.since() => too_old(Feature::Tree),
        (Os::FreeBsd, "arm64") if release < Feature::Arm64.since() => too_old(Feature::Arm64),
        (Os::FreeBsd, "amd64" | "arm64") => Finding::ok(WHAT, shown),
        (Os::FreeBsd, other) => {
            Finding::fails(WHAT, format!("chyves does not know bhyve on `{other}`")).cure("use a host with amd64 or arm64")
        }
    }
}

/// The user that chyves runs as.
pub(super) fn rights(host: &HostFacts) -> Finding {
    match host.state.root {
        Some(true) => Finding::ok(RIGHTS, "root"),
        Some(false) => not_root(host.vmm),
        None => Finding::unknown(RIGHTS, "the user of chyves is not known"),
    }
}

fn not_root(vmm: Vmm) -> Finding {
    let cause = match vmm {
        Vmm::Bhyve => "chyves is not run by root, who alone can make VMs",
        Vmm::Qemu => "chyves is not run by root, who alone can mount and make guests",
    };
    Finding::fails(RIGHTS, cause).cure("run it with sudo or doas")
}

/// Unusual environments: a jail, a raised securelevel, a host that is itself a guest.
pub(super) fn surroundings(state: &HostState) -> Vec<Finding> {
    let mut all = Vec::new();
    if state.jailed == Some(true) {
        all.push(
            Finding::warns("jail", "this is a jail: guests run in it only where it has allow.vmm")
                .cure("in the jail's settings on its host: allow.vmm; and load the modules there"),
        );
    }
    if let Some(level) = state.securelevel.filter(|level| *level > 0) {
        all.push(
            Finding::warns("securelevel", format!("kern.securelevel is {level}: no module can be loaded any more"))
                .cure("let the boot load them; in /etc/rc.conf: kld_list=\"vmm nmdm if_bridge\""),
        );
    }
    if let Some(inside) = state.inside.as_deref().filter(|inside| *inside != "none") {
        all.push(
            Finding::warns("nesting", format!("this host is itself a guest ({})", crate::value::printable(inside, 40)))
                .cure("guests run in it only if its hypervisor offers nested VT-x or SVM, and slower"),
        );
    }
    all
}

/// Whether chyves may start guests at all.
pub(super) fn start(host: &HostFacts, _wants: &Wants) -> Option<Finding> {
    (host.state.root == Some(false)).then(|| not_root(host.vmm))
}
