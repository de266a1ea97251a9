//! The pure core of chyves: turns facts into plans. Nothing here accesses a process, a file, a clock, the environment or a
//! terminal; `clippy.toml` of this crate forbids them and states the reasons.
//!
//! From the lowest layer to the highest:
//! * [`value`]: names, sizes, addresses; parsed once into types
//! * [`property`]: the registry of every setting
//! * [`zfs`]: parsing the output of `zfs`, and building its arguments
//! * [`guest`], [`device`]: guests and their devices
//! * [`vmm`]: a VM rendered for bhyve and for QEMU
//! * [`os`]: changes rendered as commands of FreeBSD and Linux
//! * [`catalogue`]: known operating systems: their names become URLs and settings
//! * [`image`]: where images come from, and what is expected of them
//! * [`cloudinit`]: the cloud-init seed of a guest
//! * [`profile`]: recommended settings for each operating system
//! * [`world`]: the facts that a planner can use
//! * [`check`]: whether a host is able to start a guest
//! * [`action`]: one change of the host: its description, its commands, its undo
//! * [`plan`]: (world, request) → plan
//! * [`console`]: access to a guest's serial ports
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
