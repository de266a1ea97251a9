//! The deciding half of chyves: facts in, plans out. Nothing here touches a process, a file, a clock, the environment
//! or a terminal; `clippy.toml` beside this crate forbids them, with the reason.
//!
//! From the ground up:
//! * [`value`]: names, sizes, addresses; parsed once, then types
//! * [`property`]: the registry of every setting
//! * [`zfs`]: dataset rows in, `zfs` arguments out
//! * [`guest`], [`device`]: the field's words
//! * [`vmm`]: a machine rendered for bhyve and for QEMU
//! * [`os`]: intents rendered as FreeBSD's and Linux's commands
//! * [`catalogue`]: known systems: names become addresses and settings
//! * [`image`]: where images come from, and what they must be
//! * [`cloudinit`]: the cloud-init seed of a guest
//! * [`profile`]: what each operating system wants of its machine
//! * [`world`]: the facts a planner may know
//! * [`check`]: whether a host is fit for a start
//! * [`action`]: one thing done to the host: its words, its commands, its undo
//! * [`plan`]: (world, request) → plan
//! * [`console`]: ways to a guest's serial ports
//! * [`launch`], [`lifecycle`]: what a supervisor runs, and what follows when it ends

#![forbid(unsafe_code)]

pub mod action;
pub mod catalogue;
pub mod check;
pub mod clones;
pub mod cloudinit;
pub mod cmd;
pub mod confinement;
pub mod console;
pub mod device;
pub mod error;
pub mod guest;
pub mod guest_files;
pub mod image;
pub mod launch;
pub mod lifecycle;
pub mod network;
pub mod os;
pub mod plan;
pub mod profile;
pub mod property;
pub mod value;
pub mod vmm;
pub mod world;
pub mod zfs;
