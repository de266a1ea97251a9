//! `stop`: requests a shutdown and waits; powers the guest off only if this is requested.

use super::Plan;
use crate::action::Action;
use crate::error::Result;
use crate::guest::{Guest, RunState, paused};

/// Plans a stop.
///
/// # Errors
/// A stored setting is invalid; or the guest is paused and would only be sent a shutdown request.
pub fn stop(guest: &Guest, timeout: Option<u32>, force: bool) -> Result<Plan> {
    if !guest.state.is_alive() {
        return Ok(Plan::nothing(format!("{} is already {}", guest.name, guest.state.word())));
    }
    // A paused guest cannot react to its power button. The supervisor refuses the request too, in case the guest is paused
    // from now on.
    if let (RunState::Paused { reason }, false) = (&guest.state, force) {
        return Err(paused(&guest.name, &guest.dataset, reason));
    }
    let timeout = match timeout {
        Some(seconds) => seconds,
        None => guest.spec()?.policy.stop_timeout,
    };
    let step = Action::Stop { guest: guest.name.clone(), uuid: guest.uuid, dataset: guest.dataset.clone(), timeout, force };
    Ok(Plan { steps: vec![step], notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    #[test]
    fn a_paused_guest_is_only_ended_by_force() {
        let mut g = testing::guest("web", &[]);
        g.state = RunState::Paused { reason: "writing /d failed: No space left on device".into() };
        let refused = stop(&g, None, false).unwrap_err();
        assert_eq!(refused.message, "`web` is paused");
        assert_eq!(refused.causes, ["writing /d failed: No space left on device"]);
        assert!(refused.hints[0].starts_with("free space on tank"), "{refused:?}");
        assert!(refused.hints[1].contains("`chyves stop web --now`"), "{refused:?}");
        assert!(matches!(stop(&g, Some(0), true).unwrap().steps[..], [Action::Stop { force: true, .. }]));
    }
}
