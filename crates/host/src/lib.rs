//! The doing half of chyves: every effect on the machine. What is to be done was decided by chyves-core.
//!
//! * [`child`]: how every child process is started; [`run`]: one command to its end
//! * [`trace`]: what is run, shown to whoever asks
//! * [`platform`]: which host this is, decided once
//! * [`facts`], [`observe`]: looking at the machine; facts become a world
//! * [`apply`]: running a plan, rolling back when it fails
//! * [`standard`]: whether there is a standard output
//! * [`stream`], [`detached_stream`]: streams through this process, and those that outlive it
//! * [`seed`]: a guest's cloud-init seed, read and written
//! * [`guest_files`]: what is done with a guest's files between two runs
//! * [`given_text`]: texts that are given on the command line
//! * [`runtime`]: records and locks of what runs now
//! * [`confine`]: a hypervisor becomes a process that can reach only what its guest needs
//! * [`supervise`]: the process that runs one guest
//! * [`leftovers`]: looking for what dead VMs left
//! * [`shared_mounts`]: file systems that several guests use at once
//! * [`network`]: the host's networks
//! * [`control`], [`console`]: talking to it
//! * [`accel`]: whether KVM really works
//! * [`interrupt`]: signals that ask this command to end
//! * [`proc`]: processes, told apart for sure
//! * [`safe`]: opening files below a guest's or an image's mount point; [`hostfs`]: opening those of the host
//! * `inherited`: limits, priority and signals of the caller
//! * [`arguments`]: arguments that the list of processes must not show
//! * [`confine`]: restrictions for programs that read what others wrote
//! * [`sparse_write`]: writing files so that a full pool does no harm
//!
//! Where kernels differ in how something is *done*, `proc` says so by `cfg`; which host it is, `platform` says as a value.

#![deny(unsafe_code)]
// Tests make the files that are then opened.
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
