//! `http:` and `https:`: one request per answer, with the system's certificates, the environment's proxies, and limits for
//! redirects and inactivity.
//!
//! Not here: what happens after an interruption (`fetch`), and explaining failures (`failure`).

use super::chunks::carried;
use super::failure::{explain, is_about_certificates, refused};
use super::fetch::{Answer, Remote};
use super::part::Whole;
use super::watch::Watch;
use super::{hints, proxy};
use crate::interrupt;
use base64::Engine as _;
use chyves_core::error::{Problem, Result};
use chyves_core::image::{encoded, percent_decoded, public};
use chyves_core::value::printable;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ureq::http::{HeaderMap, Response, StatusCode, Version};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector, DefaultConnector};
use ureq::{Agent, Error};

/// Maximum number of redirects.
const REDIRECTS: u32 = 10;

/// A file on a web server.
pub(super) struct Http {
    /// The open connections, so that another thread can close them.
    open: Open,
    address: String,
    login: Option<String>,
    silence: u32,
    more: Arc<AtomicBool>,
    /// Number of waits for a busy server so far.
    waits: u32,
    /// Set to stop.
    stop: Arc<AtomicBool>,
}

/// Maximum number of retries if the server reports that it is busy.
const WAITS: u32 = 5;
/// Longest wait for a busy server in seconds, and the wait if it states none.
const LONGEST: u64 = 120;
const USUAL: u64 = 5;

/// Whether the answer is that the server is busy, so that waiting helps.
fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// The number of seconds that the server requests to wait: a number, or a time (RFC 9110, 10.2.3) relative to the server's own
/// clock.
fn after(headers: &HeaderMap) -> u64 {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let seconds = text("retry-after").and_then(|value| {
        let until = || time_of(value)?.checked_sub(text("date").and_then(time_of)?);
        value.parse().ok().or_else(until)
    });
    seconds.unwrap_or(USUAL).min(LONGEST)
}

/// Parses `Sun, 06 Nov 1994 08:49:37 GMT`, the form that servers must send, as seconds since 1970.
fn time_of(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, clock, "GMT"] = words[..] else { return None };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|m| *m == month)? as u64;
    let (day, year): (u64, u64) =
        (day.parse().ok().filter(|d| (1..=31).contains(d))?, year.parse().ok().filter(|y| (1970..=9999).contains(y))?);
    let mut parts = clock.split(':').map(|part| part.parse::<u64>().ok().filter(|n| *n < 61));
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    // Number of days in a calendar whose year begins in March.
    let (y, m) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

/// The request in progress.
pub(super) type Open = Arc<Mutex<Option<Agent>>>;

impl Http {
    pub(super) fn new(address: &str, silence: u32) -> Self {
        let (address, login) = without_login(address);
        Self { open: Open::default(), address, login, silence, more: Arc::default(), waits: 0, stop: Arc::default() }
    }

