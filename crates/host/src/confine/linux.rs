//! Confinement on Linux: what this process gives up before it becomes the hypervisor.
//!
//! The order matters: everything that needs root comes first (namespaces, device nodes, claiming the user id), then groups, the
//! capability bounding set and the user, then restrictions that need no privileges (`no_new_privs`, Landlock).

use super::{Answer, Order, loopback, root, say, uid};
use chyves_core::confinement::{self, Level, Means, Network, Possible, Sandbox};
use chyves_core::network::loopback::Barred;
use chyves_core::network::nat::NFT;
use landlock::{Access, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope};
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::fs::File;
use std::os::fd::OwnedFd;

/// The capabilities of a hypervisor that must run as root for files of other users: those that concern files.
const OF_FILES: CapabilitySet =
    CapabilitySet::CHOWN.union(CapabilitySet::DAC_OVERRIDE).union(CapabilitySet::FOWNER).union(CapabilitySet::FSETID);
/// The capabilities for creating namespaces and device nodes.
const NEEDED: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::MKNOD);
const TO_CHANGE_USER: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::SETPCAP);

/// Size limit of a list of users, in bytes.
const IDS: u64 = 16 << 20;

/// What the hypervisor holds besides its descriptors.
pub(super) struct Confined {
    /// The claim of its user id, if it has one.
    pub(super) held: Held,
}

/// Descriptors that are passed on only to be held.
pub(super) struct Held(Option<OwnedFd>);

impl Held {
    pub(super) fn fd(&self) -> Option<&OwnedFd> {
        self.0.as_ref()
    }
}

/// What this process, and so chyves on this host, can do to confine a hypervisor.
pub fn possible() -> Possible {
    let capable = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let is_root = rustix::process::geteuid().is_root();
    let lacks = |needed: CapabilitySet| !capable.contains(needed);
    let no_user = (!is_root || lacks(TO_CHANGE_USER)).then(|| "chyves may not change to another user here: it is not root".to_owned());
    let missing = ["mnt", "ipc", "net"].into_iter().find(|kind| !crate::hostfs::kernel::is_there(format!("/proc/self/ns/{kind}")));
    let no_namespaces = if lacks(NEEDED) {
        Some("chyves may not make namespaces and device nodes here, as in some containers".to_owned())
    } else {
        missing.map(|kind| format!("the kernel has no namespaces of the kind `{kind}`, or /proc is not mounted"))
    };
    // Without a node of its own, the hypervisor opens the host's.
    let is_roots = no_namespaces.is_some() && root::kvm_is_for() == root::KvmUsers::Root;
    let no_kvm =
        is_roots.then(|| "/dev/kvm is for root alone, and QEMU could open it as root only: `chmod 0660` and `chgrp kvm` it".to_owned());
    let nft = crate::run::find_program(NFT);
    let no_loopback_rules = nft.is_none().then(|| format!("the program `{NFT}` is missing (package nftables)"));
    let read = |name: &str| crate::hostfs::named::text(name, IDS).unwrap_or_default();
    let taken = confinement::taken(&read("/etc/passwd"), &read("/etc/group"), &read("/etc/subuid"), &read("/etc/subgid"));
    Possible { no_user, no_namespaces, no_kvm, no_loopback_rules, landlock: landlock(), taken }
}

/// Whether this kernel's Landlock supports TCP rules and scopes.
fn landlock() -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessNet::BindTcp);
    rules.and_then(|rules| rules.scope(Scope::Signal)).is_ok()
}

/// Gives up everything that the launch does not grant. The answer is sent while the socket is still open.
pub(super) fn confine(order: &Order, answers: Option<&mut File>) -> Result<Confined, String> {
    limit(Resource::Core, Some(0))?;
    let ready = |uid, loopback| {
        if let Some(answers) = answers {
            say(answers, &Answer::Ready { uid, loopback });
        }
    };
    let Means::Linux(sandbox) = &order.confinement.means else {
        ready(None, None);
        return Ok(Confined { held: Held(None) });
    };
    if sandbox.locks_memory {
        limit(Resource::Memlock, None)?;
    }
    let mut groups = Vec::new();
    let (user, held) = if sandbox.owns_files { (0, None) } else { uid::claim(&order.place.run, order.guest, sandbox.first_uid)?.into() };
    // Loading the rules takes some milliseconds, during which the root is prepared.
    let barred = match &sandbox.network {
        Network::Host { udp, listens, .. } if user != 0 => {
            let ephemeral = loopback::ephemeral();
            let tcp = listens.iter().copied().filter(|port| ephemeral.holds(*port)).collect();
            Some(loopback::bar(&order.place.run, &Barred { uid: user, first: sandbox.first_uid, udp: udp.clone(), tcp }))
        }
        Network::Host { .. } | Network::Private => None,
    };
    match order.confinement.level {
        Level::Full => root::enter(order, sandbox, user)?,
        Level::User | Level::Off if !sandbox.kvm => {}
        Level::User | Level::Off => match root::kvm_is_for() {
            root::KvmUsers::All => {}
            root::KvmUsers::Group(group) => groups.push(group),
            root::KvmUsers::Root => root::own_kvm(&order.place.guest, user)?,
        },
    }
    let barred = barred.map(|loading| loading.and_then(|loading| loading.map_or(Ok(()), loopback::Loading::finish)));
    change_user(user, &groups)?;
    // Tested as that user, and before Landlock may prevent the test.
    let open = barred.map(|loaded| loaded.and_then(|()| loopback::holds())).and_then(Result::err);
    // A guest network that only listens does not connect for the guest; there the rules are only a second line of defence.
    let open = open.filter(|_| matches!(sandbox.network, Network::Host { connects: true, .. }));
    rustix::thread::set_no_new_privs(true).map_err(|e| format!("no_new_privs cannot be set: {e}"))?;
    restrict(sandbox).map_err(|e| format!("Landlock cannot be switched on: {e}"))?;
    super::filter::hypervisor(sandbox).map_err(|e| format!("the filter of system calls cannot be switched on: {e}"))?;
    ready((user != 0).then_some(user), open);
    Ok(Confined { held: Held(held) })
}

fn limit(resource: Resource, to: Option<u64>) -> Result<(), String> {
    rustix::process::setrlimit(resource, Rlimit { current: to, maximum: to })
        .map_err(|e| format!("a limit of resources cannot be set: {e}"))
}

/// Changes to a user without capabilities; root keeps those that concern files.
fn change_user(user: u32, groups: &[u32]) -> Result<(), String> {
    let cant = |what: &'static str| move |e: rustix::io::Errno| format!("{what} cannot be given up: {e}");
    let kept = if user == 0 { OF_FILES } else { CapabilitySet::empty() };
    for capability in CapabilitySet::all().iter().filter(|one| !kept.contains(*one)) {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // This kernel does not know the capability.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(e) => return Err(cant("a capability")(e)),
        }
    }
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    rustix::thread::set_thread_groups(&groups).map_err(cant("groups"))?;
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(cant("the group"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(cant("the user"))?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(cant("capabilities"))
}

/// Applies Landlock, if the kernel has it: TCP only as the guest needs it, and neither abstract sockets nor signals out of the
/// sandbox.
fn restrict(sandbox: &Sandbox) -> Result<(), landlock::RulesetError> {
    let (listens, connects) = match &sandbox.network {
        Network::Private => (&[][..], false),
        Network::Host { listens, connects, .. } => (&listens[..], *connects),
    };
    let tcp = if connects { AccessNet::BindTcp.into() } else { AccessNet::from_all(landlock::ABI::V4) };
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(tcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    for port in listens {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    rules.restrict_self().map(drop)
}
