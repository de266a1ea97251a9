//! Explains errors of web servers, and of the connections to them.
//!
//! Not here: the requests (`http`).

use super::{hints, proxy};
use chyves_core::error::Problem;
use chyves_core::image::public;
use chyves_core::value::printable;
use std::io;
use ureq::Error;
use ureq::http::{StatusCode, Uri};

/// The problem for an error status.
pub(super) fn refused(status: StatusCode, address: &str) -> Problem {
    let shown = printable(&public(address), 300);
    let said = status.canonical_reason().unwrap_or("no reason given");
    let because = format!("the server answered {} {said}", status.as_u16());
    match status.as_u16() {
        404 | 410 => Problem::not_found(format!("there is no `{shown}`")).on(&shown).because(because).hint(hints::MOVED),
        407 => Problem::failed(format!("`{shown}` cannot be fetched"))
            .on(&shown)
            .because(because)
            .hint("the proxy requires a user and password: `http_proxy=http://USER:PASSWORD@HOST:PORT chyves image fetch ADDRESS`"),
        401 | 403 => Problem::failed(format!("`{shown}` requires a login"))
            .on(&shown)
            .because(because)
            .hint("put a user and a password into the address: `chyves image fetch https://USER:PASSWORD@HOST/…`"),
        500..=599 => Problem::failed(format!("`{shown}` cannot be fetched"))
            .on(&shown)
            .because(because)
            .hint("the server reports an error of its own, which may be temporary"),
        _ => Problem::failed(format!("`{shown}` cannot be fetched")).on(&shown).because(because),
    }
}

/// The problem for a request without an answer.
pub(super) fn explain(error: Error, address: &str, silence: u32) -> Problem {
    let shown = printable(&public(address), 300);
    let failed = |what: &str| Problem::failed(format!("`{shown}` {what}")).on(&shown);
    let way = proxy::way(address);
    let proxied =
        (way.tunnel.is_some() || way.forward.is_some()).then(|| "a proxy is used: the environment's http_proxy or https_proxy".to_owned());
    match error {
        Error::Timeout(_) => failed("is silent").because(format!("no data arrived for {silence} s")).hint("--timeout SECONDS waits longer"),
        Error::HostNotFound => {
            failed("cannot be fetched").because("its host is unknown").hint_if(proxied).hint(hints::named(&host(address)))
        }
        Error::Io(e) if hints::is_of_a_name(&e) => {
            failed("cannot be fetched").because(e).hint_if(proxied).hint(hints::named(&host(address)))
        }
        Error::BadUri(why) => failed("is not an address").because(printable(&why, 200)).hint("write it as https://host/path/to/image"),
        Error::Io(e) if is_about_certificates(&e) => unsafe_server(&shown, &e.to_string()),
        Error::Rustls(e) => unsafe_server(&shown, &e.to_string()),
        Error::Io(e) => failed("cannot be fetched").because(e).hint_if(proxied),
        other => failed("cannot be fetched").because(printable(&other.to_string(), 200)).hint_if(proxied),
    }
}

/// The host name of an address.
fn host(address: &str) -> String {
    let uri = address.parse::<Uri>().ok();
    printable(uri.as_ref().and_then(Uri::host).unwrap_or("HOST"), 300)
}

/// Whether an error concerns certificates, and is not an interrupted transfer.
pub(super) fn is_about_certificates(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

fn unsafe_server(shown: &str, why: &str) -> Problem {
    Problem::failed(format!("the server of `{shown}` cannot be trusted")).on(shown).because(why).hint(format!(
        "this system's certificates decide that; others, such as those of your own proxy, are named so: `SSL_CERT_FILE=FILE {}`",
        hints::fetch(shown)
    ))
}
