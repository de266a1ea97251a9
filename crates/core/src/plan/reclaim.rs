//! `reclaim`: removes what dead VMs left on the host. It never touches a running guest or an object that is not proved to
//! belong to chyves.
//!
//! The proofs: a guest's folder in the runtime folder is named by its UUID, and no process holds its locks; a tap has
//! exactly our token; a VM object is named by a record of this boot and its process is dead; a jail and its root have the
//! UUID in their names. Not here: what killed commands left on the pool (`repair`).

use super::Plan;
use crate::action::Action;
use crate::guest::{Guest, RunState};
use crate::os::Intent;
use crate::os::taps::OwnTap;
use crate::value::{Dataset, FilePath, GuestName};
use crate::vmm::bhyve::Arch;
use crate::vmm::bhyve::jail::Jail;
use uuid::Uuid;

/// What was found of one guest on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// A process with this UUID is alive on this host, so nothing with this UUID is left over.
    pub alive: bool,
    /// Its folder in the runtime folder exists, and no process holds a lock in it.
    pub folder: bool,
    /// VM objects named by its record, each with whether a process is using it.
    pub vms: Vec<(String, bool)>,
    /// The jail of its bhyve process.
    pub jail: Option<LeftJail>,
    /// Taps that have its token.
    pub taps: Vec<OwnTap>,
    /// The pid of a hypervisor process without a supervisor, from its record.
    pub machine: Option<u32>,
}

/// A leftover jail, complete or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftJail {
    /// The jail's definition.
    pub jail: Jail,
    /// The ruleset of its devfs, if a record or a reservation of chyves names it. Any other ruleset may belong to somebody
    /// else.
    pub ruleset: Option<u32>,
    /// Whether the jail itself exists; if not, only its ruleset and its root directory may be left.
    pub exists: bool,
    /// Whether its configuration file exists; jail(8) needs it to remove the jail.
    pub described: bool,
    /// The architecture that it was made for.
    pub arch: Arch,
}

impl LeftJail {
    /// The steps that remove it.
    fn steps(&self) -> Vec<Action> {
        let Jail { name, conf, root, .. } = &self.jail;
        let mut steps = Vec::new();
        if self.exists && !self.described {
            steps.push(Action::MakeFolder { path: FilePath::host(self.jail.folder()) });
            steps.extend(self.jail.description(self.arch).into_iter().map(Action::WriteHostFile));
        }
        steps.push(Action::Host(Intent::RemoveJail {
            name: name.clone(),
            conf: conf.clone(),
            ruleset: self.ruleset,
            root: root.clone(),
            exists: self.exists,
        }));
        steps
    }
}

impl Left {
    /// Whether a process is using one of its VM objects.
    fn busy(&self) -> bool {
        self.vms.iter().any(|(_, busy)| *busy)
    }

    fn is_nothing(&self) -> bool {
        self.alive || *self == Self { machine: self.machine, ..Self::default() }
    }
}

/// Whether anything may have to be removed, so that it is worth taking the guest's lock to check.
pub fn is_worth_a_look(guest: &Guest, left: &Left) -> bool {
    match guest.state {
        RunState::Orphaned => true,
        RunState::Starting | RunState::Running | RunState::Paused { .. } | RunState::Stopping => false,
        RunState::Stopped | RunState::Crashed { .. } => guest.mounted || !left.is_nothing(),
    }
}

/// Plans to remove what is left of a guest. `kill`: also its hypervisor process, if that runs without a supervisor.
pub fn guest(guest: &Guest, left: &Left, kill: bool) -> Plan {
    let name = &guest.name;
    match guest.state {
        RunState::Starting | RunState::Running | RunState::Paused { .. } | RunState::Stopping => {
            Plan::nothing(format!("{name} is {}: nothing of it is left over", guest.state.word()))
        }
        RunState::Orphaned if kill => {
            let stop = Action::Stop { guest: name.clone(), uuid: guest.uuid, dataset: guest.dataset.clone(), timeout: 0, force: true };
            // The supervisor that takes over the process to end it removes the rest.
            Plan { steps: vec![stop], notes: Vec::new() }
        }
        RunState::Orphaned => {
            let pid = left.machine.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            Plan::nothing(format!(
                "{name} runs{pid} and its supervisor is gone; it is left alone: `chyves start {name}` starts a new one, \
                 `chyves reclaim {name} --force` kills it"
            ))
        }
        RunState::Stopped | RunState::Crashed { .. } => {
            let mut plan = dead(name.as_str(), guest.uuid, left);
            if guest.mounted {
                // The runtime folder is removed last, because it is the proof for everything else.
                let forget = plan.steps.pop_if(|last| matches!(last, Action::Forget { .. }));
                plan.push(Action::Unmount { dataset: guest.dataset.clone() });
                plan.steps.extend(forget);
            }
            plan
        }
    }
}

