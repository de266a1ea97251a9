//! The frame buffer with its VNC server.

use crate::bhyve::build::{Build, Node, comma, device_error, listen};
use crate::bhyve::config::{Config, ERROR};
use crate::exit::{Done, Or, exit};
use crate::release::since;

/// `[rfb=|tcp=[ip:]port][,w=][,h=][,vga=][,wait][,password=]`.
pub(crate) fn conf(config: &mut Config, node: &str, conf: &str) -> Done {
    for token in conf.split(',').filter(|token| !token.is_empty()) {
        match token.split_once('=') {
            // The older spelling.
            Some(("tcp", address)) => config.set(format!("{node}rfb"), address),
            Some(_) => config.options(node, token),
            // A port alone is no address: it is kept as a flag that nobody reads.
            None => config.options(node, token),
        }
    }
    Ok(())
}

pub(crate) fn init(build: &mut Build, node: &Node) -> Done {
    if std::mem::replace(&mut build.frame_buffer, true) {
        return device_error("Only one frame buffer device is allowed.");
    }
    let release = build.place.host.release;
    // The smallest and the largest picture. Up to 14 only the largest is looked at, and 0, as which words count, means the largest.
    let (least, most) = if release >= since(15, 0) { ((640, 480), (3840, 2160)) } else { ((0, 0), (1920, 1200)) };
    let width = side(build, node, "w", 1024, (least.0, most.0))?;
    let height = side(build, node, "h", 768, (least.1, most.1))?;
    let (width, height) = (if width == 0 { 1920 } else { width }, if height == 0 { 1080 } else { height });
    match build.get(node, "vga")?.as_deref() {
        None | Some("io" | "off") => {}
        // Documented, and not there: the guest starts, and no VNC server listens.
        Some("on") => {
            eprintln!("pci_fbuf: VGA rendering not enabled");
            return Ok(());
        }
        Some(other) => return device_error(format!("pci_fbuf: invalid vga setting \"{other}\"")),
    }
    let address = build.get(node, "rfb")?.unwrap_or_else(|| "127.0.0.1:5900".to_owned());
    let password = match build.get(node, "password")? {
        None => String::new(),
        Some(password) => {
            let file = build.scratch.join("vnc");
            // DES looks at eight characters.
            std::fs::write(&file, password.chars().take(8).collect::<String>()).or_broken(file.display())?;
            build.arg("-object", format!("secret,id=vnc,file={}", comma(&file)));
            ",password-secret=vnc".to_owned()
        }
    };
    let listener = match address.strip_prefix("unix:") {
        Some(path) if release >= since(15, 1) => format!("unix:{}", comma(&build.place.resolve(path))),
        Some(_) => return device_error(format!("Invalid RFB address \"{address}\"")),
        None => {
            let (host, port) = listen(&address)?;
            let Some(display) = port.checked_sub(5900) else {
                return exit(ERROR, format!("lab: QEMU's VNC server has ports from 5900, not {port}"));
            };
            if host.contains(':') { format!("[{host}]:{display}") } else { format!("{host}:{display}") }
        }
    };
    build.arg("-vnc", format!("{listener}{password}"));
    build.wait_for_viewer = build.config.is_on(&node.key("wait"), false)?;
    build.device(node, "bochs-display", &["edid=on".to_owned(), format!("xres={width}"), format!("yres={height}")])
}

fn side(build: &Build, node: &Node, key: &str, default: u32, bounds: (u32, u32)) -> Done<u32> {
    let Some(text) = build.get(node, key)? else { return Ok(default) };
    let name = if key == "w" { "width" } else { "height" };
    match text.parse::<u32>() {
        Ok(number) if number > bounds.1 => device_error(format!("fbuf: {name} {number} too large")),
        Ok(number) if number < bounds.0 => device_error(format!("fbuf: {name} {number} too small")),
        Ok(number) => Ok(number),
        Err(_) => Ok(0),
    }
}
