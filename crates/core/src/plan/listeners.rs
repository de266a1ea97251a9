//! The TCP addresses that a guest's own devices listen on: each can be one device's only.

use crate::device::{Device, SerialEnd};
use crate::error::{Problem, Result};
use crate::guest::{Guest, Spec};
use std::net::{IpAddr, SocketAddr};

/// Refuses two devices that would listen on one port of one address. A display whose port is chosen at the start is no such
/// device: `devices` hold a placeholder of its port.
///
/// # Errors
/// Two of them overlap.
pub(super) fn distinct<'a>(
    guest: &Guest,
    spec: &Spec,
    serial: &'a [Option<SerialEnd>],
    devices: impl Iterator<Item = (String, &'a Device)>,
) -> Result<()> {
    let tcp = |end: &SerialEnd| if let SerialEnd::Tcp(address) = end { Some(*address) } else { None };
    let ports = serial.iter().zip(1..).filter_map(|(end, n)| Some((format!("com{n}"), tcp(end.as_ref()?)?)));
    let uarts = devices.filter_map(|(key, device)| if let Device::Uart(uart) = device { Some((key, tcp(&uart.end)?)) } else { None });
    let display = spec.screen.as_ref().filter(|screen| screen.port != 0);
    let display = display.map(|screen| ("vnc".to_owned(), SocketAddr::new(screen.address, screen.port)));
    let all: Vec<(String, SocketAddr)> = display.into_iter().chain(ports).chain(uarts).collect();
    for (at, (second, theirs)) in all.iter().enumerate() {
        if let Some((first, address)) = all[..at].iter().find(|(_, address)| overlap(*address, *theirs)) {
            return Err(Problem::usage(format!(
                "{second} of `{}` cannot listen on {theirs}: its {first} listens on {address}",
                guest.name
            ))
            .on(&guest.name)
            .hint(format!("`chyves set {} {second}=…` takes another port", guest.name)));
        }
    }
    Ok(())
}

/// Whether a socket at one address keeps another from listening at the other. All addresses of a host include each one, and
/// those of IPv6 those of IPv4 as well.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    // Port 0 stands for any free one.
    let all = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4() || b.is_unspecified());
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port() && one.port() != 0 && (a == b || all(a, b) || all(b, a))
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn addresses_overlap_where_one_is_part_of_the_other() {
        for (one, other, wanted) in [
            ("127.0.0.1:5000", "127.0.0.1:5000", true),
            ("127.0.0.1:5000", "127.0.0.1:5001", false),
            ("127.0.0.1:5000", "127.0.0.2:5000", false),
            ("0.0.0.0:5000", "127.0.0.1:5000", true),
            ("0.0.0.0:5000", "[::1]:5000", false),
            ("[::]:5000", "127.0.0.1:5000", true),
            ("[::]:5000", "[::1]:5000", true),
            ("[::]:5000", "0.0.0.0:5000", true),
            ("[::ffff:127.0.0.1]:5000", "127.0.0.1:5000", true),
            ("0.0.0.0:0", "127.0.0.1:0", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((overlap(one, other), overlap(other, one)), (wanted, wanted), "{one} {other}");
        }
    }
}
