//! The client side of a guest's serial ports 2 to 4. There is no supervisor in between: one client at a time, and no log.

use super::{Left, Options, Raw, Signals, Sitting, announce};
use crate::hostfs::kernel;
use crate::platform;
use chyves_core::console::Reach;
use chyves_core::error::{Problem, Result};
use rustix::termios::{OptionalActions, isatty, tcgetattr, tcsetattr};
use std::fs::File;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Timeout of connecting to a port's TCP address.
const WITHIN: Duration = Duration::from_secs(5);

/// Attaches to a port, as [`super::attach`] does to the console. `place` is its name, such as `com2 of web01`.
///
/// # Errors
/// It cannot be opened.
pub fn attach(place: &str, reach: &Reach, options: Options) -> Result<Left> {
    let stdin = std::io::stdin();
    let interactive = isatty(&stdin);
    let mut signals = Signals::new().map_err(|e| Problem::failed("cannot handle signals").because(e))?;
    let far = open(place, reach)?;
    let raw = interactive
        .then(|| Raw::enter(stdin.as_fd()))
        .transpose()
        .map_err(|e| Problem::failed("cannot switch this terminal to raw mode").because(e))?;
    if interactive {
        announce(options, place);
    }
    let way = Sitting::new(far, interactive, options).sit(&mut signals);
    drop(raw);
    // The VM has closed its side.
    Ok(way.unwrap_or(Left::Ended(None)))
}

fn open(place: &str, reach: &Reach) -> Result<OwnedFd> {
    let cant =
        |at: &str, e: &dyn std::fmt::Display| Problem::failed(format!("cannot be placed at {place}")).on(at).because(format!("{at}: {e}"));
    match reach {
        Reach::Tcp(at) => {
            let stream = TcpStream::connect_timeout(at, WITHIN).map_err(|e| cant(&at.to_string(), &e))?;
            // Sends each key at once.
            let _ = stream.set_nodelay(true);
            Ok(stream.into())
        }
        Reach::Device(path) => {
            let device = kernel::device(platform::here().path(path)).map_err(|e| cant(path, &e))?;
            raw(&device).map_err(|e| cant(path, &e))?;
            Ok(device.into())
        }
    }
}

/// Disables echo on this side, which would return each byte to the guest.
fn raw(device: &File) -> std::io::Result<()> {
    let mut modes = tcgetattr(device)?;
    modes.make_raw();
    Ok(tcsetattr(device, OptionalActions::Now, &modes)?)
}
