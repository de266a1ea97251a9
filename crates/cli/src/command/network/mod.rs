//! `chyves network`: the host's bridges, and the NICs of guests that are attached to them.
//!
//! * [`bridges`]: the desired state of bridges
//! * [`nics`]: NICs of guests
//! * [`look`]: the actual state, and the differences
//! * [`apply`]: applying the desired state, and reverting unless confirmed

mod apply;
mod bridges;
mod look;
mod nics;

pub(crate) use apply::{GoBackArgs, go_back};
pub(super) use look::list;

use crate::session::Session;
use crate::table::ListArgs;
use chyves_core::error::{Problem, Result};
use chyves_core::value::{IfName, printable};
use chyves_engine::answer::Assignment;
use chyves_engine::op::BridgeChange;

/// Bridges of the host, and the NICs of guests on them
///
/// Bridges are configured in the host's settings; a start creates those that its guest needs, and the last guest's end removes
/// them. `chyves network bridge0 attach em0` is `chyves network attach bridge0 em0`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List bridges: configured and actual state
    List(ListArgs),
    /// Show each difference between the configured and the actual state
    ///
    /// Exit status 0 if there is none.
    Check,
    /// Show the commands that would close the differences
    Plan {
        /// The bridges; all if none is given
        bridges: Vec<String>,
    },
    /// Apply the configuration now; the result stays until the host is restarted
    Apply(apply::Args),
    /// Keep what was applied with --confirm
    Confirm,
    /// Give a bridge an uplink; a bridge that is not there becomes one
    Attach {
        /// The bridge
        bridge: IfName,
        /// The interface by which it leads out
        uplink: IfName,
        /// Settings of the bridge: vlan=5, mtu=9000, address=10.0.0.1/24, type=netgraph
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Detach the uplink of a bridge
    Detach {
        /// The bridge
        bridge: IfName,
        /// Its uplink
        uplink: Option<IfName>,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Make a bridge private: its guests reach only each other
    Private {
        /// The bridge
        bridge: IfName,
        /// Settings of the bridge: address=10.0.0.1/24, type=netgraph
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Make a bridge the default of NICs that name none
    Default {
        /// The bridge
        bridge: IfName,
    },
    /// Delete a bridge from the settings, and from the host if chyves created it and nothing uses it
    Delete {
        /// The bridge
        bridge: IfName,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Change settings of a bridge, or of a guest's NIC
    Set {
        /// The bridge, or the guest
        object: String,
        /// The NIC where it is a guest's, then settings: mtu=9000, private=yes; net0 model=e1000
        #[arg(required = true, value_name = "[NIC] KEY=VALUE")]
        words: Vec<String>,
    },
    /// Add a NIC to a guest
    Add {
        /// The guest
        guest: String,
        /// Its connection: tap, tap5, vale0:web1, user, netgraph=lan:; then a bridge; then settings
        #[arg(value_name = "WHAT|BRIDGE|KEY=VALUE")]
        words: Vec<String>,
    },
    /// Remove a NIC from a guest
    Remove {
        /// The guest
        guest: String,
        /// The NIC: net1, or its tap or port
        nic: String,
    },
    /// Move a NIC to another bridge, of a running guest at once
    Move {
        /// The guest
        guest: String,
        /// The NIC where it has several, then the bridge
        #[arg(required = true, num_args = 1..=2, value_name = "[NIC] BRIDGE")]
        words: Vec<String>,
    },
    /// Move everything on a bridge to another: its uplink, its guests' NICs, its role as the default
    Migrate {
        /// The bridge
        #[arg(value_name = "FROM-BRIDGE")]
        from: IfName,
        /// The other one
        #[arg(value_name = "TO-BRIDGE")]
        to: IfName,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Attach the NIC with this tap to a bridge
    Join {
        /// The bridge
        bridge: IfName,
        /// The tap
        tap: String,
    },
    /// Return the NIC with this tap to the default bridge
    Unjoin {
        /// The bridge
        bridge: IfName,
        /// The tap
        tap: String,
    },
    /// Print the NAT rules for guests that share the host's address
    Nat {
        /// The bridge
        bridge: IfName,
    },
}

pub(super) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::List(args) => look::list(session, args),
        Verb::Check => look::check(session),
        Verb::Plan { bridges } => apply::plan(session, bridges),
        Verb::Apply(args) => apply::run(session, args),
        Verb::Confirm => apply::confirm(session),
        Verb::Attach { bridge, uplink, settings, confirm } => bridges::attach(session, bridge, uplink, settings, *confirm),
        Verb::Detach { bridge, uplink, confirm } => {
            bridges::change(session, bridge, BridgeChange::Detach { uplink: uplink.clone() }, *confirm)
        }
        Verb::Private { bridge, settings, confirm } => bridges::private(session, bridge, settings, *confirm),
        Verb::Default { bridge } => bridges::change(session, bridge, BridgeChange::Default, apply::Confirm::default()),
        Verb::Delete { bridge, confirm } => bridges::change(session, bridge, BridgeChange::Delete, *confirm),
        Verb::Migrate { from, to, confirm } => bridges::change(session, from, BridgeChange::Migrate { to: to.clone() }, *confirm),
        Verb::Set { object, words } => match words.split_first() {
            Some((first, rest)) if !first.contains('=') => nics::set(session, object, Some(first), rest),
            _ if words.iter().any(|w| w.starts_with("net") && w.split('=').next().is_some_and(|k| k.contains('.'))) => {
                nics::set(session, object, None, words)
            }
            _ => bridges::set(session, object, words),
        },
        Verb::Add { guest, words } => nics::add(session, guest, words),
        Verb::Remove { guest, nic } => nics::remove(session, guest, nic),
        Verb::Move { guest, words } => nics::relocate(session, guest, words),
        Verb::Join { bridge, tap } => nics::join(session, bridge, tap),
        Verb::Unjoin { bridge, tap } => nics::unjoin(session, bridge, tap),
        Verb::Nat { bridge } => look::nat(session, bridge),
    }
}

/// Parses settings as typed.
fn assignments(words: &[String]) -> Result<Vec<Assignment>> {
    let one = |w: &String| {
        w.split_once('=')
            .map(|(key, value)| Assignment { key: key.to_owned(), value: value.to_owned() })
            .ok_or_else(|| Problem::usage(format!("`{}` is not a setting", printable(w, 60))).hint("write settings as KEY=VALUE: mtu=9000"))
    };
    words.iter().map(one).collect()
}
