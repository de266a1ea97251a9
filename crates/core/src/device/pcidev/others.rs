//! NICs, shares, consoles, displays, sound and passthrough devices.

use super::Owner;
use super::words::{Why, Words, bad};
use crate::device::{
    ConsolePort, Device, Forward, FrameBuffer, Hda, Input, NetBackend, Netgraph, Nic, NicModel, Passthru, ScreenSize, SerialEnd, Share,
    Uart, UserNet, Vga, VirtioConsole, VncListen,
};
use crate::value::printable;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// `None` for a back end that chyves does not know; it is passed to bhyve as it is.
pub(super) fn nic(mut words: Words<'_>, owner: Owner) -> Result<Option<Nic>, Why> {
    const KNOWN: &str = "mac=ADDRESS, mtu=N, and what the back end takes are";
    let model = if words.emulation() == "e1000" { NicModel::E1000 } else { NicModel::VirtioNet };
    let name = words.first().ok_or("it needs a back end, as tap0, vale0:web1, netmap:em0, netgraph or slirp")?;
    let kind = words.take("type").unwrap_or(name);
    let interface = |text: &str| text.parse().map_err(|e| bad(&e));
    let backend = match kind {
        "netgraph" => NetBackend::Netgraph(Netgraph {
            path: words.take("path").unwrap_or_default().to_owned(),
            peerhook: words.take("peerhook").unwrap_or_default().to_owned(),
            socket: words.take("socket").map(str::to_owned),
            hook: words.take("hook").map(str::to_owned),
        }),
        "slirp" => {
            let _ = words.flag("open");
            let rules = words.take("hostfwd").into_iter().flat_map(|rules| rules.split(';'));
            let forwards = rules.map(|rule| rule.parse().map_err(|e| bad(&e))).collect::<Result<Vec<Forward>, Why>>()?;
            NetBackend::User(UserNet { forwards })
        }
        _ if kind.starts_with("tap") || kind.starts_with("vmnet") => NetBackend::Tap(interface(name)?),
        _ if kind.starts_with("vale") => NetBackend::Vale(name.parse().map_err(|e| bad(&e))?),
        _ if kind.starts_with("netmap") => NetBackend::Netmap(interface(name.strip_prefix("netmap:").unwrap_or(name))?),
        _ => return Ok(None),
    };
    let mac = words.value("mac")?.unwrap_or_else(|| owner.mac());
    let nic = Nic { model, backend, mac, mtu: words.parse("mtu")?, queues: 1, bootindex: None };
    words.end(KNOWN).map(|()| Some(nic))
}

/// `NAME=/PATH[,ro]`.
pub(super) fn share(mut words: Words<'_>) -> Result<Share, Why> {
    let ro = words.flag("ro");
    let share = match words.any().and_then(|word| word.split_once('=')) {
        Some((name, path)) if path.starts_with('/') => Share { name: name.to_owned(), path: path.to_owned(), ro },
        _ => return Err("a share is written NAME=/PATH, as share=/usr/share, with ,ro behind it where it is only read".into()),
    };
    words.end("NAME=/PATH once, and ro, are").map(|()| share)
}

/// `NAME=/PATH[,NAME=/PATH]…`: the paths of sockets that bhyve creates.
pub(super) fn console(mut words: Words<'_>) -> Result<VirtioConsole, Why> {
    let port = |word: &str| match word.split_once('=') {
        Some((name, path)) if path.starts_with('/') => Ok(ConsolePort { name: name.to_owned(), socket: path.to_owned() }),
        _ => Err(format!("`{}` is not a port: write NAME=/PATH, as agent=/var/run/web1.sock", printable(word, 40))),
    };
    Ok(VirtioConsole { ports: words.rest().into_iter().map(port).collect::<Result<_, Why>>()? })
}

pub(super) fn input(mut words: Words<'_>) -> Result<Input, Why> {
    let input = Input { path: words.path("an event device, as /dev/input/event0,")? };
    words.end("nothing but the path is").map(|()| input)
}

