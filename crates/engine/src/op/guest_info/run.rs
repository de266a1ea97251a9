//! What runs of a guest: its process, its command line, and what it has open.

use crate::Engine;
use crate::answer::{Time, mirrored};
use chyves_core::confinement::{Confinement, Level as CoreLevel, Means};
use chyves_core::guest::Guest;
use chyves_core::os::freebsd::rctl;
use chyves_core::plan::drives::{self, Drive as Medium};
use chyves_core::vmm::Vmm;
use chyves_core::world::World;
use chyves_host::runtime::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Run {
    /// The process id of the hypervisor.
    pub pid: Option<u32>,
    /// How often the guest has rebooted since its start.
    pub reboots: u32,
    /// When the present process was started.
    pub since: Option<Time>,
    /// Its command line.
    pub command: String,
    /// Why it runs with the settings of its start before, if it does.
    pub kept_settings: Option<String>,
    /// How far the process is confined.
    pub confinement: Confined,
    /// Its user id, if it is not root.
    pub user: Option<u32>,
    /// Whether the guest reaches the host's loopback, if it is on user-mode networking and confined.
    pub loopback: Option<Loopback>,
    /// How the files that the process opened by itself compare with those that were checked.
    pub opened_files: Option<String>,
    /// Its subject for rctl(8), on FreeBSD.
    pub rctl_subject: Option<String>,
    /// Its optical drives.
    pub drives: Vec<Drive>,
    /// The address of its display.
    pub vnc: Option<SocketAddr>,
    /// The file with the display's password.
    pub vnc_secret: Option<String>,
}

/// How far a process is confined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Confined {
    /// The level in effect.
    pub level: Level,
    /// Its jail, on FreeBSD.
    pub jail: Option<String>,
    /// Why it is less than requested, or what is less strict than usual.
    pub reasons: Vec<String>,
}

mirrored! {
    /// How far a process is confined.
    Level of CoreLevel {
        /// It runs as root, without confinement.
        Off = "off",
        /// It runs as its own user without capabilities, and filters its own system calls.
        User = "user",
        /// In addition, it can access nothing of the host except what it needs.
        Full = "full",
    }
}

impl Confined {
    fn of(confinement: &Confinement) -> Self {
        let jail = if let Means::Jail(jail) = &confinement.means { Some(jail.name.clone()) } else { None };
        Self { level: confinement.level.into(), jail, reasons: confinement.reasons.clone() }
    }

    /// In a few words: `full`, or `user (REASON; REASON)`.
    pub fn words(&self) -> String {
        let jail = self.jail.as_ref().map(|jail| format!("the jail {jail}, and Capsicum"));
        let parts: Vec<&str> = jail.iter().chain(&self.reasons).map(String::as_str).collect();
        if parts.is_empty() { self.level.word().to_owned() } else { format!("{} ({})", self.level.word(), parts.join("; ")) }
    }
}

/// Whether a guest reaches the host's loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Loopback {
    /// Whether it does.
    pub state: LoopbackState,
    /// Why it is open.
    pub reason: Option<String>,
}

/// Whether a guest reaches the host's loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoopbackState {
    /// It does not.
    Closed,
    /// It does.
    Open,
    /// This host cannot tell.
    Unknown,
}

/// An optical drive with its medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Drive {
    /// Its name: `cd0`.
    pub drive: String,
    /// The image in it; null if it is empty.
    pub disc: Option<String>,
    /// Whether that image no longer exists; a running guest keeps it until the medium is changed.
    pub missing: bool,
}

impl Run {
    pub(super) fn of(engine: &Engine, guest: &Guest, record: &Record, world: &World) -> Self {
        let launch = &record.launch;
        let process = record.machine.as_ref().map(|machine| machine.pid);
        let subject = (world.host.vmm == Vmm::Bhyve).then(|| rctl::Subject::of(&launch.confinement, process)).flatten();
        let drive = |(number, medium): (usize, &Medium)| Drive {
            drive: format!("cd{number}"),
            disc: medium.image().map(ToString::to_string),
            missing: medium.image().is_some_and(|name| drives::disc(world, name).is_err()),
        };
        let secret = launch.screen.and_then(|_| engine.runtime.screen_secret(guest.uuid));
        Self {
            pid: process,
            reboots: record.reboots,
            since: Time::seconds(record.since),
            command: launch.hypervisor.to_string(),
            kept_settings: launch.kept_because.clone(),
            confinement: Confined::of(&launch.confinement),
            user: record.uid,
            loopback: record.uid.filter(|_| launch.confinement.uses_user_networking()).map(loopback),
            opened_files: record.opened.clone(),
            rctl_subject: subject.map(|subject| subject.to_string()),
            drives: drives::kept(&launch.again).iter().enumerate().map(drive).collect(),
            vnc: launch.screen,
            vnc_secret: secret.map(|file| file.display().to_string()),
        }
    }
}

/// Whether the guest of a hypervisor with that user id reaches the host's loopback, given the rules that are loaded now.
#[cfg(target_os = "linux")]
fn loopback(uid: u32) -> Loopback {
    match chyves_host::confine::loopback::holds_for(uid) {
        Ok(()) => Loopback { state: LoopbackState::Closed, reason: None },
        Err(why) => Loopback { state: LoopbackState::Open, reason: Some(why) },
    }
}

#[cfg(not(target_os = "linux"))]
fn loopback(_: u32) -> Loopback {
    Loopback { state: LoopbackState::Unknown, reason: None }
}
