//! netstat(1): `-rn` alone, the routes of the lab's network as `ip route` has them.

use serde_json::Value;

use crate::exit::{Done, Or, exit};
use crate::ip;
use crate::place::Place;

pub(crate) fn run(_: &Place, args: &[String]) -> Done {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (family, title) = match words[..] {
        ["-rn" | "-rnW", "-f", "inet"] => ("-4", "Internet"),
        ["-rn" | "-rnW", "-f", "inet6"] => ("-6", "Internet6"),
        _ => return exit(64, "usage: netstat -rn [-W] -f inet | inet6"),
    };
    let text = ip::attempt("ip", &["-j", family, "route", "show"])?.or_broken("ip route")?;
    let all: Value = serde_json::from_str(if text.is_empty() { "[]" } else { &text }).or_broken("what `ip -j` printed")?;
    println!("Routing tables\n\n{title}:");
    println!("{:<25} {:<25} {:<7} {:>6} {:>6} {:>10} {:>6}", "Destination", "Gateway", "Flags", "Nhop#", "Mtu", "Netif", "Expire");
    for route in all.as_array().into_iter().flatten() {
        let text = |key: &str| route[key].as_str().unwrap_or_default();
        let (to, via, dev) = (text("dst"), text("gateway"), text("dev"));
        let host = if to == "default" || to.contains('/') { "" } else { "H" };
        let (gateway, flags) = match (via, text("protocol")) {
            ("", "kernel") => ("link#1", format!("U{host}")),
            ("", _) => ("link#1", format!("U{host}S")),
            (via, _) => (via, format!("UG{host}S")),
        };
        println!("{to:<25} {gateway:<25} {flags:<7} {:>6} {:>6} {dev:>10} {:>6}", 1, 1500, "");
    }
    Ok(())
}
