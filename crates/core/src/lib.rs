//! The pure core of chyves: turns facts into plans. Nothing here accesses a process, a file, a clock, the environment or a
//! terminal; `clippy.toml` of this crate forbids them and states the reasons.
//!
//! From the lowest layer to the highest; a module uses those before it only, which `tests/order.rs` checks:
//! * [`value`]: names, sizes, addresses; parsed once into types
//! * [`cmd`]: a command as data
//! * [`error`]: what cannot be done, why, and what to do next
//! * [`device`]: the devices of a VM
//! * [`console`]: access to a guest's serial ports
//! * [`confinement`]: how far a hypervisor process is confined
//! * [`property`]: the registry of every setting
//! * [`zfs`]: parsing the output of `zfs`, and building its arguments
//! * [`os`]: facts about a host, and changes rendered as commands of FreeBSD and Linux
//! * [`launch`], [`lifecycle`]: what a supervisor runs, and what follows when it ends
//! * [`vmm`]: a VM rendered for bhyve and for QEMU
//! * [`guest`]: guests and their settings
//! * [`cloudinit`]: the cloud-init seed of a guest
//! * [`image`]: images, where they come from, and what is expected of them
//! * [`catalogue`]: known operating systems: their names become URLs and settings
//! * [`network`]: the host's networks: desired state, actual state, and their differences
//! * [`pool`]: the roots of chyves on pools
//! * [`world`]: all facts that a planner can use
//! * [`check`]: whether a host is able to start a guest, and may
//! * [`action`]: one change of the host: its description, its commands, its undo
//! * [`plan`]: (world, request) → plan

#![forbid(unsafe_code)]
// A new variant of our own enumerations makes the compiler list every place to change.
#![deny(clippy::wildcard_enum_match_arm)]
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))] // a test that expects one variant fails on any other

pub mod action;
pub mod catalogue;
pub mod check;
pub mod cloudinit;
pub mod cmd;
pub mod confinement;
pub mod console;
pub mod device;
pub mod error;
pub mod guest;
pub mod image;
pub mod launch;
pub mod lifecycle;
pub mod network;
pub mod os;
pub mod plan;
pub mod pool;
pub mod property;
pub mod value;
pub mod vmm;
pub mod world;
pub mod zfs;
