//! The effects of chyves: everything that reads or changes the host. What has to change is decided by chyves-core, and what the
//! user sees is printed by the command line (chyves).
//!
//! From the lowest layer to the highest; a module uses those before it only, which `tests/order.rs` checks:
//! * [`identity`]: new UUIDs
//! * [`interrupt`]: signals that request the end of this command
//! * [`standard`]: whether this process has a standard output
//! * [`lab`]: the folder of a lab
//! * [`hostfs`]: opening files of the host
//! * [`platform`]: which host this is, decided once
//! * [`trace`]: a trace of the programs that are run
//! * [`programs`]: where programs are searched for
//! * [`safe`]: opening files below a guest's or an image's mount point
//! * [`small_files`]: small private files, and the problems of file operations
//! * [`sparse_write`]: writing files so that a full pool does no harm
//! * [`given_text`]: texts named on the command line
//! * [`inherited`]: limits, priority and signals of the caller
//! * [`child`]: how every child process is started
//! * [`proc`]: processes, identified reliably
//! * [`run`]: running one command to its end
//! * [`spawner`]: how this program is executed for its hidden commands
//! * [`arguments`]: keeping passwords out of the process list
//! * [`runtime`]: records and locks of running VMs
//! * [`ports`], [`rulesets`]: claimed VNC ports and devfs rulesets
//! * [`confine`]: starting a hypervisor that can reach only what its guest needs, and restrictions for programs that read
//!   untrusted input
//! * [`facts`]: facts about the host
//! * [`accel`]: whether KVM works
//! * [`leftovers`]: finding what dead VMs left behind
//! * [`control`], [`console`]: clients of a guest's supervisor
//! * [`supervise`]: the process that runs one guest
//! * [`guest_files`]: operations on a guest's files between two runs of its hypervisor
//! * [`fault`]: fault injection, in test builds
//! * [`detached_stream`], [`stream`]: ZFS streams that outlive this process, and those through it
//! * [`place`]: what a plan is executed with
//! * [`mount_table`]: the list of mounts that Linux shows
//! * [`settled`]: running a command that must succeed, while ZFS reports a dataset as busy
//! * [`datasets`]: single datasets
//! * [`media`]: the sizes of disks
//! * [`mounts`], [`shared_mounts`]: mounting file systems, and those that several guests use at once
//! * [`observe`]: observing the host; facts become a world
//! * [`seed`]: a guest's cloud-init seed
//! * [`import`], [`catalogue`]: reading images, and the catalogue that lists them
//! * [`network`]: the host's networks
//! * [`apply`]: executing a plan, rolling back when it fails
//! * [`confirmation`]: changes of networks that are reverted unless the user confirms them
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
pub mod confirmation;
pub mod console;
pub mod control;
mod datasets;
pub mod detached_stream;
pub mod facts;
mod fault;
pub mod given_text;
pub mod guest_files;
pub mod hostfs;
pub mod identity;
pub mod import;
mod inherited;
pub mod interrupt;
mod lab;
pub mod leftovers;
mod media;
mod mount_table;
mod mounts;
pub mod network;
pub mod observe;
mod place;
pub mod platform;
pub mod ports;
pub mod proc;
mod programs;
pub mod rulesets;
pub mod run;
pub mod runtime;
pub mod safe;
pub mod seed;
mod settled;
pub mod shared_mounts;
mod small_files;
mod sparse_write;
mod spawner;
pub mod standard;
pub mod stream;
pub mod supervise;
pub mod trace;
