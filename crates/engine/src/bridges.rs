//! What changes of the host's networks have in common: their locks, the warning before others are cut off, and reverting a
//! change that is not confirmed.

use crate::Engine;
use chyves_core::error::{Problem, Result};
use chyves_core::plan::network::bridge::Planned;
use chyves_core::world::World;
use chyves_host::apply::Applied;
use chyves_host::confirmation::{self, Pending};
use chyves_host::runtime::Lock;
use std::process::Stdio;
use uuid::Uuid;

impl Engine {
    /// The locks of the host's settings and networks, if no change of them waits for confirmation.
    pub(crate) fn lock_networks(&self) -> Result<(Vec<Lock>, Option<Lock>)> {
        let settings = self.lock("pool", &["settings"])?;
        let network = self.lock("host", &["network"])?.pop();
        if confirmation::pending(&self.runtime)?.is_some() && !self.dry_run {
            return Err(Problem::not_now("a change of the host's networks waits for confirmation")
                .hint("`chyves network confirm` keeps it; or wait until it has been rolled back"));
        }
        Ok((settings, network))
    }

    /// Runs a plan, after a warning about what others may depend on. None if there was nothing to do, or it was only shown.
    /// With `confirm_within`, what was done is reverted after so many seconds unless it is confirmed by then.
    pub(crate) fn change_networks(
        &self,
        world: &World,
        planned: &Planned,
        who: &str,
        lock: Option<Lock>,
        confirm_within: Option<u64>,
    ) -> Result<Option<Applied>> {
        if !planned.touches.is_empty() && !self.dry_run {
            let what = planned.touches.join(", ");
            self.events.warning(&format!("{what}: a mistake here may cut you off; with `--confirm 60` it is rolled back automatically"));
            self.confirm(&format!("change the host's networks, although {what}"))?;
        }
        let done = self.carry_out_with(world, &planned.plan, who, lock)?.filter(|_| !planned.plan.steps.is_empty());
        if let (Some(applied), Some(seconds)) = (&done, confirm_within) {
            self.await_confirmation(planned, applied, seconds)?;
        }
        Ok(done)
    }

    fn await_confirmation(&self, planned: &Planned, applied: &Applied, seconds: u64) -> Result<()> {
        let (command, token) = (self.typed.clone(), chyves_host::identity::new());
        let mut pending = Pending { command, token, steps: Vec::new(), replaced: Vec::new(), locks: self.held() };
        pending.add(&planned.plan.steps, applied.replaced.clone());
        confirmation::await_confirmation(&self.runtime, &pending)?;
        wait_apart(token, seconds)?;
        self.events.note(&format!("it is rolled back in {seconds} s unless confirmed: `chyves network confirm`"));
        Ok(())
    }
}

/// Starts a process that waits even if this login is disconnected.
fn wait_apart(token: Uuid, seconds: u64) -> Result<()> {
    let program = std::env::current_exe().map_err(|e| Problem::bug("this program cannot be found").because(e))?;
    let mut command = chyves_host::child::own_command(program);
    command.args(["_go-back", "--token", &token.to_string(), "--after", &seconds.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Reverting must not interrupt the login from which the change was made.
    command.envs(std::env::var_os("SSH_CONNECTION").map(|value| ("SSH_CONNECTION", value)));
    command.spawn().map(drop).map_err(|e| Problem::failed("no process can wait for the confirmation").because(e))
}