pub(super) fn screen(mut words: Words<'_>) -> Result<FrameBuffer, Why> {
    let wait = words.flag("wait");
    let bare = words.first();
    let address = words.take("rfb").or_else(|| words.take("tcp")).or(bare);
    let usual = ScreenSize::default();
    let screen = FrameBuffer {
        listen: listen(address)?,
        size: ScreenSize { width: words.parse("w")?.unwrap_or(usual.width), height: words.parse("h")?.unwrap_or(usual.height) },
        vga: match words.take("vga") {
            None | Some("io") => Vga::Io,
            Some("off") => Vga::Off,
            Some("on") => return Err("vga=on is a trap: bhyve takes the word and then has no VNC server; write vga=io or vga=off".into()),
            Some(other) => return Err(format!("`{}` is not a vga: io and off are", printable(other, 20))),
        },
        wait,
        password: words.value("password")?,
    };
    words.end("rfb=[ADDRESS:]PORT, w=N, h=N, vga=io|off, wait and password=TEXT are").map(|()| screen)
}

/// `PORT`, `ADDRESS:PORT`, `unix:/PATH`; loopback and 5900 by default.
fn listen(text: Option<&str>) -> Result<VncListen, Why> {
    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Some(text) = text else { return Ok(VncListen::Tcp(SocketAddr::new(LOOPBACK, 5900))) };
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(VncListen::Unix(path.to_owned()));
    }
    if let Ok(port) = text.trim_start_matches(':').parse() {
        return Ok(VncListen::Tcp(SocketAddr::new(LOOPBACK, port)));
    }
    text.parse()
        .map(VncListen::Tcp)
        .map_err(|_| format!("`{}` is not an address: write PORT, ADDRESS:PORT or unix:/PATH", printable(text, 60)))
}

pub(super) fn usb(mut words: Words<'_>) -> Result<Device, Why> {
    match (words.any(), words.any()) {
        (Some("tablet"), None) => Ok(Device::Tablet),
        _ => Err("`xhci` knows one device: write xhci,tablet".into()),
    }
}

/// `[play=/dev/dspN][,rec=/dev/dspN]`.
pub(super) fn sound(mut words: Words<'_>) -> Result<Hda, Why> {
    let device = Hda { play: words.path_of("play")?, rec: words.path_of("rec")? };
    words.end("play=/PATH and rec=/PATH are").map(|()| device)
}

/// `2/0/0[,rom=/PATH][,bootindex=N]`.
pub(super) fn passthru(mut words: Words<'_>) -> Result<Passthru, Why> {
    let host = words.any().unwrap_or_default().parse().map_err(|e| bad(&e))?;
    let device = Passthru { host, rom: words.path_of("rom")?, bootindex: words.parse("bootindex")? };
    words.end("rom=/PATH and bootindex=N are").map(|()| device)
}

/// `stdio`, `/dev/nmdm…A` or `tcp=ADDRESS:PORT`.
pub(super) fn uart(mut words: Words<'_>) -> Result<Uart, Why> {
    let end = match words.any() {
        Some(text) => serial_end(text)?,
        None => return Err("it needs the other end: a terminal device, or tcp=ADDRESS:PORT".into()),
    };
    words.end("nothing behind the other end is").map(|()| Uart { end })
}

/// Parses the host end of a serial port.
pub(super) fn serial_end(text: &str) -> Result<SerialEnd, Why> {
    if let Some(address) = text.strip_prefix("tcp=") {
        let end: SocketAddr = address.parse().map_err(|_| format!("`{}` is not an ADDRESS:PORT", printable(address, 40)))?;
        if let SocketAddr::V6(v6) = end
            && v6.ip().is_unicast_link_local()
            && v6.scope_id() == 0
        {
            return Err(format!("`{}` is a link-local address, which each interface has of its own", printable(address, 40)));
        }
        return Ok(SerialEnd::Tcp(end));
    }
    match text {
        "stdio" => Ok(SerialEnd::Stdio),
        // Anything else would be opened, and written to, as if it were a terminal.
        path if path.starts_with("/dev/") && !path.split('/').any(|part| part == "..") => Ok(SerialEnd::Device(path.to_owned())),
        other => Err(format!("`{}` is neither a terminal device below /dev nor tcp=ADDRESS:PORT", printable(other, 40))),
    }
}
