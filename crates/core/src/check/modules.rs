//! Kernel modules: the plan loads missing ones if that is allowed and possible; otherwise the finding shows the line for
//! the host's boot configuration.

use super::{Finding, Wants};
use crate::os::{HostFacts, HostState};

const WHAT: &str = "modules";

/// Modules that guests may need; used if only the host is checked.
pub const USUAL: [&str; 4] = ["vmm", "nmdm", "if_bridge", "if_tuntap"];

/// The wanted modules that are not known to be loaded.
pub fn missing<'a>(state: &HostState, wanted: &'a [String]) -> Vec<&'a str> {
    let there = |module: &str| state.modules.as_ref().is_some_and(|all| all.contains(module));
    wanted.iter().map(String::as_str).filter(|module| !there(module)).collect()
}

/// The reason why no module can be loaded here, if there is one.
fn barred(state: &HostState) -> Option<String> {
    if state.jailed == Some(true) {
        return Some("this is a jail, where no module can be loaded".to_owned());
    }
    let level = state.securelevel.filter(|level| *level > 0)?;
    Some(format!("kern.securelevel is {level}, so that no module can be loaded"))
}

/// The configuration line that loads them at boot.
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

/// The host's modules.
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

/// The finding for a start. Modules that can be loaded are no finding, because the plan loads them.
pub(super) fn start(host: &HostFacts, wants: &Wants) -> Option<Finding> {
    let state = &host.state;
    // Unknown: the plan runs kldload -n in any case.
    state.modules.as_ref()?;
    let missing = missing(state, &wants.modules);
    if missing.is_empty() {
        return None;
    }
    let why = match barred(state) {
        Some(why) => why,
        None if !wants.may_load => format!("load_kernel_modules of `{}` is no", wants.guest),
        None => return None,
    };
    let finding = Finding::fails(WHAT, format!("the kernel {}, and {why}", are_missing(&missing))).cure(line(state, &missing));
    Some(if wants.may_load { finding } else { finding.cure(format!("or now: kldload -n {}", missing.join(" "))) })
}
