//! The checks of a host, one finding for each topic: the output of `chyves doctor`.

use super::{Finding, advisories, memory, modules, network, passthru, processor, system, vm};
use crate::catalogue::Advisory;
use crate::confinement::Level;
use crate::error::Problem;
use crate::os::{HostFacts, Os};
use crate::pool::{Role, Root};
use crate::value::printable;
use crate::vmm::bhyve::{Release, jail};
use crate::zfs::Dialect;

/// The facts about the current catalogue that concern the health of a host.
#[derive(Debug, Clone)]
pub struct Known<'a> {
    /// Security advisories.
    pub advisories: &'a [Advisory],
    /// The day when the catalogue was made.
    pub issued: &'a str,
    /// Its age in days; `None` if the clock is wrong.
    pub age: Option<i64>,
}

/// Age in days from which a catalogue is outdated: advisories are missing and URLs of images have changed.
const OLD: i64 = 180;

/// The age of the catalogue.
fn catalogue(known: &Known<'_>) -> Finding {
    let what = "catalogue";
    match known.age {
        Some(age) if age > OLD => {
            Finding::warns(what, format!("of {}, {age} days old: advisories and releases since then are not in it", known.issued))
                .cure("`chyves image catalogue update FILE|ADDRESS --key FILE` installs a newer one that somebody you trust signed; a newer chyves brings one too")
        }
        Some(age) => Finding::ok(what, format!("of {}, {age} days old", known.issued)),
        None => Finding::ok(what, format!("of {}", known.issued)),
    }
}

/// All findings about a host.
pub fn host(host: &HostFacts, known: &Known<'_>) -> Vec<Finding> {
    let state = &host.state;
    let mut all = vec![system::host(host), system::rights(host)];
    all.extend(advisories::host(host, known.advisories));
    all.push(catalogue(known));
    all.extend(system::surroundings(state));
    match host.os {
        Os::FreeBsd => {
            all.extend([
                processor::host(host),
                processor::limit(host),
                memory::host(host),
                vm::program(host),
                modules::host(host),
                vm::firmware(host),
            ]);
            all.extend(vm::loaders(host));
            all.extend([network::host(host), passthru::host(host), jails(host), limits(host)]);
        }
        Os::Linux => all.extend([
            memory::host(host),
            qemu(host),
            kvm(host),
            confinement(host),
            loopback(host),
            linux_firmware(host),
            network::host(host),
        ]),
    }
    all.push(zfs(host));
    all.push(qemu_img(host));
    all.push(runtime(host));
    all.extend(system::faults(state));
    all
}

/// The pools: the roots that were found and problems with them, or why ZFS could not be queried.
pub fn pools(found: Result<(&[Root], &[Problem]), &Problem>) -> Vec<Finding> {
    let what = "pools";
    let (roots, oddities) = match found {
        Ok(found) => found,
        Err(problem) => {
            let mut finding = Finding::fails(what, problem.to_string());
            finding.cure.clone_from(&problem.hints);
            return vec![finding];
        }
    };
    let mut all = Vec::new();
    let names: Vec<String> = roots.iter().map(|root| format!("{} ({})", root.dataset, root.role.word())).collect();
    let primary = roots.iter().filter(|root| root.role == Role::Primary).count();
    all.push(match (roots.is_empty(), primary) {
        (true, _) => Finding::fails(what, "no pool is set up for chyves")
            .cure("`chyves pool init POOL` sets one up; `zpool list` shows the pools, `zpool import` those not imported"),
        (false, 0) => Finding::fails(what, format!("no pool is primary: {}", names.join(", "))).cure("`zpool import` the primary one"),
        (false, 1) => Finding::ok(what, names.join(", ")),
        (false, _) => Finding::fails(what, format!("{primary} pools are primary: {}", names.join(", ")))
            .cure("`chyves pool list` shows them; one host has one primary pool"),
    });
    for odd in oddities {
        let mut finding = Finding::warns(what, odd.to_string());
        finding.cure.clone_from(&odd.hints);
        all.push(finding);
    }
    all
}

/// What killed commands left: what each was doing, journals that cannot be read, or why this is unknown.
pub fn journals(found: Result<(&[String], &[Problem]), &Problem>) -> Vec<Finding> {
    let what = "journals";
    let of = |problem: &Problem| {
        let mut finding = Finding::fails(what, problem.to_string());
        finding.cure.clone_from(&problem.hints);
        finding
    };
    let (dead, unreadable) = match found {
        Ok(found) => found,
        Err(problem) => return vec![of(problem)],
    };
    let left = dead.iter().map(|words| Finding::warns(what, words.as_str()).cure("`chyves repair` completes it or rolls it back"));
    let all: Vec<Finding> = unreadable.iter().map(of).chain(left).collect();
    if all.is_empty() { vec![Finding::ok(what, "no command was killed or interrupted by the host")] } else { all }
}

fn zfs(host: &HostFacts) -> Finding {
    let what = "ZFS";
    let name = match host.dialect {
        Dialect::OpenZfs => "OpenZFS",
        Dialect::Fuse => "zfs-fuse",
    };
    let version = host.state.versions.get("zfs").map_or_else(String::new, |version| format!(" {version}"));
    match (host.state.programs.get("zfs"), host.dialect) {
        (Some(None), _) => Finding::fails(what, "the program `zfs` is missing").cure(match host.os {
            Os::FreeBsd => "it is part of FreeBSD's base system",
            Os::Linux => "apt-get install zfsutils-linux (or zfs-fuse)",
        }),
        (Some(Some(_)), Dialect::Fuse) => Finding::ok(what, format!("{name}{version}, which has no volumes: disks are files")),
        (Some(Some(_)), Dialect::OpenZfs) => Finding::ok(what, format!("{name}{version}")),
        (None, _) => Finding::unknown(what, "the program `zfs` was not looked for"),
    }
}

