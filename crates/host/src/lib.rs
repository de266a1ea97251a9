//! The effects of chyves: everything that reads or changes the host. What has to change is decided by chyves-core, and what the
//! user sees is printed by the command line (chyves).
//!
//! * [`child`]: how every child process is started; [`run`]: running one command to its end
//! * [`trace`]: a trace of the programs that are run
//! * [`platform`]: which host this is, decided once
//! * [`facts`], [`observe`]: observing the host; facts become a world
//! * [`apply`]: executing a plan, rolling back when it fails
//! * [`standard`]: whether this process has a standard output
//! * [`stream`], [`detached_stream`]: ZFS streams through this process, and those that outlive it
//! * [`seed`]: a guest's cloud-init seed
//! * [`guest_files`]: operations on a guest's files between two runs of its hypervisor
//! * [`given_text`]: texts named on the command line
//! * [`runtime`]: records and locks of running VMs
//! * [`confine`]: starting a hypervisor that can reach only what its guest needs, and restrictions for programs that read
//!   untrusted input
//! * [`supervise`]: the process that runs one guest
//! * [`leftovers`]: finding what dead VMs left behind
//! * [`shared_mounts`]: file systems that several guests use at once
//! * [`network`]: the host's networks
//! * [`ports`], [`rulesets`]: claimed VNC ports and devfs rulesets
//! * [`import`], [`catalogue`]: reading images, and the catalogue that lists them
//! * [`control`], [`console`]: clients of a guest's supervisor
//! * [`accel`]: whether KVM works
//! * [`interrupt`]: signals that request the end of this command
//! * [`proc`]: processes, identified reliably
//! * [`safe`]: opening files below a guest's or an image's mount point; [`hostfs`]: opening those of the host
//! * `inherited`: limits, priority and signals of the caller
//! * [`arguments`]: keeping passwords out of the process list
//! * [`sparse_write`]: writing files so that a full pool does no harm
//!
//! Differences between kernels in how something is *done* are `cfg` in `proc`; which host it is, is a value of `platform`.

#![deny(unsafe_code)]
// Tests create the files that they then open.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod accel;
pub mod apply;
pub mod arguments;
pub mod catalogue;
pub mod child;
pub mod confine;
pub mod console;
pub mod control;
pub mod detached_stream;
pub mod facts;
pub mod given_text;
pub mod guest_files;
pub mod hostfs;
pub mod identity;
pub mod import;
mod inherited;
pub mod interrupt;
pub mod leftovers;
pub mod network;
pub mod observe;
pub mod platform;
pub mod ports;
pub mod proc;
pub mod rulesets;
pub mod run;
pub mod runtime;
pub mod safe;
pub mod seed;
pub mod shared_mounts;
mod sparse_write;
pub mod standard;
pub mod stream;
pub mod supervise;
pub mod trace;
