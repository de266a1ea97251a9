//! The operations of chyves without a terminal: a request goes in, an answer comes out, both plain serde types with JSON
//! Schemas. The command line, a test, or a web page uses them in the same way.
//!
//! ```text
//! Request ──► needs() ──► lock ──► observe ──► plan ──► apply, or show ──► Answer
//!                                                  └──► Events: progress, warnings, notes, plans, questions
//! ```
//!
//! * [`Engine`]: one run: the runtime folder, whether it is a dry run, consent, the words that started it, stated facts, the
//!   flag that interrupts it, and [`Events`], which receives everything that is not the answer.
//! * [`Operation`]: implemented by each request. Its [`Needs`] say what is locked and observed before it runs: guests, images,
//!   the trash, snapshots, disks. [`Engine::run`] is the only driver: it locks, observes, and hands the operation what it
//!   [`Observed`]. What was not observed is distinct from what does not exist ([`Looked`]).
//! * [`OnGuests`]: an operation that does the same to each of several guests. It states what it needs of one guest, plans, and
//!   words the result; locking, observing, applying or showing, and summing up failures are the driver's.
//! * [`answer`]: the types of answers. Sizes are bytes, times are RFC 3339, states are enumerations; no field has a sentence
//!   that another field could have as data.
//! * [`Outcome`]: an answer, and a problem if not everything that was named could be done.
//! * [`schema`]: the JSON Schemas of all operations, by name.
//!
//! One operation is one file in [`op`]; its row in `op/mod.rs` gives it a name and a schema.
//!
//! Not here: deciding (chyves-core), effects (chyves-host), parsing words and rendering answers (crates/cli).

#![forbid(unsafe_code)]

pub mod answer;
mod bridges;
mod checks;
mod disks;
mod engine;
mod events;
pub mod foreground;
mod needs;
mod networks;
pub mod op;
mod operation;
mod places;
pub mod present;
mod reverts;
mod runs;
pub mod schema;
mod several;
mod sizes;
pub mod start;
mod targets;
mod texts;
mod then;

pub use engine::{Engine, LOCK_WAIT, now};
pub use events::{Events, Silent};
pub use needs::{DiskNeeds, Looked, Needs, Observed, Pools, Snapshots};
pub use operation::{OnGuests, Operation, Outcome};
pub use several::{Pace, Results, sum_up};
pub use targets::{Found, Targets};
