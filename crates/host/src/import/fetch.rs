//! A file from a server as one stream, even if the transfer is interrupted: each piece is stored as it arrives, and after an
//! interruption the rest is requested.
//!
//! Not here: the protocols (`http`, `ftp`), and storing the pieces (`part`).

use super::chunks::{carried, problem};
use super::digest::stops;
use super::hints;
use super::part::{Part, Whole};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::image::public;
use chyves_core::value::{Size, printable};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The body of an answer, and what the server reported about the whole file.
pub(super) struct Answer {
    /// Offset in the file at which the body begins.
    pub(super) from: u64,
    pub(super) whole: Whole,
    pub(super) body: Box<dyn Read + Send>,
    /// The host that sent it.
    pub(super) place: String,
}

/// A file on a server.
pub(super) trait Remote: Send {
    /// Requests the file from offset `from`, if it is still the version with this `validator`. The server may answer with the
    /// whole file.
    fn open(&mut self, from: u64, validator: Option<&str>) -> Result<Answer>;
    /// Whether more data arrived than was announced, as far as that is known at the end of a body.
    fn went_on(&self) -> bool;
}

/// State of the transfer for other threads.
#[derive(Debug, Default)]
pub(super) struct Status {
    /// Whether the partial download is useful for another try.
    pub(super) keep: AtomicBool,
    /// Total size in bytes; 0 if unknown.
    pub(super) total: std::sync::atomic::AtomicU64,
    /// Number of bytes that came from an earlier try.
    pub(super) had: std::sync::atomic::AtomicU64,
    /// The host of each piece.
    pub(super) places: std::sync::Mutex<Vec<String>>,
}

impl Status {
    fn came_from(&self, place: &str) {
        if let Ok(mut places) = self.places.lock() {
            places.push(place.to_owned());
        }
    }

    /// Why a file that arrived in pieces may be inconsistent; none if it arrived in one piece.
    pub(super) fn pieces(&self) -> Option<String> {
        let places = self.places.lock().ok().filter(|places| places.len() > 1)?;
        let hosts: std::collections::BTreeSet<&str> = places.iter().map(String::as_str).collect();
        let from = hosts.into_iter().map(|host| printable(host, 100)).collect::<Vec<_>>().join(", ");
        Some(format!(
            "it came in {} pieces, from {from}: servers that hold different files under one name make such a mixture",
            places.len()
        ))
    }
}

/// The stream.
pub(super) struct Fetch {
    address: String,
    remote: Box<dyn Remote>,
    part: Option<Part>,
    body: Option<Box<dyn Read + Send>>,
    /// Offset up to which the bytes of an earlier try are read.
    replayed: u64,
    at: u64,
    whole: Whole,
    retries: u32,
    left: u32,
    stop: Arc<AtomicBool>,
    status: Arc<Status>,
}

impl Fetch {
    /// Starts the transfer, or resumes a partial download.
    pub(super) fn begin(
        address: &str,
        mut remote: Box<dyn Remote>,
        mut part: Option<Part>,
        retries: u32,
        stop: Arc<AtomicBool>,
        status: Arc<Status>,
    ) -> Result<Self> {
        let known = part.as_ref().map(|p| (p.length, p.whole.clone())).filter(|(n, w)| *n > 0 && w.validator.is_some());
        let (had, whole) = known.unwrap_or_default();
        // Even if this try fails, the existing part is useful for another one.
        status.keep.store(had > 0, Ordering::SeqCst);
        let mut fetch = |from: u64, validator: Option<&str>| remote.open(from, validator);
        let (body, replayed, whole) = if had > 0 && whole.total == Some(had) {
            // The download was complete, and a later stage failed.
            (None, had, whole)
        } else {
            let answer = fetch(had, whole.validator.as_deref())?;
            let same = had > 0 && answer.from == had && agrees(&whole, &answer.whole);
            if !same && answer.from != 0 {
                // If it were kept, the next try would be refused as well.
                status.keep.store(false, Ordering::SeqCst);
                return Err(confused(address, (had, &whole), &answer));
            }
            if same {
                status.came_from("an earlier try");
            }
            status.came_from(&answer.place);
            if let (Some(part), false) = (&mut part, same) {
                part.reset()?;
                part.know(answer.whole.clone())?;
            }
            let total = answer.whole.total.or(if same { whole.total } else { None });
            (Some(answer.body), if same { had } else { 0 }, Whole { total, ..answer.whole })
        };
        status.total.store(whole.total.unwrap_or(0), Ordering::SeqCst);
        status.had.store(replayed, Ordering::SeqCst);
        status.keep.store(part.is_some() && whole.validator.is_some() && replayed > 0, Ordering::SeqCst);
        Ok(Self { address: address.to_owned(), remote, part, body, replayed, at: 0, whole, retries, left: retries, stop, status })
    }