    /// Makes the transfer stop when this flag is set.
    pub(super) fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..self }
    }

    fn wait(&self, seconds: u64) {
        if seconds > 1 {
            interrupt::note(&format!("the server of {} is busy: trying again in {seconds} s", printable(&public(&self.address), 200)));
        }
        let (until, signals) = (std::time::Instant::now() + Duration::from_secs(seconds), interrupt::count());
        let stops = || self.stop.load(Ordering::SeqCst) || interrupt::count() > signals;
        while std::time::Instant::now() < until && !stops() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A handle to stop the transfer from another thread.
    pub(super) fn agent(&self) -> Open {
        self.open.clone()
    }

    /// One request, without following redirects. `head`: for the headers only.
    fn ask(&self, address: &str, head: bool, from: u64, validator: Option<&str>) -> Result<Response<ureq::Body>> {
        let quiet = Some(Duration::from_secs(u64::from(self.silence)));
        let way = proxy::way(address);
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(way.tunnel)
            .user_agent(concat!("chyves/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .input_buffer_size(1 << 17)
            .timeout_resolve(quiet)
            .timeout_connect(quiet)
            .timeout_recv_response(quiet)
            .timeout_per_read(quiet)
            .timeout_per_write(quiet)
            .build();
        let prefix = way.forward.as_ref().map(|f| f.prefix.clone());
        let connector = DefaultConnector::new().chain(Watch { more: self.more.clone(), prefix });
        let proxy_login = way.forward.as_ref().and_then(|f| f.login.clone());
        let agent = Agent::with_parts(config, connector, proxy::Places::new(way.forward));
        if let Ok(mut open) = self.open.lock() {
            *open = Some(agent.clone());
        }
        // Checked after the agent can be found: whoever stops the transfer from now on closes this connection too.
        if self.stop.load(Ordering::SeqCst) {
            return Err(self.stopped());
        }
        let request = if head { agent.head(address) } else { agent.get(address) };
        let mut request = request.header("connection", "close");
        if let Some(login) = proxy_login {
            request = request.header("proxy-authorization", login);
        }
        // The password is sent only to the host that it is for.
        if let Some(login) = self.login.as_ref().filter(|_| host(address) == host(&self.address)) {
            request = request.header("authorization", login);
        }
        if let (true, Some(validator)) = (from > 0, validator) {
            request = request.header("range", format!("bytes={from}-")).header("if-range", validator);
        }
        request.call().map_err(|e| self.explain(e))
    }

    /// The file name that the server states, if any, and the address after all redirects.
    pub(super) fn look(&self) -> Result<(Option<String>, String)> {
        let mut waits = 0;
        let mut patient = |head: bool| loop {
            let (response, at) = self.follow(head, 0, None)?;
            if !is_busy(response.status()) || waits == WAITS {
                return Ok::<_, Problem>((response, at));
            }
            waits += 1;
            self.wait(after(response.headers()));
        };
        let (mut response, mut at) = patient(true)?;
        // Some servers refuse HEAD but accept GET.
        if !response.status().is_success() {
            (response, at) = patient(false)?;
        }
        if !response.status().is_success() {
            return Err(refused(response.status(), &self.address));
        }
        let header = response.headers().get("content-disposition").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        Ok((header, at))
    }

    /// The answer after all redirects, and its address.
    fn follow(&self, head: bool, from: u64, validator: Option<&str>) -> Result<(Response<ureq::Body>, String)> {
        let mut address = self.address.clone();
        let shown = printable(&public(&self.address), 300);
        for _ in 0..=REDIRECTS {
            let response = self.ask(&address, head, from, validator)?;
            let to = response.headers().get("location").map(|v| encoded(&String::from_utf8_lossy(v.as_bytes())));
            let (true, Some(to)) = (matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308), to) else {
                return Ok((response, address));
            };
            let next = joined(&address, &to);
            let (shown_next, scheme) = (printable(&public(&next), 200), scheme(&next));
            let unsafe_now = scheme == "http" && super::trust::scheme(&address) == "https";
            if unsafe_now || !matches!(scheme.as_str(), "http" | "https") {
                // The address comes from the server, so it is quoted as one word for the shell.
                let hint = match scheme.as_str() {
                    "http" | "https" | "ftp" => format!("if you trust that address: `{} --hash HASH`", hints::fetch(&shown_next)),
                    _ => hints::ANOTHER.to_owned(),
                };
                return Err(Problem::failed(format!("cannot fetch `{shown}`: redirect refused: {shown_next}")).on(&shown).hint(hint));
            }
            address = next;
        }
        Err(Problem::failed(format!("redirect loop at `{shown}`"))
            .on(&shown)
            .because(format!("more than {REDIRECTS} redirects"))
            .hint(hints::ANOTHER))
    }

    /// A transfer that was stopped fails with whatever its closed connection caused, as an agent that is shut down.
    fn explain(&self, error: Error) -> Problem {
        if self.stop.load(Ordering::SeqCst) { self.stopped() } else { explain(error, &self.address, self.silence) }
    }

    fn stopped(&self) -> Problem {
        super::interrupted(&public(&self.address))
    }
}

impl Remote for Http {
    fn open(&mut self, from: u64, validator: Option<&str>) -> Result<Answer> {
        self.more.store(false, Ordering::SeqCst);
        let (response, at) = self.follow(false, from, validator)?;
        let (head, body) = response.into_parts();
        let length = body.content_length();
        let (begins, total) = match head.status {
            StatusCode::OK => (0, length),
            status if is_busy(status) && self.waits < WAITS => {
                self.waits += 1;
                self.wait(after(&head.headers));
                return self.open(from, validator);
            }
            StatusCode::PARTIAL_CONTENT => {
                let (begins, total) = content_range(&head.headers).unwrap_or((u64::MAX, None));
                (begins, total.or_else(|| length.map(|n| begins.saturating_add(n))))
            }
            // The file is not longer than the partial download: it is another version, or the download was complete. Restarts.
            StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => return self.open(0, None),
            status => return Err(refused(status, &self.address)),
        };
        if head.version < Version::HTTP_11 && head.headers.contains_key("transfer-encoding") {
            let shown = printable(&public(&self.address), 300);
            return Err(Problem::failed(format!("the server sends `{shown}` in chunks by HTTP/1.0, which has none"))
                .on(&shown)
                .because("nothing states where the file in the answer begins and ends")
                .hint(hints::ANOTHER));
        }
        let coding = head.headers.get("content-encoding").and_then(|v| v.to_str().ok()).unwrap_or("identity");
        let packed = [".gz", ".tgz", ".xz", ".zst", ".bz2"]
            .iter()
            .any(|ending| self.address.split(['?', '#']).next().unwrap_or_default().ends_with(ending));
        if !coding.eq_ignore_ascii_case("identity") && !packed {
            let shown = printable(&public(&self.address), 300);
            return Err(Problem::failed(format!("the server compresses `{shown}` in transit ({})", printable(coding, 30)))
                .on(&shown)
                .because("compression was not requested; neither the length nor the hash would match the file")
                .hint(hints::ANOTHER));
        }
        let whole = Whole { validator: version(&head.headers), total };
        let body = Body { from: body.into_with_config().limit(u64::MAX).reader(), address: self.address.clone(), silence: self.silence };
        Ok(Answer { from: begins, whole, body: Box::new(body), place: host(&at).unwrap_or_default().to_owned() })
    }

    fn went_on(&self) -> bool {
        self.more.load(Ordering::SeqCst)
    }
}

struct Body<R> {
    from: R,
    address: String,
    silence: u32,
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.from.read(into).map_err(|e| match (e.kind(), Error::from(e)) {
            (io::ErrorKind::Interrupted, _) => io::ErrorKind::Interrupted.into(),
            // The transfer may be resumed; the message then includes what has arrived.
            (kind, Error::Io(e)) if !is_about_certificates(&e) => io::Error::new(kind, e.to_string()),
            (_, error) => carried(explain(error, &self.address, self.silence)),
        })
    }
}

