//! What a device is called, and what it needs of the host: the one place to look at for a new device besides its renderers.
//!
//! Not here: what a release of bhyve supports (`vmm::bhyve::check`), how the needs are provided (`plan`, chyves-host).

use super::{AhciPort, Device, DiskBus, FrameBuffer, HostBridge, HostDevice, NetBackend, Nic, NicModel, Scsi, ScsiBehind, VncListen};

impl Device {
    /// Its name in messages: bhyve's name of the emulation.
    pub fn word(&self) -> &str {
        match self {
            Self::HostBridge(HostBridge::Intel) | Self::Filler => "hostbridge",
            Self::HostBridge(HostBridge::Amd) => "amd_hostbridge",
            Self::Lpc => "lpc",
            Self::Disk(disk) => match disk.bus {
                DiskBus::VirtioBlk => "virtio-blk",
                DiskBus::AhciHd(_) => "ahci-hd",
                DiskBus::Nvme(_) => "nvme",
            },
            Self::RamDisk(_) => "nvme",
            Self::Optical(_) => "ahci-cd",
            Self::Ahci(_) => "ahci",
            Self::Scsi(_) => "virtio-scsi",
            Self::Nic(nic) => match nic.model {
                NicModel::VirtioNet => "virtio-net",
                NicModel::E1000 => "e1000",
            },
            Self::Rng => "virtio-rnd",
            Self::Share(_) => "virtio-9p",
            Self::Console(_) => "virtio-console",
            Self::Input(_) => "virtio-input",
            Self::FrameBuffer(_) => "fbuf",
            Self::Tablet => "xhci",
            Self::Hda(_) => "hda",
            Self::Passthru(_) => "passthru",
            Self::Uart(_) => "uart",
            Self::Raw(raw) => raw.emulation(),
        }
    }

