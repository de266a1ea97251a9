//! Kernel modules: those that are missing are loaded by the plan where that is allowed and possible; else the line for the
//! host's boot is told.

use super::{Finding, Wants};
use crate::os::HostState;
use crate::world::HostFacts;

const WHAT: &str = "modules";

/// What guests may need, the host alone looked at.
pub const USUAL: [&str; 4] = ["vmm", "nmdm", "if_bridge", "if_tuntap"];

/// Those of the wanted modules that are not known to be there.
pub fn missing<'a>(state: &HostState, wanted: &'a [String]) -> Vec<&'a str> {
    let there = |module: &str| state.modules.as_ref().is_some_and(|all| all.contains(module));
    wanted.iter().map(String::as_str).filter(|module| !there(module)).collect()
}

/// Why no module can be loaded here, if so.
fn barred(state: &HostState) -> Option<String> {
    if state.jailed == Some(true) {
        return Some("this is a jail, where no module can be loaded".to_owned());
    }
    let level = state.securelevel.filter(|level| *level > 0)?;
    Some(format!("kern.securelevel is {level}, so that no module can be loaded"))
}

/// The line that lets the boot load them.
fn line(state: &HostState, missing: &[&str]) -> String {
    let place = if state.jailed == Some(true) { "/etc/rc.conf of the jail's host" } else { "/etc/rc.conf" };
    format!("add to {place} and reboot: kld_list=\"{}\" (with what is in it already)", missing.join(" "))
}

fn are_missing(missing: &[&str]) -> String {
    match missing {
        [one] => format!("module {one} is missing"),
        several => format!("modules {} are missing", several.join(", ")),
    }
}

/// The modules alone.
pub(super) fn host(host: &HostFacts) -> Finding {
    let state = &host.state;
    let Some(there) = &state.modules else { return Finding::unknown(WHAT, "modules were not observed") };
    let usual: Vec<String> = USUAL.iter().map(|module| (*module).to_owned()).collect();
    let missing = missing(state, &usual);
    let loaded: Vec<&str> = USUAL.into_iter().filter(|module| there.contains(*module)).collect();
    if missing.is_empty() {
        return Finding::ok(WHAT, format!("{} are there", loaded.join(", ")));
    }
    match barred(state) {
        Some(why) => Finding::fails(WHAT, format!("the kernel {}, and {why}", are_missing(&missing))).cure(line(state, &missing)),
        None => Finding::ok(WHAT, format!("{} are loaded when a guest needs them", missing.join(", "))),
    }
}

/// What a start wants of them. What can be loaded is no finding: the plan loads it.
pub(super) fn start(host: &HostFacts, wants: &Wants) -> Option<Finding> {
    let state = &host.state;
    // Not looked at: the plan's kldload -n tells.
    state.modules.as_ref()?;
    let missing = missing(state, &wants.modules);
    if missing.is_empty() {
        return None;
    }
    let why = match barred(state) {
        Some(why) => why,
        None if !wants.may_load => format!("auto_load_kernel_mods of `{}` is no", wants.guest),
        None => return None,
    };
    let finding = Finding::fails(WHAT, format!("the kernel {}, and {why}", are_missing(&missing))).cure(line(state, &missing));
    Some(if wants.may_load { finding } else { finding.cure(format!("or now: kldload -n {}", missing.join(" "))) })
}