/// Splits an address into the address without login, and the login as a header.
fn without_login(address: &str) -> (String, Option<String>) {
    let found = address.split_once("//").and_then(|(scheme, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (login, host) = rest[..end].rsplit_once('@')?;
        let login = percent_decoded(login)?;
        let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
        Some((format!("{scheme}//{host}{}", &rest[end..]), Some(login)))
    });
    found.unwrap_or_else(|| (address.to_owned(), None))
}

/// What identifies a version of a file: a strong entity tag, or the time of its last change.
fn version(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    text("etag").filter(|tag| tag.starts_with('"')).or_else(|| text("last-modified"))
}

/// Parses `bytes 5-9/10` as (5, 10).
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get("content-range")?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

fn scheme(address: &str) -> String {
    address.split(':').next().unwrap_or_default().to_ascii_lowercase()
}

fn host(address: &str) -> Option<&str> {
    address.split_once("//")?.1.split(['/', '?', '#']).next()
}

/// The target of a redirect, relative to the requested address.
fn joined(from: &str, to: &str) -> String {
    let is_whole = to.split_once("://").is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '?']));
    if is_whole {
        return to.to_owned();
    }
    let (scheme, rest) = from.split_once("://").unwrap_or(("http", from));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(end);
    if let Some(other) = to.strip_prefix("//") {
        return format!("{scheme}://{other}");
    }
    if to.starts_with('/') {
        return format!("{scheme}://{place}{}", without_dots(to));
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
    format!("{scheme}://{place}{}", without_dots(&format!("{folder}{to}")))
}