    /// The host's paths that it opens, in no particular order.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Self::HostBridge(_) | Self::Lpc | Self::RamDisk(_) | Self::Nic(_) | Self::Rng | Self::Tablet | Self::Filler => Vec::new(),
            Self::Raw(raw) => raw.paths(),
            Self::Disk(disk) => vec![&disk.backing.path],
            Self::Optical(drive) => drive.medium.iter().map(|m| m.path.as_str()).collect(),
            Self::Ahci(controller) => controller
                .ports()
                .iter()
                .filter_map(|port| match port {
                    AhciPort::Disk { backing, .. } => Some(backing),
                    AhciPort::Optical(drive) => drive.medium.as_ref(),
                })
                .map(|backing| backing.path.as_str())
                .collect(),
            Self::Scsi(Scsi { behind, .. }) => match behind {
                ScsiBehind::Ctl { device, .. } => device.as_deref().into_iter().collect(),
                ScsiBehind::Targets(targets) => targets.iter().map(|t| t.backing.path.as_str()).collect(),
            },
            Self::Share(share) => vec![&share.path],
            Self::Console(console) => console.ports.iter().map(|p| p.socket.as_str()).collect(),
            Self::Input(input) => vec![&input.path],
            Self::FrameBuffer(screen) => match &screen.listen {
                VncListen::Unix(path) => vec![path],
                VncListen::Tcp(_) => Vec::new(),
            },
            Self::Hda(sound) => sound.play.iter().chain(&sound.rec).map(String::as_str).collect(),
            Self::Passthru(device) => device.rom.as_deref().into_iter().collect(),
            Self::Uart(uart) => uart.end.path().into_iter().collect(),
        }
    }

    /// The files and volumes that contain its disks and media, each with whether it is only read.
    pub fn media(&self) -> Vec<(&str, bool)> {
        match self {
            Self::Disk(disk) => vec![(&disk.backing.path, disk.options.ro)],
            Self::Optical(drive) => drive.medium.iter().map(|medium| (medium.path.as_str(), true)).collect(),
            Self::Ahci(controller) => controller
                .ports()
                .iter()
                .filter_map(|port| match port {
                    AhciPort::Disk { backing, options, .. } => Some((backing.path.as_str(), options.ro)),
                    AhciPort::Optical(drive) => drive.medium.as_ref().map(|medium| (medium.path.as_str(), true)),
                })
                .collect(),
            Self::HostBridge(_)
            | Self::Lpc
            | Self::RamDisk(_)
            | Self::Scsi(_)
            | Self::Nic(_)
            | Self::Rng
            | Self::Share(_)
            | Self::Console(_)
            | Self::Input(_)
            | Self::FrameBuffer(_)
            | Self::Tablet
            | Self::Hda(_)
            | Self::Passthru(_)
            | Self::Uart(_)
            | Self::Filler
            | Self::Raw(_) => Vec::new(),
        }
    }

    /// The paths of its writable disks and the like, which no two devices may share, and whether each is opened read-only.
    pub fn disks(&self) -> Vec<(&str, bool)> {
        match self {
            Self::Disk(disk) => vec![(&disk.backing.path, disk.options.ro)],
            Self::Ahci(controller) => controller
                .ports()
                .iter()
                .filter_map(|port| match port {
                    AhciPort::Disk { backing, options, .. } => Some((backing.path.as_str(), options.ro)),
                    AhciPort::Optical(_) => None,
                })
                .collect(),
            Self::Scsi(scsi) => match &scsi.behind {
                ScsiBehind::Targets(targets) => targets.iter().map(|t| (t.backing.path.as_str(), false)).collect(),
                ScsiBehind::Ctl { .. } => Vec::new(),
            },
            Self::Raw(raw) if raw.is_disk() => {
                let paths = raw.paths();
                // If a device has several disks, it is unknown which one a lone `ro` applies to.
                let ro = paths.len() == 1 && raw.has_word("ro");
                paths.into_iter().map(|path| (path, ro)).collect()
            }
            Self::HostBridge(_)
            | Self::Lpc
            | Self::RamDisk(_)
            | Self::Optical(_)
            | Self::Nic(_)
            | Self::Rng
            | Self::Share(_)
            | Self::Console(_)
            | Self::Input(_)
            | Self::FrameBuffer(_)
            | Self::Tablet
            | Self::Hda(_)
            | Self::Passthru(_)
            | Self::Uart(_)
            | Self::Filler
            | Self::Raw(_) => Vec::new(),
        }
    }

    /// The boot indexes of what it can boot from.
    pub fn bootindexes(&self) -> Vec<u32> {
        let found: Vec<Option<u32>> = match self {
            Self::Disk(disk) => vec![disk.options.bootindex],
            Self::Optical(drive) => vec![drive.bootindex],
            Self::Ahci(controller) => controller
                .ports()
                .iter()
                .map(|port| match port {
                    AhciPort::Disk { options, .. } => options.bootindex,
                    AhciPort::Optical(drive) => drive.bootindex,
                })
                .collect(),
            Self::Scsi(scsi) => vec![scsi.bootindex],
            Self::Nic(nic) => vec![nic.bootindex],
            Self::Passthru(device) => vec![device.bootindex],
            Self::HostBridge(_)
            | Self::Lpc
            | Self::RamDisk(_)
            | Self::Rng
            | Self::Share(_)
            | Self::Console(_)
            | Self::Input(_)
            | Self::FrameBuffer(_)
            | Self::Tablet
            | Self::Hda(_)
            | Self::Uart(_)
            | Self::Filler
            | Self::Raw(_) => Vec::new(),
        };
        found.into_iter().flatten().collect()
    }

    /// The sockets that the hypervisor creates for it.
    pub fn sockets(&self) -> Vec<&str> {
        match self {
            Self::Console(console) => console.ports.iter().map(|port| port.socket.as_str()).collect(),
            Self::HostBridge(_)
            | Self::Lpc
            | Self::Disk(_)
            | Self::RamDisk(_)
            | Self::Optical(_)
            | Self::Ahci(_)
            | Self::Scsi(_)
            | Self::Nic(_)
            | Self::Rng
            | Self::Share(_)
            | Self::Input(_)
            | Self::FrameBuffer(_)
            | Self::Tablet
            | Self::Hda(_)
            | Self::Passthru(_)
            | Self::Uart(_)
            | Self::Filler
            | Self::Raw(_) => Vec::new(),
        }
    }

    /// Its tap, whoever created it.
    pub fn tap(&self) -> Option<&str> {
        if let Self::Nic(Nic { backend: NetBackend::Tap(tap), .. }) = self { Some(tap.as_str()) } else { None }
    }

    /// Its display.
    pub fn display(&self) -> Option<&FrameBuffer> {
        if let Self::FrameBuffer(display) = self { Some(display) } else { None }
    }

    /// The host's device that is passed through as it.
    pub fn passed(&self) -> Option<&HostDevice> {
        if let Self::Passthru(device) = self { Some(&device.host) } else { None }
    }
}
