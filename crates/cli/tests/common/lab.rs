//! A host that plays FreeBSD: the lab's tools and devices around the same pool, namespaces and guests. Where there is no
//! Linux there is no lab, and no test that wants one runs.

#[cfg(target_os = "linux")]
pub use chyves_lab::Lab;
use std::process::Command;

/// A lab, or why this machine can have none.
#[cfg(target_os = "linux")]
pub(super) fn up(settings: &[&str]) -> Result<Lab, String> {
    if let Some(absent) = ["/dev/fuse", "/dev/net/tun"].into_iter().find(|file| !std::path::Path::new(file).exists()) {
        return Err(format!("a lab needs {absent}"));
    }
    // One that was not built is a mistake in how the tests were called, not a lack of the machine.
    let program = Lab::find_binary().unwrap_or_else(|e| panic!("{e}"));
    Ok(Lab::up(&program, settings).unwrap_or_else(|e| panic!("{e}")))
}

/// The same command in the lab's network. The namespaces that it enters itself are found from outside of them, so it
/// enters the network first.
#[cfg(target_os = "linux")]
pub(super) fn within(lab: &Lab, command: &Command) -> Command {
    let mut inside = lab.command(command.get_program());
    inside.args(command.get_args());
    inside
}

#[cfg(not(target_os = "linux"))]
pub use absent::{Lab, up, within};

#[cfg(not(target_os = "linux"))]
mod absent {
    use std::path::Path;
    use std::process::Command;

    /// No lab.
    pub enum Lab {}

    impl Lab {
        pub fn dir(&self) -> &Path {
            match *self {}
        }
    }

    pub fn up(_: &[&str]) -> Result<Lab, String> {
        Err("a lab needs Linux".to_owned())
    }

    pub fn within(lab: &Lab, _: &Command) -> Command {
        match *lab {}
    }
}
