//! `reclaim`: what dead machines left is put away. Nothing of a running guest, and nothing that is not proved to be ours.
//!
//! The proofs: a guest's folder in the runtime folder bears its identity, and its locks say that nothing of it lives; a tap
//! bears our exact token; a VM object is named by a record of this boot whose machine is dead.
//! Not here: what killed commands left on the pool (`repair`).

use super::Plan;
use crate::action::Action;
use crate::guest::{Guest, RunState};
use crate::os::Intent;
use crate::os::taps::OwnTap;
use crate::value::{Dataset, GuestName};
use uuid::Uuid;

/// What was found of one guest, besides what its dataset says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Something with its identity lives: on this host nothing that bears that identity is left over.
    pub alive: bool,
    /// Its folder in the runtime folder, in which nothing holds a lock.
    pub folder: bool,
    /// VM objects that its record names, each with whether some process works on it.
    pub vms: Vec<(String, bool)>,
    /// Taps with its token.
    pub taps: Vec<OwnTap>,
    /// The process of a machine without a supervisor, as its record tells it.
    pub machine: Option<u32>,
}

impl Left {
    fn is_nothing(&self) -> bool {
        self.alive || *self == Self { machine: self.machine, ..Self::default() }
    }
}

/// Whether there is something to put away of a guest, so that it is worth a look under its lock.
pub fn is_worth_a_look(guest: &Guest, left: &Left) -> bool {
    match guest.state {
        RunState::Orphaned => true,
        RunState::Starting | RunState::Running | RunState::Paused { .. } | RunState::Stopping => false,
        RunState::Stopped | RunState::Crashed { .. } => guest.mounted || !left.is_nothing(),
    }
}

/// Plans to put away what is left of a guest. `kill`: also its machine, where that runs without a supervisor.
pub fn guest(guest: &Guest, left: &Left, kill: bool) -> Plan {
    let name = &guest.name;
    match guest.state {
        RunState::Starting | RunState::Running | RunState::Paused { .. } | RunState::Stopping => {
            Plan::nothing(format!("{name} is {}: nothing of it is left over", guest.state.word()))
        }
        RunState::Orphaned if kill => {
            let stop = Action::Stop { guest: name.clone(), uuid: guest.uuid, dataset: guest.dataset.clone(), timeout: 0, force: true };
            // Who takes it over to end it puts away the rest.
            Plan { steps: vec![stop], notes: Vec::new() }
        }
        RunState::Orphaned => {
            let pid = left.machine.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            Plan::nothing(format!(
                "{name} runs{pid} and its supervisor is gone; it is left alone: `chyves start {name}` gives it a new one, \
                 `chyves reclaim {name} --force` kills it"
            ))
        }
        RunState::Stopped | RunState::Crashed { .. } => {
            let mut plan = dead(name.as_str(), guest.uuid, left);
            if guest.mounted {
                // Before the folder, so that what proves the rest goes last.
                let forget = plan.steps.pop_if(|last| matches!(last, Action::Forget { .. }));
                plan.push(Action::Unmount { dataset: guest.dataset.clone() });
                plan.steps.extend(forget);
            }
            plan
        }
    }
}

/// Plans to put away what is left of a machine whose guest is on no pool of this host any more.
pub fn stray(uuid: Uuid, left: &Left) -> Plan {
    dead(&format!("the guest {uuid}"), uuid, left)
}

/// Plans to unmount images that lie in no guest's drive.
pub fn images(mounted: &[Dataset], used: &dyn Fn(&Dataset) -> Vec<GuestName>) -> Plan {
    let free = mounted.iter().filter(|d| used(d).is_empty());
    Plan { steps: free.map(|d| Action::LetGo { dataset: d.clone() }).collect(), notes: Vec::new() }
}

fn dead(who: &str, uuid: Uuid, left: &Left) -> Plan {
    let mut plan = Plan::default();
    if left.alive {
        return plan;
    }
    for (vm, busy) in &left.vms {
        if *busy {
            plan.notes.push(format!("the VM object {vm} of {who} is left alone: a process works on it"));
        } else {
            plan.push(Action::Host(Intent::DestroyVm { vm: vm.clone() }));
        }
    }
    for own in &left.taps {
        if own.open {
            plan.notes.push(format!("the tap {} of {who} is left alone: a process has it open", own.tap));
            continue;
        }
        plan.push(Action::Host(Intent::RemoveTap { tap: own.tap.clone(), owner: own.token.clone() }));
    }
    // While a process works on its machine, what tells of it stays.
    if left.folder && !left.vms.iter().any(|(_, busy)| *busy) {
        plan.push(Action::Forget { guest: who.to_owned(), uuid });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Os, taps};
    use crate::plan::testing;

    fn left(guest: &Guest) -> Left {
        let token = taps::token(guest.uuid, 0);
        let taps = vec![OwnTap { tap: "chv1".parse().unwrap(), guest: guest.uuid, token, open: false }];
        Left { folder: true, vms: vec![("web01".into(), false)], taps, ..Left::default() }
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
        # remove the tap chv1 of chyves/e7402fa1-6791-5e38-a6ba-6fb88037d7ef/net0
        ifconfig chv1 destroy
        # unmount tank/chyves/guests/web01
        zfs unmount tank/chyves/guests/web01
        # forget what the last machine of web01 left in the runtime folder
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
        assert!(guest(&g, &used, true).notes[0].contains("a process has it open"));
        // A copy of this guest on another pool runs: the identity on taps and folders is its too.
        let elsewhere = Left { alive: true, folder: false, ..left(&g) };
        assert!(!is_worth_a_look(&g, &elsewhere));
        assert!(guest(&g, &elsewhere, true).steps.is_empty() && stray(g.uuid, &elsewhere).steps.is_empty());
        let busy = guest(&g, &Left { vms: vec![("web01".into(), true)], ..left(&g) }, false);
        assert!(!busy.steps.iter().any(|s| matches!(s, Action::Forget { .. } | Action::Host(Intent::DestroyVm { .. }))), "{busy:?}");
    }

    #[test]
    fn an_image_in_a_drive_stays_mounted() {
        let (a, b): (Dataset, Dataset) = ("t/images/a".parse().unwrap(), "t/images/b".parse().unwrap());
        let used = |d: &Dataset| if d.leaf() == "a" { vec!["web01".parse().unwrap()] } else { Vec::new() };
        assert_eq!(images(&[a, b.clone()], &used).steps, [Action::LetGo { dataset: b }]);
    }
}
