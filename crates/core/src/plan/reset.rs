//! `reset`: hard-resets a guest that no longer responds.

use super::Plan;
use crate::action::Action;
use crate::error::{Code, Result};
use crate::guest::{Guest, RunState, paused};

/// Plans a reset.
///
/// # Errors
/// The guest is off, starting, stopping or paused.
pub fn reset(guest: &Guest) -> Result<Plan> {
    let name = &guest.name;
    let refused = || Code::GuestNotRunning.problem(format!("`{name}` is {} and cannot be reset", guest.state.word())).on(name);
    match &guest.state {
        RunState::Running => {}
        // A reset guest would fail again on the same lack of space.
        RunState::Paused { reason } => return Err(paused(name, &guest.dataset, reason)),
        RunState::Starting | RunState::Stopping => return Err(refused().hint("wait a moment: `chyves list` shows it")),
        RunState::Orphaned => return Err(refused().hint(format!("`chyves start {name}` gives it a supervisor again"))),
        RunState::Stopped | RunState::Crashed { .. } => {
            return Err(refused().hint(format!("`chyves start {name}` starts it")));
        }
    }
    let step = Action::Reset { guest: name.clone(), uuid: guest.uuid, dataset: guest.dataset.clone() };
    Ok(Plan { steps: vec![step], notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    #[test]
    fn only_what_runs_is_reset() {
        let mut g = testing::guest("web", &[]);
        let told = |g: &Guest| reset(g).map(|plan| plan.steps.len()).map_err(|p| format!("{}; {}", p.message, p.hints[0]));
        assert_eq!(told(&g), Err("`web` is stopped and cannot be reset; `chyves start web` starts it".to_owned()));
        g.state = RunState::Running;
        assert_eq!(told(&g), Ok(1));
        g.state = RunState::Paused { reason: "no room".into() };
        assert!(told(&g).unwrap_err().starts_with("`web` is paused; free space"));
    }
}
