//! The processor: bhyve requires nested paging and, for firmware or a second virtual CPU, the "unrestricted guest" feature.

use super::{Finding, Wants};
use crate::guest::Loader;
use crate::os::HostFacts;
use crate::os::state::{Cpu, Vendor};
use crate::value::printable;
use crate::vmm::bhyve::{Feature, Release};

const WHAT: &str = "processor";
const LIMIT: &str = "virtual processors";

fn name(cpu: &Cpu) -> String {
    cpu.model
        .as_deref()
        .map_or_else(|| "the processor".to_owned(), |model| printable(&model.split_whitespace().collect::<Vec<_>>().join(" "), 80))
}

/// The vendor's name of its virtualisation technique.
const fn technique(vendor: Option<Vendor>) -> &'static str {
    match vendor {
        Some(Vendor::Intel) => "VT-x",
        Some(Vendor::Amd) => "SVM",
        Some(Vendor::Arm) => "EL2",
        None => "VT-x or SVM",
    }
}

/// What keeps any guest from running on it.
fn unfit(host: &HostFacts) -> Option<Finding> {
    let cpu = &host.state.cpu;
    let nested = host.state.inside.as_deref().is_some_and(|inside| inside != "none");
    let technique = technique(cpu.vendor);
    if cpu.switched_off == Some(true) {
        return Some(
            Finding::fails(WHAT, format!("{technique} of {} is disabled by the firmware", name(cpu)))
                .cure("enable it in the firmware setup (Intel Virtualization Technology, SVM Mode), with the power off and on again"),
        );
    }
    if cpu.nested_paging != Some(false) {
        return None;
    }
    let lacks = match cpu.vendor {
        Some(Vendor::Intel) => "nested paging (EPT)",
        Some(Vendor::Amd) => "nested paging with the next instruction saved (NP and NRIP)",
        Some(Vendor::Arm) => "EL2",
        None => "VT-x or SVM with nested paging",
    };
    let finding = Finding::fails(WHAT, format!("{} has no {lacks}, which bhyve needs", name(cpu)));
    Some(if nested {
        finding.cure("enable nested virtualisation in the hypervisor of this host")
    } else {
        finding.cure("use a host with a newer processor")
    })
}

/// The host's processor.
pub(super) fn host(host: &HostFacts) -> Finding {
    if let Some(finding) = unfit(host) {
        return finding;
    }
    let cpu = &host.state.cpu;
    let count = cpu.count.map_or_else(String::new, |n| format!("{n} × "));
    let shown = format!("{count}{}", name(cpu));
    match (cpu.nested_paging, cpu.unrestricted) {
        (None, _) => {
            Finding::unknown(WHAT, format!("{shown}: what it has of virtualisation is known when vmm is loaded")).cure("kldload -n vmm")
        }
        (Some(_), Some(false)) => {
            Finding::warns(WHAT, format!("{shown}: no unrestricted guest (UG), so guests have one processor and boot by bhyveload alone"))
                .cure("use a host with a newer processor for everything else")
        }
        (Some(_), Some(true)) => Finding::ok(WHAT, format!("{shown}: {} with nested paging, unrestricted guest", technique(cpu.vendor))),
        (Some(_), None) => Finding::ok(WHAT, format!("{shown}: {} with nested paging", technique(cpu.vendor))),
    }
}

/// How many virtual CPUs a guest can have.
pub(super) fn limit(host: &HostFacts) -> Finding {
    match (Release::from(host.release) < Feature::ManyCpus.since(), host.state.max_cpus) {
        (true, _) => Finding::ok(LIMIT, "up to 16 for a guest; more came with FreeBSD 13.2"),
        (false, Some(most)) => Finding::ok(LIMIT, format!("up to {most} for a guest (hw.vmm.maxcpu)")),
        (false, None) => Finding::unknown(LIMIT, "the limit (hw.vmm.maxcpu) is known when vmm is loaded"),
    }
}

/// The findings for a start.
pub(super) fn start(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    let mut all: Vec<Finding> = unfit(host).into_iter().collect();
    let guest = &wants.guest;
    if all.is_empty() && host.state.cpu.unrestricted == Some(false) {
        let cpu = name(&host.state.cpu);
        match wants.loader {
            Loader::Uefi | Loader::GrubBhyve => all.push(
                Finding::fails(WHAT, format!("{cpu} has no unrestricted guest (UG), without which a guest boots by bhyveload alone"))
                    .cure(format!("for a guest with FreeBSD: `chyves set {guest} loader=bhyveload`")),
            ),
            Loader::Bhyveload | Loader::Bios => {}
        }
        if wants.cpus > 1 {
            all.push(
                Finding::fails(
                    WHAT,
                    format!("{cpu} has no unrestricted guest (UG), without which a guest has one processor, not {}", wants.cpus),
                )
                .cure(format!("`chyves set {guest} cpu=1`")),
            );
        }
    }
    all.extend(too_many(host, wants));
    all
}

/// More virtual CPUs than a guest can have. Before 13.2 the release itself refuses them (`vmm::bhyve::check`).
fn too_many(host: &HostFacts, wants: &Wants) -> Option<Finding> {
    if Release::from(host.release) < Feature::ManyCpus.since() {
        return None;
    }
    let raise = format!("or raise the limit in /boot/loader.conf and reboot: hw.vmm.maxcpu={}", wants.cpus);
    match (host.state.max_cpus, host.state.cpu.count) {
        (Some(most), _) if wants.cpus > u32::from(most) => Some(
            Finding::fails(
                LIMIT,
                format!("{} processors are configured, and the host gives a guest {most} at most (hw.vmm.maxcpu)", wants.cpus),
            )
            .cure(format!("`chyves set {} cpu={most}` or less", wants.guest))
            .cure(raise),
        ),
        // Neither vmm nor kenv reported the limit. By default it is the number of processors.
        (None, Some(count)) if wants.cpus > count => Some(
            Finding::warns(
                LIMIT,
                format!("{} processors are configured, the host has {count}, and that is its limit unless it was raised", wants.cpus),
            )
            .cure(format!("`chyves set {} cpu={count}` or less", wants.guest))
            .cure(raise),
        ),
        (Some(_) | None, _) => None,
    }
}
