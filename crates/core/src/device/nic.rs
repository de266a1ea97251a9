//! NICs: the model that the guest sees and the host's back end.
//!
//! Not here: creating taps and bridges (`os`), and the default MAC address of a NIC (`Mac::derived`).

use crate::value::{BadValue, IfName, Mac, choices};
use std::net::Ipv4Addr;
use std::str::FromStr;

/// One NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// The model that the guest sees.
    pub model: NicModel,
    /// The host's back end.
    pub backend: NetBackend,
    /// The MAC address; always stated, because hypervisors derive a default from names and PCI addresses.
    pub mac: Mac,
    /// The MTU that is announced to the guest; `virtio-net` only.
    pub mtu: Option<u16>,
    /// Number of queue pairs; more than one only with `virtio-net` on QEMU.
    pub queues: u16,
    /// The boot index for booting from the network (QEMU).
    pub bootindex: Option<u32>,
}

choices! {
    /// The model of a NIC.
    NicModel: "is not a model of a NIC" {
        /// `virtio-net`.
        VirtioNet = "virtio-net",
        /// Intel's 82545.
        E1000 = "e1000",
    }
}

/// The host's back end of a NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetBackend {
    /// A tap interface, which must exist.
    Tap(IfName),
    /// A port of a VALE switch, which is created when it is opened.
    Vale(ValePort),
    /// A whole interface of the host, through netmap.
    Netmap(IfName),
    /// A hook of a netgraph node.
    Netgraph(Netgraph),
    /// No interface: the hypervisor's built-in network (QEMU's user network, bhyve's slirp).
    User(UserNet),
}

impl NetBackend {
    /// Its name in messages.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Tap(_) => "tap",
            Self::Vale(_) => "vale",
            Self::Netmap(_) => "netmap",
            Self::Netgraph(_) => "netgraph",
            Self::User(_) => "user",
        }
    }
}

/// A port of a VALE switch, `vale0:web1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValePort(String);

impl FromStr for ValePort {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let fine = text.strip_prefix("vale").and_then(|rest| rest.split_once(':')).is_some_and(|(switch, port)| word(switch) && word(port));
        if fine && text.len() <= 15 {
            return Ok(Self(text.to_owned()));
        }
        Err(BadValue::new(text, "is not a port of a VALE switch")
            .hint("write valeSWITCH:PORT with letters, digits and `_`, 15 characters in all, as vale0:web1"))
    }
}

impl std::fmt::Display for ValePort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl ValePort {
    /// The default port of a NIC on a switch, derived from the guest's UUID, so that no two NICs get the same one.
    ///
    /// # Errors
    /// The switch's name is too long to append a port.
    pub fn derived(switch: &str, guest: uuid::Uuid, nic: u16) -> Result<Self, BadValue> {
        let hash = uuid::Uuid::new_v5(&guest, format!("vale{nic}").as_bytes()).simple().to_string();
        let room = 15usize.saturating_sub(switch.len() + 1).min(8);
        format!("{switch}:{}", &hash[..room]).parse()
    }
}

/// The address of a netgraph node, `lan:`, optionally with a hook, `lan:link2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphHook {
    /// The node's address.
    pub path: String,
    /// The hook.
    pub hook: Option<String>,
}

impl FromStr for GraphHook {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let word =
            |part: &str| !part.is_empty() && part.len() <= 31 && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        match text.split_once(':') {
            Some((node, hook)) if word(node) && (hook.is_empty() || word(hook)) => {
                Ok(Self { path: format!("{node}:"), hook: (!hook.is_empty()).then(|| hook.to_owned()) })
            }
            _ => Err(BadValue::new(text, "is not a netgraph node").hint("write NODE: or NODE:HOOK, as lan: or lan:link2")),
        }
    }
}

impl std::fmt::Display for GraphHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}{}", self.path, self.hook.as_deref().unwrap_or_default()))
    }
}

/// A hook of a netgraph node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netgraph {
    /// The node's address, such as `lan:`.
    pub path: String,
    /// The hook of that node, such as `link2`.
    pub peerhook: String,
    /// The name of bhyve's own socket node.
    pub socket: Option<String>,
    /// The hook of bhyve's own node, `vmlink` unless set.
    pub hook: Option<String>,
}

/// The hypervisor's built-in user network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserNet {
    /// Forwarded ports.
    pub forwards: Vec<Forward>,
}

/// A port of the host that is forwarded to the guest: `tcp:127.0.0.1:2222-10.0.2.15:22`, also `tcp::2222-:22`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The host's address; the loopback address by default.
    pub host: Ipv4Addr,
    /// The host's port.
    pub host_port: u16,
    /// The guest's address, if stated.
    pub guest: Option<Ipv4Addr>,
    /// The guest's port.
    pub guest_port: u16,
}

/// The protocols that can be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl FromStr for Forward {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = || {
            BadValue::new(text, "is not a port forwarding")
                .hint("write PROTOCOL:HOST:PORT-GUEST:PORT, as tcp:127.0.0.1:2222-10.0.2.15:22 or tcp::2222-:22")
        };
        let (protocol, rest) = text.split_once(':').ok_or_else(refuse)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(refuse()),
        };
        let end = |part: &str| -> Result<(Option<Ipv4Addr>, u16), BadValue> {
            let (address, port) = part.rsplit_once(':').ok_or_else(refuse)?;
            let address = if address.is_empty() { None } else { Some(address.parse().map_err(|_| refuse())?) };
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            let port = port.parse().ok().filter(|port| digits && *port > 0).ok_or_else(refuse)?;
            Ok((address, port))
        };
        let (host, guest) = rest.split_once('-').ok_or_else(refuse)?;
        let ((host, host_port), (guest, guest_port)) = (end(host)?, end(guest)?);
        Ok(Self { protocol, host: host.unwrap_or(Ipv4Addr::LOCALHOST), host_port, guest, guest_port })
    }
}

impl std::fmt::Display for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let guest = self.guest.map(|g| g.to_string()).unwrap_or_default();
        write!(f, "{}:{}:{}-{guest}:{}", self.protocol, self.host, self.host_port, self.guest_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_listen_on_loopback_unless_told() {
        let forward: Forward = "tcp::2222-:22".parse().unwrap();
        assert_eq!(forward.to_string(), "tcp:127.0.0.1:2222-:22");
        assert_eq!("udp:0.0.0.0:53-10.0.2.15:53".parse::<Forward>().unwrap().to_string(), "udp:0.0.0.0:53-10.0.2.15:53");
        for bad in ["", "tcp", "tcp::2222", "icmp::1-:2", "tcp::0-:22", "tcp::70000-:22", "tcp:host:1-:2", "tcp::1-:2,x=y", "tcp::+1-:2"] {
            assert!(bad.parse::<Forward>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_vale_port_is_short() {
        assert!("vale0:web1".parse::<ValePort>().is_ok());
        for bad in ["vale0", "vale:1", "vale0:", "vale0:a-b", "vale0:a:b", "tap0", "vale0:longer_than_15", "vale0:a,b"] {
            assert!(bad.parse::<ValePort>().is_err(), "{bad}");
        }
    }
}
