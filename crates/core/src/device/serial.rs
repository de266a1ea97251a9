//! Serial ports and their host ends: the four ports of the PC, PCI ports, and virtio consoles.
//!
//! Not here: the supervisor's console server that owns the first port.

use std::net::SocketAddr;

/// The host end of a serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SerialEnd {
    /// The guest's console, which the supervisor holds; its form depends on the hypervisor.
    Console,
    /// A terminal device of the host, such as `/dev/nmdm1A`.
    Device(String),
    /// A UNIX socket that the hypervisor listens on (QEMU).
    Socket(String),
    /// A TCP port that the hypervisor listens on; one client, no password.
    Tcp(SocketAddr),
    /// The hypervisor's own standard input and output.
    Stdio,
}

/// A serial port on the PCI bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uart {
    /// Its host end.
    pub end: SerialEnd,
}

/// A virtio console with up to 16 named ports, each a UNIX socket that the hypervisor creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtioConsole {
    /// Its ports.
    pub ports: Vec<ConsolePort>,
}

/// One port of a virtio console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsolePort {
    /// The port's name in the guest.
    pub name: String,
    /// The socket's path; it must not exist yet.
    pub socket: String,
}

impl VirtioConsole {
    /// Maximum number of ports of one device.
    pub const PORTS: usize = 16;
}

impl SerialEnd {
    /// The host's path that it opens, if it has one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Device(path) | Self::Socket(path) => Some(path),
            Self::Console | Self::Tcp(_) | Self::Stdio => None,
        }
    }
}
