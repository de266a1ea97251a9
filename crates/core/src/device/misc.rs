//! Small devices: bridges, shares, input, sound. Each has a field or two.
//!
//! Not here: families with rules of their own, which have files of their own.

/// Whose host bridge the guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostBridge {
    /// `hostbridge`.
    #[default]
    Intel,
    /// `amd_hostbridge`: the same with AMD's numbers.
    Amd,
}

/// A folder of the host shared by virtio-9p.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What the guest mounts.
    pub name: String,
    /// The host's folder.
    pub path: String,
    /// Read-only.
    pub ro: bool,
}

/// An input device of the host handed to the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its event device, as `/dev/input/event3`.
    pub path: String,
}

/// Intel's High Definition Audio.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hda {
    /// The host's device for playing, as `/dev/dsp0`.
    pub play: Option<String>,
    /// The host's device for recording.
    pub rec: Option<String>,
}