/// A path without `.` and `..`, which a server need not resolve; `..` does not go above the root.
fn without_dots(path: &str) -> String {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let (path, query) = path.split_at(end);
    let mut parts: Vec<&str> = Vec::new();
    let all: Vec<&str> = path.split('/').skip(1).collect();
    for (index, part) in all.iter().enumerate() {
        let is_last = index + 1 == all.len();
        match *part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
        if is_last && matches!(*part, "." | "..") {
            parts.push("");
        }
    }
    format!("/{}{query}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chyves_core::error::Kind;

    #[test]
    fn a_login_is_no_part_of_the_address() {
        let (address, login) = without_login("https://me:a%40b@h:1/x@y");
        assert_eq!((address.as_str(), login.as_deref()), ("https://h:1/x@y", Some("Basic bWU6YUBi")));
        assert_eq!(without_login("http://h/x@y"), ("http://h/x@y".to_owned(), None));
    }

    #[test]
    fn an_answer_leads_on_from_where_it_was_given() {
        let to = |to: &str| joined("https://h:1/a/b?c=/d", to);
        assert_eq!(to("http://x/y"), "http://x/y");
        assert_eq!(to("//x/y"), "https://x/y");
        assert_eq!(to("/y?u=http://z/"), "https://h:1/y?u=http://z/");
        assert_eq!(to("y"), "https://h:1/a/y");
        assert_eq!(joined("https://h", "y"), "https://h/y");
        assert_eq!(to("../y"), "https://h:1/y");
        assert_eq!(to("../../../y/./z?a=../b"), "https://h:1/y/z?a=../b");
        assert_eq!(to("./.."), "https://h:1/");
    }

    #[test]
    fn a_stopped_transfer_is_interrupted() {
        let closed = || {
            let agent: Agent = Agent::config_builder().build().into();
            agent.clone().shutdown();
            agent.get("http://127.0.0.1:9/x").call().unwrap_err()
        };
        let stop = Arc::new(AtomicBool::new(false));
        let http = Http::new("http://127.0.0.1:9/x", 5).until(stop.clone());
        assert_ne!(http.explain(closed()).code, Kind::Interrupted);
        stop.store(true, Ordering::SeqCst);
        let problem = http.explain(closed());
        assert!(problem.code == Kind::Interrupted && !format!("{problem:?}").contains("gent"), "{problem:?}");
        assert_eq!(http.ask("http://127.0.0.1:9/x", false, 0, None).unwrap_err().code, Kind::Interrupted);
    }

    #[test]
    fn a_server_says_how_long_it_is_busy() {
        let wait = |pairs: &[(&'static str, &'static str)]| {
            after(&pairs.iter().map(|(k, v)| (k.parse::<ureq::http::HeaderName>().unwrap(), v.parse().unwrap())).collect::<HeaderMap>())
        };
        assert_eq!(time_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(time_of("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        assert_eq!(wait(&[("retry-after", "7")]), 7);
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")]), 23);
        assert_eq!(wait(&[("retry-after", "99999")]), LONGEST);
        for odd in ["soon", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 99 Foo 0000 08:49:37 GMT"] {
            assert_eq!(wait(&[("retry-after", odd)]), USUAL, "{odd}");
        }
        assert_eq!(wait(&[]), USUAL);
    }

    #[test]
    fn ranges_and_versions_are_read() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(k, v)| (k.parse::<ureq::http::HeaderName>().unwrap(), v.parse().unwrap())).collect::<HeaderMap>()
        };
        assert_eq!(content_range(&headers(&[("content-range", "bytes 5-9/10")])), Some((5, Some(10))));
        assert_eq!(content_range(&headers(&[("content-range", "bytes 5-9/*")])), Some((5, None)));
        assert_eq!(content_range(&headers(&[("content-range", "bytes */10")])), None);
        assert_eq!(version(&headers(&[("etag", "W/\"weak\""), ("last-modified", "then")])).as_deref(), Some("then"));
        assert_eq!(version(&headers(&[("etag", "\"strong\""), ("last-modified", "then")])).as_deref(), Some("\"strong\""));
        assert_eq!(version(&headers(&[])), None);
    }
}
