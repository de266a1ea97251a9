//! Access to a guest's serial ports besides the supervisor's console: ports 2 to 4, directly or by cu(1), and the consoles
//! of several guests as windows of tmux(1).
//!
//! Not here: the interactive session (chyves-host).

use crate::cmd::Cmd;
use crate::device::{SerialEnd, parse_serial_end};
use crate::error::{Code, Problem, Result};
use crate::value::GuestName;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The tmux session that contains the windows.
pub const SESSION: &str = "chyves";
/// The tmux window option that stores the guest's name. The window's title is unsuitable: the program in the window can
/// change it, and tmux reads a dot in a title as a pane separator.
const MARK: &str = "@chyves_guest";
/// The speed for cu(1); bhyve's serial ports ignore it.
const SPEED: &str = "115200";

/// Where users connect to a serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A terminal device of the host.
    Device(String),
    /// A TCP port that the hypervisor listens on.
    Tcp(SocketAddr),
}

/// The default terminal for the VM's end of com`number`: side A of an nmdm(4) pair; users open side B.
pub fn terminal(guest: impl Display, number: impl Display) -> String {
    format!("/dev/nmdm-{guest}.{number}A")
}

/// Where users connect to port com`number` of a guest with these serial ports.
///
/// # Errors
/// The guest has no such port, or its host end is not one that users can open.
pub fn reach(guest: &GuestName, serial: &[(u16, String)], number: u16) -> Result<Reach> {
    let port = format!("com{number}");
    let Some((_, text)) = serial.iter().find(|(n, _)| *n == number) else {
        return Err(Code::NoSuchPort
            .problem(format!("`{guest}` has no serial port {port}"))
            .on(guest)
            .hint(format!("`chyves set {guest} {port}={}` gives it one at its next start", terminal(guest, number))));
    };
    let wrong = |why: String| Problem::usage(format!("{port} of `{guest}` cannot be attached to")).on(guest).because(why);
    match parse_serial_end(text).map_err(wrong)? {
        SerialEnd::Tcp(at) => Ok(Reach::Tcp(near(at))),
        SerialEnd::Device(path) => match path.strip_suffix('A') {
            // nmdm(4): the VM uses side A, users side B.
            Some(pair) if path.starts_with("/dev/nmdm") => Ok(Reach::Device(format!("{pair}B"))),
            _ => Err(wrong(format!("its far end is {path}, and who is there hangs on the other side of it"))),
        },
        SerialEnd::Console | SerialEnd::Socket(_) | SerialEnd::Stdio => Err(wrong("its far end is the hypervisor's own".into())),
    }
}

/// A server that listens on all addresses is reached on the loopback address.
fn near(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, at.port())
}

/// cu(1) for a terminal device.
pub fn cu(device: &str) -> Cmd {
    Cmd::new("cu", ["-l", device, "-s", SPEED])
}

/// Lists the session's windows: a line for each, with its number and its guest.
pub fn windows() -> Cmd {
    Cmd::new("tmux", ["list-windows", "-t", &format!("={SESSION}"), "-F", &format!("#{{window_id}} #{{{MARK}}}")])
}

/// The number of a guest's window in that list.
pub fn window_of<'a>(listed: &'a str, guest: &GuestName) -> Option<&'a str> {
    listed.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| *name == guest.as_str()).map(|(id, _)| id)
}

/// Opens a guest's window, which runs `program`; the first one creates the session. Prints the window's number.
pub fn open(first: bool, guest: &GuestName, program: &Cmd) -> Cmd {
    let target = format!("={SESSION}:");
    let place: &[&str] = if first { &["new-session", "-d", "-s", SESSION] } else { &["new-window", "-d", "-t", &target] };
    Cmd::new("tmux", place.iter().copied())
        .args(["-P", "-F", "#{window_id}", "-n", guest.as_str(), "--"])
        .arg(program.program.as_str())
        .args(program.args.iter().map(String::as_str))
}

/// Stores the guest's name in a new window, and keeps the window open after its console has ended, so that the reason can
/// be read.
pub fn mark(window: &str, guest: &GuestName) -> Cmd {
    let set = ["set-option", "-w", "-t", window];
    Cmd::new("tmux", set).args([MARK, guest.as_str(), ";"]).args(set).args(["remain-on-exit", "on"])
}

/// Selects a window.
pub fn select(window: &str) -> Cmd {
    Cmd::new("tmux", ["select-window", "-t", window])
}

/// Attaches to the session: from a terminal, or from within tmux.
pub fn sit(within: bool) -> Cmd {
    Cmd::new("tmux", [if within { "switch-client" } else { "attach-session" }, "-t", &format!("={SESSION}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reached_on_the_side_of_people() {
        let guest: GuestName = "web01".parse().unwrap();
        let serial: Vec<_> =
            ["/dev/nmdm-web01.2A", "tcp=0.0.0.0:7003", "/dev/cuau1"].into_iter().zip(2..).map(|(t, n)| (n, t.to_owned())).collect();
        assert_eq!(reach(&guest, &serial, 2).unwrap(), Reach::Device("/dev/nmdm-web01.2B".into()));
        assert_eq!(reach(&guest, &serial, 3).unwrap(), Reach::Tcp("127.0.0.1:7003".parse().unwrap()));
        assert!(reach(&guest, &serial, 4).unwrap_err().causes[0].contains("/dev/cuau1"));
        assert_eq!(reach(&guest, &[], 2).unwrap_err().hints, ["`chyves set web01 com2=/dev/nmdm-web01.2A` gives it one at its next start"]);
        assert_eq!(cu("/dev/nmdm-web01.2B").to_string(), "cu -l /dev/nmdm-web01.2B -s 115200");
    }

    #[test]
    fn near_names_have_windows_of_their_own() {
        let guest = |name: &str| name.parse::<GuestName>().unwrap();
        let listed = "@1 web.1\n@4 web\n@9 \n";
        assert_eq!(window_of(listed, &guest("web")), Some("@4"));
        assert_eq!(window_of(listed, &guest("web.1")), Some("@1"));
        assert_eq!(window_of(listed, &guest("web.2")), None);
        let program = Cmd::new("chyves", ["console", "web.1"]);
        assert_eq!(
            open(false, &guest("web.1"), &program).to_string(),
            "tmux new-window -d -t =chyves: -P -F '#{window_id}' -n web.1 -- chyves console web.1"
        );
        assert_eq!(
            mark("@1", &guest("web.1")).to_string(),
            "tmux set-option -w -t @1 @chyves_guest web.1 ';' set-option -w -t @1 remain-on-exit on"
        );
    }
}
