//! route(8): routes of the lab's network, by iproute2: `get`, `add`, `change` and `delete` of `default`; `add` and `delete` of
//! networks and hosts through a router.

use serde_json::Value;

use crate::exit::{Done, Or, exit};
use crate::ip;
use crate::place::Place;

const USAGE: &str = "usage: route [-j jail] [-46dnqtv] command [[modifiers] args]";

pub(crate) fn run(_: &Place, args: &[String]) -> Done {
    let mut family = "-4";
    let mut words = Vec::new();
    for arg in args {
        match arg.as_str() {
            "-4" | "-inet" => family = "-4",
            "-6" | "-inet6" => family = "-6",
            "-n" | "-q" | "-v" | "-net" | "-host" => {}
            word if word.starts_with('-') => return exit(64, format!("route: bad keyword: {}\n{USAGE}", &word[1..])),
            word => words.push(word),
        }
    }
    match words[..] {
        ["get", "default"] => get(family),
        ["add", "default", router] => add(family, router),
        ["change", "default", router] => change(family, router),
        ["delete" | "del", "default"] | ["delete" | "del", "default", _] => delete(family),
        ["add", to, router] => {
            if ip::attempt("ip", &[family, "route", "add", to, "via", router])?.is_err() {
                return exit(
                    1,
                    format!(
                        "route: message indicates error: Network is unreachable\nadd net {to}: gateway {router} fib 0: Network is unreachable"
                    ),
                );
            }
            println!("add net {to}: gateway {router}");
            Ok(())
        }
        ["delete" | "del", to, router] => {
            if ip::attempt("ip", &[family, "route", "delete", to, "via", router])?.is_err() {
                return exit(1, format!("route: route has not been found\ndelete net {to}: gateway {router} fib 0: not in table"));
            }
            println!("delete net {to}: gateway {router}");
            Ok(())
        }
        _ => exit(64, USAGE),
    }
}

/// The router and the interface of the default route.
fn present(family: &str) -> Done<Option<(String, String)>> {
    let text = ip::attempt("ip", &["-j", family, "route", "show", "default"])?.or_broken("ip route")?;
    let all: Value = serde_json::from_str(if text.is_empty() { "[]" } else { &text }).or_broken("what `ip -j` printed")?;
    let text = |key: &str| all[0][key].as_str().unwrap_or_default().to_owned();
    Ok(all[0].is_object().then(|| (text("gateway"), text("dev"))))
}

fn get(family: &str) -> Done {
    let Some((router, interface)) = present(family)? else { return exit(1, "route: route has not been found") };
    let (any, mask) = if family == "-6" { ("::", "::") } else { ("default", "default") };
    println!(
        "   route to: {any}\ndestination: {any}\n       mask: {mask}\n    gateway: {router}\n        fib: 0\n  interface: {interface}"
    );
    println!("      flags: <UP,GATEWAY,DONE,STATIC>\n recvpipe  sendpipe  ssthresh  rtt,msec    mtu        weight    expire");
    println!("       0         0         0         0      1500         1         0 ");
    Ok(())
}

fn add(family: &str, router: &str) -> Done {
    if present(family)?.is_some() {
        return exit(1, format!("route: route already in table\nadd net default: gateway {router} fib 0: route already in table"));
    }
    if ip::attempt("ip", &[family, "route", "add", "default", "via", router])?.is_err() {
        return exit(
            1,
            format!(
                "route: message indicates error: Network is unreachable\nadd net default: gateway {router} fib 0: Network is unreachable"
            ),
        );
    }
    println!("add net default: gateway {router}");
    Ok(())
}

fn change(family: &str, router: &str) -> Done {
    if present(family)?.is_none() {
        return exit(1, format!("route: route has not been found\nchange net default: gateway {router} fib 0: not in table"));
    }
    if ip::attempt("ip", &[family, "route", "replace", "default", "via", router])?.is_err() {
        return exit(
            1,
            format!(
                "route: message indicates error: Network is unreachable\nchange net default: gateway {router} fib 0: Network is unreachable"
            ),
        );
    }
    println!("change net default: gateway {router}");
    Ok(())
}

fn delete(family: &str) -> Done {
    if present(family)?.is_none() {
        return exit(1, "route: route has not been found\ndelete net default fib 0: not in table");
    }
    ip::run(&[family, "route", "delete", "default"])?;
    println!("delete net default");
    Ok(())
}
