//! Small devices: bridges, shares, input, sound. Each has one or two fields.
//!
//! Not here: families with their own rules, which have their own files.

/// The host bridge that the guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostBridge {
    /// `hostbridge`.
    #[default]
    Intel,
    /// `amd_hostbridge`: the same with AMD's PCI ids.
    Amd,
}

/// A directory of the host that is shared through virtio-9p.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The share's name, which the guest mounts.
    pub name: String,
    /// The host's directory.
    pub path: String,
    /// Read-only.
    pub ro: bool,
}

/// An input device of the host that is passed to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its event device, such as `/dev/input/event3`.
    pub path: String,
}

/// Intel's High Definition Audio.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hda {
    /// The host's playback device, such as `/dev/dsp0`.
    pub play: Option<String>,
    /// The host's recording device.
    pub rec: Option<String>,
}