/// Plans to remove the VM object and the jail of a dead bhyve process. They keep the guest's files in use and would block
/// any command that unmounts, renames or deletes them.
pub fn jail(who: &str, left: &Left) -> Plan {
    let mut plan = Plan::default();
    if left.alive || left.jail.is_none() {
        return plan;
    }
    objects(who, left, &mut plan);
    plan
}

/// The VM objects and the jail. If a process is using a VM object, the jail is kept.
fn objects(who: &str, left: &Left, plan: &mut Plan) {
    for (vm, busy) in &left.vms {
        if *busy {
            plan.notes.push(format!("the VM object {vm} of {who} is left alone: a process works on it"));
        } else {
            plan.push(Action::Host(Intent::DestroyVm { vm: vm.clone() }));
        }
    }
    match &left.jail {
        Some(jail) if left.busy() => plan.notes.push(format!("the jail {} of {who} is left alone: a process works in it", jail.jail.name)),
        Some(jail) => plan.steps.extend(jail.steps()),
        None => {}
    }
}

/// Plans to remove what is left of a guest that is on no pool of this host any more.
pub fn stray(uuid: Uuid, left: &Left) -> Plan {
    dead(&format!("the guest {uuid}"), uuid, left)
}

/// Plans to unmount images that no guest's drive uses.
pub fn images(mounted: &[Dataset], used: &dyn Fn(&Dataset) -> Vec<GuestName>) -> Plan {
    let free = mounted.iter().filter(|d| used(d).is_empty());
    Plan { steps: free.map(|d| Action::LetGo { dataset: d.clone() }).collect(), notes: Vec::new() }
}

