//! How far a guest's hypervisor process is confined: the requested level, limited by the host and by the guest's devices.

use crate::confinement::{Confinement, FIRST_UID, How, Level, Means, Network, Sandbox, Show, UIDS};
use crate::error::{Problem, Result};
use crate::guest::{Accel, Guest, Spec};
use crate::os::HostFacts;
use crate::os::state::{FileKind, FileSeen};
use crate::vmm::bhyve::jail::{self, Found, Jail};
use crate::vmm::bhyve::{BhyveHost, Release};
use crate::vmm::qemu::{self, Reach};
use crate::vmm::{Machine, Vmm};

/// The confinement of a guest's hypervisor process on this host.
///
/// # Errors
/// The user ids that it would run as are in use by others.
pub(super) fn of(guest: &Guest, spec: &Spec, machine: &Machine, host: &HostFacts) -> Result<Confinement> {
    match host.vmm {
        Vmm::Qemu => {
            let confinement = linux(spec, machine, host);
            if let Means::Linux(_) = confinement.means {
                ids(guest, spec, host)?;
            }
            Ok(confinement)
        }
        // Decided in `freebsd`, where bhyve's arguments are known.
        Vmm::Bhyve => Ok(Confinement::default()),
    }
}

/// Refuses a range of user ids that includes an account of this host: a compromised hypervisor process would have the
/// rights of that account.
fn ids(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<()> {
    let Some(taken) = host.confinement.taken_from(spec.confine_uids) else { return Ok(()) };
    let name = &guest.name;
    Err(Problem::not_now(format!("`{name}` cannot run as one of the {UIDS} user ids from {}: they are not free", spec.confine_uids))
        .on(name)
        .because(format!("{taken} of this host"))
        .hint(format!("`chyves set {name} confine_uids=N` names other ones, also as a default; {FIRST_UID} where nothing is set")))
}

/// Whether a guest is confined in a jail on this host, unless its devices prevent it.
pub fn wants_jail(spec: &Spec, host: &HostFacts) -> bool {
    let possible = host.vmm == Vmm::Bhyve && Release::from(host.release) >= jail::SINCE && host.state.jailed != Some(true);
    possible && spec.confine == Level::Full
}

/// The same for bhyve: a jail if the release and the guest's devices allow one, else only what bhyve does itself.
pub(super) fn freebsd(
    guest: &Guest,
    spec: &Spec,
    machine: &Machine,
    bhyve: &BhyveHost,
    host: &HostFacts,
    ruleset: Option<u32>,
) -> Confinement {
    let wanted = spec.confine;
    let reach = match (wanted, host.state.jailed) {
        (Level::Off | Level::User, _) => return Confinement { wanted, level: wanted, ..Confinement::default() },
        (Level::Full, Some(true)) => Err("chyves itself is in a jail".to_owned()),
        (Level::Full, Some(false) | None) => jail::reach(machine, bhyve, |path| found(host, path)),
    };
    match reach {
        Ok(reach) => {
            let mut reasons = reach.unsure.clone();
            if !reasons.is_empty() {
                reasons.push(format!("if the guest fails for want of it, `chyves set {} confine=user` runs it without a jail", guest.name));
            }
            let jail = Jail::new(guest.uuid, &host.run_dir, &super::run_dir(guest, host), ruleset, reach);
            Confinement { wanted, level: Level::Full, reasons, means: Means::Jail(jail) }
        }
        Err(why) => {
            let reasons = vec![format!("no jail: {why}"), "bhyve enters a Capsicum sandbox by itself".to_owned()];
            Confinement { wanted, level: Level::User, reasons, means: Means::None }
        }
    }
}

/// What was found at a path that the guest's settings name. A path that was not inspected is assumed to be a file.
fn found(host: &HostFacts, path: &str) -> Found {
    match host.state.files.get(path) {
        Some(None) => Found::Nothing,
        Some(Some(FileSeen { kind: FileKind::Folder, .. })) => Found::Folder,
        Some(Some(_)) | None => Found::File,
    }
}

fn linux(spec: &Spec, machine: &Machine, host: &HostFacts) -> Confinement {
    let wanted = spec.confine;
    let Reach { shows, network, listens, owns_files, locks_memory, mut reasons } = qemu::reach(machine);
    // What these words make of QEMU is not known here.
    let listens = listens || !spec.qargs.is_empty();
    let io_uring = spec.qargs.iter().any(|word| word.contains("io_uring"));
    let (mut level, limited) = host.confinement.limit(wanted);
    let named = (level == Level::Full && spec.qargs.iter().any(|word| word.contains('/')))
        .then(|| "qargs names files, which the namespaces of QEMU would not contain".to_owned());
    if named.is_some() {
        level = Level::User;
    }
    let mut owns_files = owns_files;
    if level == Level::User && (owns_files || !shows.is_empty()) {
        // As another user, the process could access none of these in the host's directories. With its own root directory it
        // can; without one, it runs as root without any privileges except those for files.
        if named.is_none() && host.confinement.limit(Level::Full).0 == Level::Full {
            level = Level::Full;
            reasons = shows.iter().map(|show| format!("full, not user: {}", of_host(show))).chain(reasons).collect();
        } else {
            owns_files = true;
            // The same reasons apply to a sandbox and to namespaces.
            reasons =
                shows.iter().map(|show| format!("it runs as root without privileges but those for files: {}", of_host(show))).collect();
        }
    }
    reasons.extend(named);
    let kvm = spec.accel != Accel::Tcg && host.kvm.is_ok();
    if let (Level::User, true, Some(why)) = (level, kvm, &host.confinement.no_kvm) {
        owns_files = true;
        reasons.push(format!("it runs as root without privileges but those for files: {why}"));
    }
    if let Network::Host { connects, .. } = network {
        // Rules of the packet filter are for the user of a QEMU.
        let why = match (level, owns_files, &host.confinement.no_loopback_rules) {
            (Level::Off, _, _) | (_, true, _) => Some("QEMU runs as root"),
            (Level::User | Level::Full, false, why) => why.as_deref(),
        };
        let open = [
            connects.then_some("the guest reaches the host's loopback at 10.0.2.2"),
            (listens && level != Level::Off).then_some("QEMU can accept connections on ports that the kernel chooses"),
        ];
        reasons.extend(why.into_iter().flat_map(|why| open.into_iter().flatten().map(move |what| format!("{what}: {why}"))));
    }
    if level == Level::Off && wanted == Level::Off {
        reasons.clear();
    }
    reasons.extend(limited);
    let means = match level {
        Level::Off => Means::None,
        Level::User | Level::Full => {
            Means::Linux(Sandbox { first_uid: spec.confine_uids, network, shows, owns_files, locks_memory, kvm, listens, io_uring })
        }
    };
    Confinement { wanted, level, reasons, means }
}

fn of_host(show: &Show) -> String {
    let Show { path, how } = show;
    match how {
        How::Copy | How::Folder | How::WritableFolder => format!("QEMU opens {path}, which is root's"),
        How::Node | How::Passthrough => format!("QEMU opens the device {path}, which is root's"),
    }
}

/// The note of a start if the hypervisor process is less confined than requested.
pub(super) fn note(guest: &Guest, confinement: &Confinement, host: &HostFacts) -> Option<String> {
    // A limit that applies to all guests of the host is reported by `doctor` and `info`.
    if host.vmm == Vmm::Bhyve && Release::from(host.release) < jail::SINCE {
        return None;
    }
    let less = confinement.level < confinement.wanted || !confinement.reasons.is_empty();
    less.then(|| format!("confinement of {}: {}", guest.name, confinement.shown()))
}
