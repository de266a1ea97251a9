//! What a VM's QEMU process must access on its host besides its descriptors, and why that is more than usual.

use crate::confinement::{How, Network, Show};
use crate::device::{Device, FrameBuffer, FwCfgContent, HostDevice, NetBackend, Nic, Protocol, SerialEnd, Tpm, VncListen};
use crate::vmm::machine::Machine;

/// What one QEMU process needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Files, folders and devices that QEMU opens by path.
    pub shows: Vec<Show>,
    /// Its network access.
    pub network: Network,
    /// Whether it makes sockets that listen itself.
    pub listens: bool,
    /// Whether it must be root to access files of other users.
    pub owns_files: bool,
    /// Whether the VM's memory is locked.
    pub locks_memory: bool,
    /// Why the confinement cannot be as strict as usual.
    pub reasons: Vec<String>,
}

/// What the QEMU process of a VM needs.
pub fn reach(machine: &Machine) -> Reach {
    let spec = machine.spec();
    let mut found = Found::default();
    for device in machine.devices().values() {
        found.device(device);
    }
    for end in spec.serial.iter().flatten() {
        found.serial(end);
    }
    if let Some(Tpm::Passthru { device }) = &spec.tpm {
        found.show(device, How::Node);
        // QEMU cancels TPM commands through a file in /sys.
        found.show("/sys", How::Folder);
    }
    for item in &spec.fw_cfg {
        if let FwCfgContent::File(path) = &item.content {
            found.show(path, How::Copy);
        }
    }
    let Found { shows, listens, connects, udp, uses_network, owns_socket, owns_files, reasons } = found;
    let makes_sockets = owns_socket || !listens.is_empty();
    let network = if uses_network { Network::Host { listens, connects, udp } } else { Network::Private };
    Reach { shows, network, listens: makes_sockets, owns_files, locks_memory: spec.memory.wired, reasons }
}

#[derive(Default)]
struct Found {
    shows: Vec<Show>,
    listens: Vec<u16>,
    connects: bool,
    udp: Vec<u16>,
    uses_network: bool,
    owns_socket: bool,
    owns_files: bool,
    reasons: Vec<String>,
}

impl Found {
    fn show(&mut self, path: &str, how: How) {
        if !self.shows.iter().any(|show| show.path == path) {
            self.shows.push(Show { path: path.to_owned(), how });
        }
    }

    fn listen(&mut self, port: u16) {
        self.uses_network = true;
        self.listens.push(port);
    }

    fn serial(&mut self, end: &SerialEnd) {
        match end {
            SerialEnd::Device(path) => self.show(path, How::Node),
            SerialEnd::Tcp(at) => self.listen(at.port()),
            // These are opened for it.
            SerialEnd::Console | SerialEnd::Socket(_) | SerialEnd::Stdio => {}
        }
    }

    fn device(&mut self, device: &Device) {
        match device {
            Device::Nic(Nic { backend: NetBackend::User(net), .. }) => {
                self.uses_network = true;
                self.connects = true;
                for forward in &net.forwards {
                    match forward.protocol {
                        Protocol::Tcp => self.listens.push(forward.host_port),
                        Protocol::Udp => self.udp.push(forward.host_port),
                    }
                }
            }
            Device::FrameBuffer(FrameBuffer { listen, .. }) => match listen {
                VncListen::Tcp(at) => self.listen(at.port()),
                VncListen::Unix(path) => {
                    let folder = path.rsplit_once('/').map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder });
                    self.show(folder, How::WritableFolder);
                    self.owns_socket = true;
                    self.owns_files = true;
                    self.reasons.push(format!("it runs as root in its sandbox, since it makes the socket {path}"));
                }
            },
            Device::Share(share) => {
                self.show(&share.path, if share.ro { How::Folder } else { How::WritableFolder });
                self.owns_files = true;
                self.reasons.push(format!("it runs as root in its sandbox, since the files of {} keep their owners", share.path));
            }
            Device::Input(input) => self.show(&input.path, How::Node),
            Device::Hda(sound) => {
                for path in sound.play.iter().chain(&sound.rec) {
                    self.show(path, How::Node);
                }
            }
            Device::Passthru(device) => {
                if let HostDevice::Address(at) = device.host {
                    let path = format!("/sys/bus/pci/devices/0000:{:02x}:{:02x}.{:x}", at.slot.bus, at.slot.slot, at.function);
                    self.show(&path, How::Passthrough);
                }
                if let Some(rom) = &device.rom {
                    self.show(rom, How::Copy);
                }
            }
            Device::Uart(uart) => self.serial(&uart.end),
            // What these need is opened for it, or they need nothing of the host.
            Device::HostBridge(_)
            | Device::Lpc
            | Device::Filler
            | Device::Disk(_)
            | Device::RamDisk(_)
            | Device::Optical(_)
            | Device::Ahci(_)
            | Device::Scsi(_)
            | Device::Nic(_)
            | Device::Rng
            | Device::Console(_)
            | Device::Tablet
            | Device::Raw(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{NicModel, Share};
    use crate::vmm::fixture::{bare, built, nic, one, screen, tap, user_net};

    fn of(device: Device) -> Reach {
        reach(&built(one(device)))
    }

    #[test]
    fn a_guest_of_disks_and_taps_needs_no_network_and_no_file() {
        let reach = reach(&built(bare()));
        assert_eq!((reach.network, reach.shows.len(), reach.owns_files, reach.listens), (Network::Private, 0, false, false));
        assert_eq!(of(nic(NicModel::VirtioNet, tap("tap0"))).network, Network::Private);
    }

    #[test]
    fn vnc_listens_and_the_network_of_qemu_connects() {
        assert_eq!(of(Device::FrameBuffer(screen())).network, Network::Host { listens: vec![5901], connects: false, udp: vec![] });
        assert_eq!(of(nic(NicModel::VirtioNet, user_net())).network, Network::Host { listens: vec![2222], connects: true, udp: vec![53] });
    }

    #[test]
    fn it_makes_sockets_that_listen_for_a_display_and_for_forwarded_ports_alone() {
        assert!(of(Device::FrameBuffer(screen())).listens);
        let unix = FrameBuffer { listen: VncListen::Unix("/run/x/vnc".into()), ..screen() };
        assert!(of(Device::FrameBuffer(unix)).listens);
        let mut user = nic(NicModel::VirtioNet, user_net());
        assert!(of(user.clone()).listens);
        if let Device::Nic(Nic { backend: NetBackend::User(net), .. }) = &mut user {
            net.forwards.retain(|forward| forward.protocol == Protocol::Udp);
        }
        assert!(!of(user).listens, "UDP has none");
    }

    #[test]
    fn a_shared_folder_needs_root_and_says_so() {
        let share = of(Device::Share(Share { name: "src".into(), path: "/usr/src".into(), ro: true }));
        assert!(share.owns_files && share.reasons[0].contains("/usr/src"), "{share:?}");
        assert_eq!(share.shows, [Show { path: "/usr/src".into(), how: How::Folder }]);
    }
}