    /// After an interruption: waits a little, and requests the rest.
    fn go_on(&mut self, mut why: Problem) -> Result<()> {
        self.body = None;
        while self.whole.validator.is_some() && self.left > 0 {
            self.pause();
            if stops(&self.stop) {
                return Err(super::interrupted(&public(&self.address)));
            }
            self.left -= 1;
            match self.remote.open(self.at, self.whole.validator.as_deref()) {
                Ok(mut answer) => {
                    if !agrees(&self.whole, &answer.whole) || (answer.from != self.at && answer.from != 0) {
                        self.status.keep.store(false, Ordering::SeqCst);
                        return Err(confused(&self.address, (self.at, &self.whole), &answer));
                    }
                    self.status.came_from(&answer.place);
                    // A server without support for ranges sends the whole file: the known part is skipped.
                    let skip = self.at - answer.from;
                    match io::copy(&mut (&mut answer.body).take(skip), &mut io::sink()) {
                        Ok(n) if n == skip => {
                            self.body = Some(answer.body);
                            return Ok(());
                        }
                        Ok(_) => {}
                        Err(e) => why = problem(e, |e| self.cut().because(e)),
                    }
                }
                Err(problem) if problem.code == Kind::Failed => why = problem,
                Err(problem) => return Err(problem),
            }
        }
        Err(why)
    }

    /// The first retry follows at once, the next ones after increasing delays.
    fn pause(&self) {
        let tried = self.retries - self.left;
        let ticks = if tried == 0 { 0 } else { 10u32 << tried.min(6) };
        for _ in 0..ticks {
            if stops(&self.stop) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The problem that the download is incomplete.
    fn cut(&self) -> Problem {
        let shown = public(&self.address);
        let came = Size::bytes(self.at).human();
        let of = self.whole.total.map_or_else(|| format!("{came} came"), |t| format!("{} of {t} bytes arrived", self.at));
        Problem::failed(format!("`{shown}` is incomplete")).on(&shown).because(of)
    }

    fn ended(&mut self) -> Result<bool> {
        match self.whole.total {
            Some(total) if self.at < total => return Ok(false),
            Some(total) if self.at > total => return Err(self.too_long()),
            _ => {}
        }
        if self.body.is_some() && self.remote.went_on() {
            return Err(self.too_long());
        }
        Ok(true)
    }

    fn too_long(&self) -> Problem {
        self.status.keep.store(false, Ordering::SeqCst);
        let shown = public(&self.address);
        Problem::failed(format!("`{shown}` is larger than the announced Content-Length"))
            .on(&shown)
            .because(format!("{} bytes were announced, and more arrived", self.whole.total.unwrap_or(0)))
            .hint("a proxy may have changed the content; try another address: `chyves image fetch ADDRESS`")
    }

    fn next(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            if stops(&self.stop) {
                return Err(super::interrupted(&public(&self.address)));
            }
            if self.at < self.replayed {
                let most = usize::try_from(self.replayed - self.at).unwrap_or(usize::MAX).min(into.len());
                let n = self.part.as_ref().map_or(Ok(0), |p| p.read(self.at, &mut into[..most]));
                let n = n.map_err(|e| lost("cannot read the partial download").because(e))?;
                if n == 0 {
                    return Err(lost("the partial download changed while it was read"));
                }
                self.at += n as u64;
                return Ok(n);
            }
            let result = self.body.as_mut().map(|body| body.read(into));
            let why = match result {
                Some(Ok(n)) if n > 0 => {
                    if let Some(part) = &mut self.part {
                        part.add(&into[..n])?;
                        self.status.keep.store(self.whole.validator.is_some(), Ordering::SeqCst);
                    }
                    self.at += n as u64;
                    self.left = self.retries;
                    return Ok(n);
                }
                Some(Err(e)) if e.kind() == io::ErrorKind::Interrupted => continue,
                Some(Err(e)) => problem(e, |e| self.cut().because(e)),
                Some(Ok(_)) | None => {
                    if self.ended()? {
                        return Ok(0);
                    }
                    self.cut().because("the server ended the transfer")
                }
            };
            self.go_on(why)?;
        }
    }
}

impl Read for Fetch {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.next(into).map_err(carried)
    }
}

/// Whether two answers concern the same version of a file.
fn agrees(before: &Whole, now: &Whole) -> bool {
    let total = before.total.is_none() || now.total.is_none() || before.total == now.total;
    total && before.validator == now.validator
}