fn dead(who: &str, uuid: Uuid, left: &Left) -> Plan {
    let mut plan = Plan::default();
    if left.alive {
        return plan;
    }
    objects(who, left, &mut plan);
    for own in &left.taps {
        if own.open {
            plan.notes.push(format!("the tap {} of {who} is left alone: it is open in another process", own.tap));
            continue;
        }
        plan.push(Action::Host(Intent::RemoveTap { tap: own.tap.clone(), owner: own.token.clone() }));
    }
    // The record of a VM is kept while a process is using it.
    if left.folder && !left.busy() {
        plan.push(Action::Forget { guest: who.to_owned(), uuid });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Os, taps};
    use crate::plan::testing;
    use crate::vmm::bhyve::jail::Reach;

    fn left(guest: &Guest) -> Left {
        let token = taps::token(guest.uuid, 0);
        let taps = vec![OwnTap { tap: "chv1".parse().unwrap(), guest: guest.uuid, token, open: false }];
        let jail = Some(left_jail(guest.uuid));
        Left { folder: true, vms: vec![("web01".into(), false)], jail, taps, ..Left::default() }
    }

    fn left_jail(uuid: Uuid) -> LeftJail {
        let run = format!("/var/run/chyves/{uuid}");
        let mut reach = Reach::default();
        reach.files.insert("/tank/disk0.raw".into(), true);
        let jail = Jail::new(uuid, "/var/run/chyves", &run, None, reach);
        LeftJail { ruleset: Some(jail.ruleset), jail, exists: true, described: true, arch: Arch::Amd64 }
    }

    #[test]
    fn the_dead_are_put_away_and_the_proof_goes_last() {
        let mut g = testing::guest("web01", &[]);
        g.mounted = true;
        g.state = RunState::Crashed { reason: "signal 9".into() };
        assert!(is_worth_a_look(&g, &Left::default()));
        insta::assert_snapshot!(guest(&g, &left(&g), false).script(Os::FreeBsd), @r"
        # destroy the VM object web01
        bhyvectl --vm=web01 --destroy
        # remove the jail chyves-e7402fa1-6791-5e38-a6ba-6fb88037d7ef
        jail -q -f /var/run/chyves/e7402fa1-6791-5e38-a6ba-6fb88037d7ef/jail/jail.conf -r chyves-e7402fa1-6791-5e38-a6ba-6fb88037d7ef
        devfs rule -s 43393 delset
        find /var/run/chyves/jails/e7402fa1-6791-5e38-a6ba-6fb88037d7ef -xdev -depth -delete
        # remove the tap chv1 of chyves/e7402fa1-6791-5e38-a6ba-6fb88037d7ef/net0
        ifconfig chv1 destroy
        # unmount tank/chyves/guests/web01
        zfs unmount tank/chyves/guests/web01
        # remove what the last VM of web01 left in the runtime folder
        ");
        let clean = testing::guest("web02", &[]);
        assert!(!is_worth_a_look(&clean, &Left::default()) && guest(&clean, &Left::default(), true).steps.is_empty());
    }

    #[test]
    fn the_living_are_left_alone() {
        let mut g = testing::guest("web01", &[]);
        for state in [RunState::Running, RunState::Starting, RunState::Stopping] {
            g.state = state;
            assert!(!is_worth_a_look(&g, &left(&g)));
            assert!(guest(&g, &left(&g), true).steps.is_empty());
        }
        g.state = RunState::Orphaned;
        let alone = guest(&g, &Left { machine: Some(4711), ..left(&g) }, false);
        assert!(alone.steps.is_empty() && alone.notes[0].contains("process 4711"), "{alone:?}");
        assert!(matches!(guest(&g, &left(&g), true).steps[..], [Action::Stop { force: true, timeout: 0, .. }]));
        g.state = RunState::Stopped;
        let mut used = left(&g);
        used.taps[0].open = true;
        assert!(guest(&g, &used, true).notes[0].contains("it is open in another process"));
        // A copy of this guest on another pool is running, and its taps and folders have the same UUID.
        let elsewhere = Left { alive: true, folder: false, ..left(&g) };
        assert!(!is_worth_a_look(&g, &elsewhere));
        assert!(guest(&g, &elsewhere, true).steps.is_empty() && stray(g.uuid, &elsewhere).steps.is_empty());
        let busy = guest(&g, &Left { vms: vec![("web01".into(), true)], ..left(&g) }, false);
        assert!(!busy.steps.iter().any(|s| matches!(s, Action::Forget { .. } | Action::Host(Intent::DestroyVm { .. }))), "{busy:?}");
    }

    #[test]
    fn a_jail_that_lost_its_description_gets_it_back_before_it_is_removed() {
        let g = testing::guest("web01", &[]);
        let of = |exists, described| Left { jail: Some(LeftJail { exists, described, ..left_jail(g.uuid) }), ..Left::default() };
        let plan = jail("web01", &of(true, false));
        let texts: Vec<&str> = plan
            .steps
            .iter()
            .filter_map(|step| match step {
                Action::WriteHostFile(file) => Some(file.text.as_str()),
                _ => None,
            })
            .collect();
        assert!(texts.len() == 2 && texts[1].contains("/tank/disk0.raw nullfs rw"), "{texts:?}");
        assert!(matches!(plan.steps[0], Action::MakeFolder { .. }));
        // If only its root directory exists, jail(8) is not run.
        let plan = jail("web01", &of(false, false));
        assert!(!plan.script(Os::FreeBsd).contains("jail -q"), "{plan:?}");
        // A ruleset that is not recorded as ours may belong to somebody else.
        let unknown = Left { jail: Some(LeftJail { ruleset: None, ..left_jail(g.uuid) }), ..Left::default() };
        assert!(!jail("web01", &unknown).script(Os::FreeBsd).contains("delset"));
        assert!(is_worth_a_look(&g, &of(false, false)));
        // Whatever is in use by a process is kept.
        let busy = Left { vms: vec![("web01".into(), true)], ..of(true, true) };
        assert!(jail("web01", &busy).steps.is_empty());
        assert!(jail("web01", &Left { alive: true, ..of(true, true) }).steps.is_empty());
    }

    #[test]
    fn an_image_in_a_drive_stays_mounted() {
        let (a, b): (Dataset, Dataset) = ("t/images/a".parse().unwrap(), "t/images/b".parse().unwrap());
        let used = |d: &Dataset| if d.leaf() == "a" { vec!["web01".parse().unwrap()] } else { Vec::new() };
        assert_eq!(images(&[a, b.clone()], &used).steps, [Action::LetGo { dataset: b }]);
    }
}
