//! Destroys deleted guests and disks for good.

use crate::Engine;
use crate::answer::Time;
use crate::needs::{Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::guest::Trashed;
use chyves_core::plan;
use chyves_host::observe::snapshots;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Destroys what is in the trash; this is confirmed.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrashEmpty {
    /// Names or identities; all if there are none.
    pub wanted: Vec<String>,
    /// Only what was deleted before this time.
    pub before: Option<Time>,
}

/// A deleted guest or disk that was destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Emptied {
    /// The former name of the guest; for a disk `GUEST:disk0`.
    pub object: String,
    /// What was done.
    pub done: EmptiedWord,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EmptiedWord {
    /// It is gone.
    Destroyed,
}

impl TrashEmpty {
    /// Whether an object was deleted long enough ago; false if its time cannot be parsed.
    fn is_chosen(&self, trashed: &Trashed) -> bool {
        self.before.is_none_or(|before| Time::recorded(&trashed.deleted).is_some_and(|then| then <= before))
    }
}

impl Operation for TrashEmpty {
    const NAME: &'static str = "trash-empty";
    type Answer = Vec<Emptied>;

    fn needs(&self) -> Needs {
        Needs { locks: vec![("trash", vec!["empty".to_owned()])], trash: true, pools: Pools::InUse, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        // Each separately: an unknown name does not keep the others from being destroyed.
        let mut lost = Vec::new();
        let mut chosen: Vec<&Trashed> = match &self.wanted[..] {
            [] => world.trash.iter().collect(),
            names => names
                .iter()
                .filter_map(|name| plan::delete::find(world, name, "chyves trash empty").map_err(|problem| lost.push(problem)).ok())
                .collect(),
        };
        if chosen.is_empty() && lost.len() == 1 {
            return Err(lost.remove(0));
        }
        chosen.retain(|trashed| self.is_chosen(trashed));
        if chosen.is_empty() && lost.is_empty() {
            let older = if self.before.is_some() { " that is so old" } else { "" };
            engine.events.note(&format!("nothing is in the trash{older}"));
            return Ok(Vec::new().into());
        }
        let origins = snapshots::Origins::default();
        let doomed = chosen.iter().map(|t| snapshots::doomed(&t.dataset, &origins)).collect::<Result<Vec<_>>>()?;
        let places: Vec<_> = chosen.iter().zip(&doomed).map(|(t, d)| (t.dataset.clone(), d)).collect();
        // Clones before their origins.
        let order = plan::delete::order(&places);
        let mut gone = Vec::new();
        let mut plans = Vec::new();
        for index in &order {
            plans.push((chosen[*index], doomed[*index].all(&gone), plan::delete::empty(chosen[*index], &doomed[*index], &gone)?));
            gone.push(chosen[*index].dataset.clone());
        }
        let left = (0..chosen.len()).filter(|index| !order.contains(index));
        let mut kept: Vec<Problem> = left.filter_map(|index| plan::delete::empty(chosen[index], &doomed[index], &gone).err()).collect();
        kept.extend(lost);
        if !engine.dry_run {
            for (trashed, goes, _) in &plans {
                for name in goes {
                    engine.events.note(&format!("{}: destroys {name}", trashed.label()));
                }
            }
            if !plans.is_empty() {
                engine.confirm(&format!("destroy {} deleted things for good", plans.len()))?;
            }
        }
        let mut all = Vec::new();
        for (trashed, _, plan) in &plans {
            if engine.carry_out(world, plan, trashed.name.as_str())?.is_some() {
                all.push(Emptied { object: trashed.label(), done: EmptiedWord::Destroyed });
            }
        }
        Ok(Outcome { answer: (!engine.dry_run).then_some(all), problem: summary(kept, plans.is_empty()) })
    }
}

/// What was not destroyed.
fn summary(mut kept: Vec<Problem>, nothing_was: bool) -> Option<Problem> {
    match kept.len() {
        0 => None,
        1 if nothing_was => Some(kept.remove(0)),
        n => {
            let code = if nothing_was { kept[0].code } else { Kind::Partial };
            let problem = Problem::new(code, format!("{n} deleted things were not destroyed"));
            Some(kept.into_iter().fold(problem, |problem, why| problem.because(&why)))
        }
    }
}
