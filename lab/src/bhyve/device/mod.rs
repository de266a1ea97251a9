//! bhyve's emulated devices, by family. Each file takes its part of the configuration, refuses what bhyve refuses, and gives
//! QEMU's counterpart at the same place.

pub(crate) mod ahci;
pub(crate) mod block;
pub(crate) mod display;
pub(crate) mod misc;
pub(crate) mod net;
pub(crate) mod passthru;
pub(crate) mod serial;
