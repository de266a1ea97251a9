//! Opens a tap as QEMU itself would, so that it can be passed to a hypervisor without privileges.

use crate::hostfs::kernel;
use rustix::ioctl::{Setter, ioctl};
use std::os::fd::OwnedFd;

/// `TUNSETIFF` of `linux/if_tun.h`.
const SET_INTERFACE: rustix::ioctl::Opcode = 0x4004_54ca;
/// `IFF_TAP | IFF_NO_PI | IFF_VNET_HDR`: Ethernet frames with the header that offloading needs.
const FLAGS: u16 = 0x0002 | 0x1000 | 0x4000;
/// `IFF_MULTI_QUEUE`.
const SEVERAL: u16 = 0x0100;

/// `struct ifreq`.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Opens one queue of an existing tap.
pub(super) fn open(name: &str, several: bool) -> std::io::Result<OwnedFd> {
    let bytes = name.as_bytes();
    let mut request = Request { name: [0; 16], flags: if several { FLAGS | SEVERAL } else { FLAGS }, rest: [0; 22] };
    // The name is terminated by a NUL.
    if bytes.len() >= request.name.len() {
        return Err(std::io::Error::other("the name of the tap is too long"));
    }
    // Without this check TUNSETIFF would create a missing tap.
    let any = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)?;
    rustix::net::netdevice::name_to_index(&any, name)?;
    request.name[..bytes.len()].copy_from_slice(bytes);
    let tap = std::os::fd::OwnedFd::from(kernel::device("/dev/net/tun")?);
    // SAFETY: TUNSETIFF reads a `struct ifreq`, whose size and layout `Request` has.
    #[allow(unsafe_code)]
    unsafe {
        ioctl(&tap, Setter::<SET_INTERFACE, Request>::new(request))?;
    }
    Ok(tap)
}
