//! `stop`: ask, wait, and only when told pull the plug.

use super::Plan;
use crate::action::Action;
use crate::error::Result;
use crate::guest::Guest;

/// Plans a stop.
///
/// # Errors
/// A stored setting is wrong.
pub fn stop(guest: &Guest, timeout: Option<u32>, force: bool) -> Result<Plan> {
    if !guest.state.is_alive() {
        return Ok(Plan::nothing(format!("{} is {} already", guest.name, guest.state.word())));
    }
    let timeout = match timeout {
        Some(seconds) => seconds,
        None => guest.spec()?.policy.stop_timeout,
    };
    let step = Action::Stop { guest: guest.name.clone(), uuid: guest.uuid, dataset: guest.dataset.clone(), timeout, force };
    Ok(Plan { steps: vec![step], notes: Vec::new() })
}
