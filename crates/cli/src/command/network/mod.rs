//! `chyves network`: the host's bridges, and the cards of guests that are on them.
//!
//! * [`bridges`]: what bridges are to be
//! * [`cards`]: cards of guests
//! * [`look`]: what is there, and where it differs
//! * [`apply`]: making it so, and going back unless confirmed

mod apply;
mod bridges;
mod cards;
mod look;

pub(crate) use apply::{GoBackArgs, go_back};
pub(super) use cards::mac_is_free;
pub(super) use look::list;

use crate::session::Session;
use crate::table::ListArgs;
use chyves_core::error::Result;
use chyves_core::plan::network::Facts;
use chyves_core::value::IfName;
use chyves_core::world::World;
use chyves_host::network;
use chyves_host::observe::{self, Look};

/// Bridges of the host, and the cards of guests on them
///
/// What bridges are to be stands in the host's settings; a start makes what its guest needs of it, and removes it with
/// the last guest. `chyves network bridge0 attach em0` is `chyves network attach bridge0 em0`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List bridges: what they are to be, and how they are
    List(ListArgs),
    /// Tell each difference between what is wanted and what is there
    ///
    /// Ends with 0 where there is none.
    Check,
    /// Show the commands that would close the differences
    Plan {
        /// The bridges; all where none is given
        bridges: Vec<String>,
    },
    /// Close the differences now; what is made so stays until the host is restarted
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
    /// Take the uplink from a bridge
    Detach {
        /// The bridge
        bridge: IfName,
        /// Its uplink
        uplink: Option<IfName>,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Let a bridge lead nowhere: guests on it reach each other alone
    Private {
        /// The bridge
        bridge: IfName,
        /// Settings of the bridge: address=10.0.0.1/24, type=netgraph
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Make a bridge the one of cards that name none
    Default {
        /// The bridge
        bridge: IfName,
    },
    /// Take a bridge out of the settings, and away where chyves made it and nothing is on it
    Delete {
        /// The bridge
        bridge: IfName,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Change settings of a bridge, or of a guest's card
    Set {
        /// The bridge, or the guest
        object: String,
        /// The card where it is a guest's, then settings: mtu=9000, private=yes; net0 model=e1000
        #[arg(required = true, value_name = "[CARD] KEY=VALUE")]
        words: Vec<String>,
    },
    /// Give a guest one more card
    Add {
        /// The guest
        guest: String,
        /// Where it leads: tap, tap5, vale0:web1, user, netgraph=lan:; then a bridge; then settings
        #[arg(value_name = "WHAT|BRIDGE|KEY=VALUE")]
        words: Vec<String>,
    },
    /// Take a card from a guest
    Remove {
        /// The guest
        guest: String,
        /// The card: net1, or its tap or port
        card: String,
    },
    /// Move a card to another bridge, of a running guest at once
    Move {
        /// The guest
        guest: String,
        /// The card where it has several, then the bridge
        #[arg(required = true, num_args = 1..=2, value_name = "[CARD] BRIDGE")]
        words: Vec<String>,
    },
    /// Move all of a bridge to another: its uplink, its guests' cards, its place as the default
    Migrate {
        /// The bridge
        from: IfName,
        /// The other one
        to: IfName,
        #[command(flatten)]
        confirm: apply::Confirm,
    },
    /// Attach the card that has this tap to a bridge
    Join {
        /// The bridge
        bridge: IfName,
        /// The tap
        tap: String,
    },
    /// Give the card that has this tap back to the default bridge
    Unjoin {
        /// The bridge
        bridge: IfName,
        /// The tap
        tap: String,
    },
    /// Print the rules for guests that hide behind the host's address
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
        Verb::Detach { bridge, uplink, confirm } => bridges::detach(session, bridge, uplink.as_ref(), *confirm),
        Verb::Private { bridge, settings, confirm } => bridges::private(session, bridge, settings, *confirm),
        Verb::Default { bridge } => bridges::default(session, bridge),
        Verb::Delete { bridge, confirm } => bridges::delete(session, bridge, *confirm),
        Verb::Migrate { from, to, confirm } => bridges::migrate(session, from, to, *confirm),
        Verb::Set { object, words } => match words.split_first() {
            Some((first, rest)) if !first.contains('=') => cards::set(session, object, Some(first), rest),
            _ if words.iter().any(|w| w.starts_with("net") && w.split('=').next().is_some_and(|k| k.contains('.'))) => {
                cards::set(session, object, None, words)
            }
            _ => bridges::set(session, object, words),
        },
        Verb::Add { guest, words } => cards::add(session, guest, words),
        Verb::Remove { guest, card } => cards::remove(session, guest, card),
        Verb::Move { guest, words } => cards::relocate(session, guest, words),
        Verb::Join { bridge, tap } => cards::join(session, bridge, tap),
        Verb::Unjoin { bridge, tap } => cards::unjoin(session, bridge, tap),
        Verb::Nat { bridge } => look::nat(session, bridge),
    }
}

/// Looks at the host, with the settings of all of it.
fn look_at(session: &Session, look: &Look) -> Result<World> {
    let mut world = session.look(look)?;
    observe::global(&mut world)?;
    Ok(world)
}

/// The host's networks as they are, with what must not be lost.
fn facts(session: &Session, world: &World) -> Result<Facts> {
    facts_with(session, world, false)
}

/// The same, where `netgraph` with its nodes, and else with those where the settings tell of some.
fn facts_with(session: &Session, world: &World, netgraph: bool) -> Result<Facts> {
    // Another host's can't be looked at; it is planned for as if nothing were there.
    let actual = if session.facts.is_some() {
        chyves_core::network::Actual::default()
    } else {
        network::look_with_care(world.host.os, &session.runtime)?
    };
    let mut facts = Facts::of(world, actual)?;
    if session.facts.is_none() {
        network::graph::look_where_wanted(&mut facts, netgraph, world.host.os, &session.runtime)?;
    }
    Ok(facts)
}

/// Settings as they were typed.
fn pairs(words: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |w: &String| {
        w.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(|| {
            chyves_core::error::Problem::usage(format!("`{}` is no setting", chyves_core::value::printable(w, 60)))
                .hint("write settings as KEY=VALUE: mtu=9000")
        })
    };
    words.iter().map(pair).collect()
}
