//! The display: a frame buffer that is shown over VNC, and a tablet for an accurate pointer position.
//!
//! Not here: which address and port are free (the supervisor tries them), and the file of the VNC password.

use crate::value::BadValue;
use std::net::SocketAddr;
use std::str::FromStr;

/// A frame buffer with a VNC server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameBuffer {
    /// Where VNC listens.
    pub listen: VncListen,
    /// Width and height in pixels.
    pub size: ScreenSize,
    /// Whether VGA I/O ports are emulated.
    pub vga: Vga,
    /// Whether the guest waits for the first VNC client.
    pub wait: bool,
    /// The password, if one is set.
    pub password: Option<VncPassword>,
}

/// Where a VNC server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VncListen {
    /// An address and port.
    Tcp(SocketAddr),
    /// A UNIX socket's path.
    Unix(String),
}

/// VGA I/O ports. There is no `on`: bhyve accepts that word but then starts no VNC server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vga {
    /// The hypervisor's default.
    #[default]
    Io,
    /// Not emulated.
    Off,
}

/// A display's size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScreenSize {
    /// 640 to 3840.
    pub width: u16,
    /// 480 to 2160.
    pub height: u16,
}

impl Default for ScreenSize {
    fn default() -> Self {
        Self { width: 1024, height: 768 }
    }
}

impl FromStr for ScreenSize {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = || BadValue::new(text, "is not a display size").hint("write WIDTHxHEIGHT, from 640x480 to 3840x2160");
        let (width, height) = text.split_once('x').ok_or_else(refuse)?;
        let number = |part: &str, range: std::ops::RangeInclusive<u16>| {
            let n = part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten();
            n.filter(|n| range.contains(n)).ok_or_else(refuse)
        };
        Ok(Self { width: number(width, 640..=3840)?, height: number(height, 480..=2160)? })
    }
}

impl std::fmt::Display for ScreenSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A VNC password: 1 to 8 printable ASCII characters, because VNC ignores the rest. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct VncPassword(String);

impl VncPassword {
    /// The password itself, for the file that only the hypervisor reads.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for VncPassword {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        // The text is not repeated, because it may be a password of something else.
        Err(BadValue::new("…", "is not a VNC password").hint("1 to 8 letters, digits and signs: VNC uses no more than 8"))
    }
}

impl std::fmt::Debug for VncPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VncPassword(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_has_bounds() {
        assert_eq!("800x600".parse::<ScreenSize>().unwrap(), ScreenSize { width: 800, height: 600 });
        for bad in ["", "800", "800x", "x600", "320x200", "4000x600", "800x600x3", "+800x600", "0x0"] {
            assert!(bad.parse::<ScreenSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_never_leaks() {
        let password: VncPassword = "s3cret".parse().unwrap();
        assert!(!format!("{password:?}").contains("s3cret"));
        assert!(!"far too long a secret".parse::<VncPassword>().unwrap_err().to_string().contains("long"));
    }
}