fn confused(address: &str, before: (u64, &Whole), answer: &Answer) -> Problem {
    let shown = public(address);
    let (at, whole) = before;
    let told = |whole: &Whole| {
        let length = whole.total.map_or_else(|| "of unknown length".to_owned(), |n| format!("of {n} bytes"));
        format!("{length}, version {}", printable(whole.validator.as_deref().unwrap_or("unknown"), 80))
    };
    let now = if agrees(whole, &answer.whole) {
        format!("{} answered with the bytes from {} on, and was asked for those from {at} on", printable(&answer.place, 100), answer.from)
    } else {
        format!("it was {}; {} now has one {}", told(whole), printable(&answer.place, 100), told(&answer.whole))
    };
    Problem::failed(format!("`{shown}` changed while it was fetched"))
        .on(&shown)
        .because(now)
        .hint(format!("mirrors behind one address may differ; what came is deleted, and `{}` starts from scratch", hints::fetch(&shown)))
}

/// The problem that the partial download cannot be used.
fn lost(what: &str) -> Problem {
    Problem::failed(what).hint("`chyves repair` deletes what is kept; the same command then restarts it")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends a few bytes at a time.
    struct Slow {
        file: &'static [u8],
        cut_after: usize,
        knows_parts: bool,
        validators: Vec<&'static str>,
    }

    impl Remote for Slow {
        fn open(&mut self, from: u64, _: Option<&str>) -> Result<Answer> {
            let validator = if self.validators.len() > 1 { self.validators.remove(0) } else { self.validators[0] };
            let from = if self.knows_parts { usize::try_from(from).unwrap() } else { 0 };
            let end = (from + self.cut_after).min(self.file.len());
            let validator = Some(validator.to_owned()).filter(|v| !v.is_empty());
            let whole = Whole { validator, total: Some(self.file.len() as u64) };
            Ok(Answer { from: from as u64, whole, body: Box::new(&self.file[from..end]), place: "h".into() })
        }

        fn went_on(&self) -> bool {
            false
        }
    }

    fn fetched(remote: Slow, part: Option<Part>, retries: u32) -> Result<Vec<u8>> {
        let mut fetch = Fetch::begin("http://h/a", Box::new(remote), part, retries, Arc::default(), Arc::default())?;
        let mut all = Vec::new();
        fetch.read_to_end(&mut all).map_err(|e| problem(e, |e| Problem::bug(e.to_string())))?;
        Ok(all)
    }

    #[test]
    fn a_cut_transfer_goes_on_where_it_was_cut() {
        let file = b"0123456789abcdef";
        let slow =
            |cut_after, knows_parts, validators: &[&'static str]| Slow { file, cut_after, knows_parts, validators: validators.to_vec() };
        assert_eq!(fetched(slow(3, true, &["v"]), None, 1).unwrap(), file);
        assert_eq!(fetched(slow(99, true, &[""]), None, 0).unwrap(), file);
        // Without ranges there is no progress.
        assert!(fetched(slow(3, false, &["v"]), None, 1).unwrap_err().causes[0].contains("3 of 16 bytes"));
        assert!(fetched(slow(3, true, &[""]), None, 9).is_err(), "nobody could tell that the rest is of the same file");
        let changed = fetched(slow(3, true, &["v", "w"]), None, 9).unwrap_err();
        assert!(
            changed.message.contains("changed") && changed.causes[0].contains("16 bytes, version v; h now has one of 16 bytes, version w"),
            "{changed:?}"
        );
    }

    #[test]
    fn what_was_kept_is_not_asked_for_again_and_old_parts_are_thrown_away() {
        let file = b"0123456789abcdef";
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        let slow = |knows_parts, validator| Slow { file, cut_after: 99, knows_parts, validators: vec![validator] };
        let kept = |validator: &str, bytes: &[u8]| {
            let mut part = Part::open(folder, "http://h/a").unwrap();
            part.reset().unwrap();
            part.know(Whole { validator: Some(validator.into()), total: Some(16) }).unwrap();
            part.add(bytes).unwrap();
            part
        };
        // The kept bytes are used unchanged.
        assert_eq!(fetched(slow(true, "v"), Some(kept("v", b"XYZ")), 0).unwrap(), b"XYZ3456789abcdef");
        assert_eq!(fetched(slow(true, "v"), Some(kept("v", b"0123456789abcdef")), 0).unwrap(), file);
        assert_eq!(fetched(slow(false, "w"), Some(kept("v", b"XYZ")), 0).unwrap(), file);
        assert_eq!(std::fs::read(Part::path(folder)).unwrap(), file);
    }
}
