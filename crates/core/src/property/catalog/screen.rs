//! Rows of the guest's display.

use super::BASE;
use crate::property::choices::Mouse;
use crate::property::kind::Kind;
use crate::property::reach::{self, Reaches};
use crate::property::{Property, Unset};

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "vnc",
        kind: Kind::OnOff,
        unset: Unset::Value("off"),
        aliases: &["uefi_console_output"],
        summary: "whether the guest has a VNC display",
        detail: "on adds a display that is reached by VNC; the serial console stays.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "vnc_address",
        aliases: &["uefi_vnc_ip"],
        kind: Kind::Listen,
        unset: Unset::Value("127.0.0.1"),
        summary: "the address that VNC listens on",
        detail: "The default is reachable from the host alone; tunnel to it with ssh -L.",
        reach: Reaches::When { words: "opens a port, where the address is not loopback", of: reach::address },
        ..BASE
    },
    Property {
        key: "vnc_port",
        aliases: &["uefi_vnc_port"],
        kind: Kind::Count { min: 0, max: 65535 },
        unset: Unset::Value("0"),
        summary: "the port that VNC listens on",
        detail: "0 takes the first free one from 5900. QEMU takes ports from 5900 alone.",
        reach: Reaches::When { words: "opens a port, where it is not 0", of: reach::port },
        ..BASE
    },
    Property {
        key: "vnc_resolution",
        aliases: &["uefi_vnc_res"],
        kind: Kind::Resolution,
        unset: Unset::Value("1024x768"),
        summary: "the size of the display",
        detail: "Width and height in pixels, from 640x480 to 3840x2160.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "vnc_mouse",
        aliases: &["uefi_vnc_mouse_type"],
        kind: Kind::Choice(Mouse::WORDS),
        unset: Unset::Value("usb3"),
        summary: "the pointer that the display has",
        detail: "usb3 is a tablet, whose pointer follows yours; ps2 is for guests without a driver for it.",
        reach: Reaches::Never,
        ..BASE
    },
];