fn qemu(host: &HostFacts) -> Finding {
    let what = "QEMU";
    let version = host.state.versions.get("qemu").map_or_else(String::new, |version| format!(", version {version}"));
    match &host.hypervisor {
        Some(path) => Finding::ok(what, format!("{path}{version}")),
        None => Finding::fails(what, "QEMU is missing on this host").cure("apt-get install qemu-system-x86"),
    }
}

fn kvm(host: &HostFacts) -> Finding {
    match &host.kvm {
        Ok(()) => Finding::ok("KVM", "a trial guest ran"),
        Err(why) => Finding::warns(
            "KVM",
            format!("it does not work: {}; guests are emulated, which is many times slower", printable(why, 200)),
        )
        .cure("enable virtualisation in the firmware setup and load kvm_intel or kvm_amd; in a guest, enable nested virtualisation in its hypervisor"),
    }
}

/// How far bhyve can be confined here.
fn jails(host: &HostFacts) -> Finding {
    let what = "confinement";
    let capsicum = "bhyve enters a Capsicum sandbox by itself";
    if host.state.jailed == Some(true) {
        return Finding::warns(what, format!("at most `user`: {capsicum}, and chyves is in a jail, which makes no further ones"))
            .cure("run chyves on the host itself");
    }
    if Release::from(host.release) < jail::SINCE {
        return Finding::ok(what, format!("user: {capsicum}; from FreeBSD {} on each bhyve gets a jail as well", jail::SINCE));
    }
    Finding::ok(what, format!("full: a jail for each bhyve, with its own files and devices only, and {capsicum}"))
}

/// Whether rctl(4) can account for VMs and limit them. chyves does not use it yet.
fn limits(host: &HostFacts) -> Finding {
    let what = "limits";
    match host.state.racct {
        Some(true) => Finding::ok(what, "rctl(4) accounts for each VM: `chyves info GUEST` shows its subject, as for `rctl -u jail:NAME`"),
        Some(false) => Finding::ok(what, "rctl(4) is off; kern.racct.enable=1 in /boot/loader.conf and a reboot switch it on"),
        None => Finding::ok(what, "this kernel has no resource accounting (RACCT), so rctl(4) cannot be used"),
    }
}

/// How far hypervisor processes can be confined here.
fn confinement(host: &HostFacts) -> Finding {
    let (level, why) = host.confinement.limit(Level::Full);
    match why {
        None => Finding::ok("confinement", host.confinement.shown()),
        Some(why) => Finding::warns("confinement", format!("at most `{level}`: {}", printable(&why, 200)))
            .cure("run chyves as root on the host itself, not in a container"),
    }
}

/// What the packet filter rules prevent.
const OPEN: &str = "open to guests on user-mode networking, and the kernel's free ports to any QEMU with a display or a serial port on TCP";

/// Whether guests on user-mode networking are blocked from the host's loopback interface.
fn loopback(host: &HostFacts) -> Finding {
    let what = "host loopback";
    match (&host.confinement.no_user, &host.confinement.no_loopback_rules) {
        (None, None) => Finding::ok(what, "closed to guests on user-mode networking, by rules of nft for their users"),
        (Some(_), _) => Finding::warns(what, format!("{OPEN}: QEMU cannot run as users of its own"))
            .cure("run chyves as root on the host itself, not in a container"),
        (None, Some(why)) => Finding::warns(what, format!("{OPEN}: {}", printable(why, 200))).cure("apt-get install nftables"),
    }
}

fn linux_firmware(host: &HostFacts) -> Finding {
    match &host.uefi {
        Some((code, vars)) => Finding::ok("firmware", format!("{code}, variables {vars}")),
        None => Finding::fails("firmware", "there is no UEFI firmware").cure("apt-get install ovmf; or guests boot with loader=bios"),
    }
}

fn qemu_img(host: &HostFacts) -> Finding {
    let what = "qemu-img";
    match host.state.programs.get(what) {
        Some(Some(path)) => Finding::ok(what, path),
        Some(None) => Finding::warns(what, "it is missing: images in the format qcow2 cannot be imported").cure(match host.os {
            Os::FreeBsd => "pkg install qemu-tools",
            Os::Linux => "apt-get install qemu-utils",
        }),
        None => Finding::unknown(what, "not observed"),
    }
}

fn runtime(host: &HostFacts) -> Finding {
    let what = "runtime folder";
    let Some(seen) = &host.state.runtime else { return Finding::unknown(what, format!("{} was not observed", host.run_dir)) };
    match (&seen.refused, seen.damaged.as_slice()) {
        (Some(why), _) => Finding::fails(what, format!("nothing can be written to {}: {}", host.run_dir, printable(why, 200)))
            .cure("run chyves as root, or name another folder in CHYVES_RUNDIR"),
        (None, []) => Finding::ok(what, &host.run_dir),
        (None, left) => {
            let names: Vec<String> = left.iter().map(|path| printable(path, 200)).collect();
            Finding::warns(what, format!("the record of a VM is damaged in {}", names.join(", ")))
                .cure("`chyves repair` has it written again, or removes what the VM left")
        }
    }
}
