//! `ftp:`: reading one file in passive mode, anonymously or with the login in the address.
//!
//! Not here: what happens after an interruption (`fetch`).

use super::fetch::{Answer, Remote};
use super::hints;
use super::part::Whole;
use chyves_core::error::{Problem, Result};
use chyves_core::image::{percent_decoded, public};
use chyves_core::value::printable;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Size limit of a line from the server, in bytes.
const LINE: u64 = 4096;

/// The open sockets, so that another thread can shut them down.
pub(super) type Open = Arc<Mutex<Vec<TcpStream>>>;

/// A file on an FTP server.
pub(super) struct Ftp {
    address: String,
    host: String,
    port: u16,
    user: String,
    password: String,
    path: String,
    silence: Duration,
    open: Open,
}

impl Ftp {
    pub(super) fn new(address: &str, silence: u32) -> Result<Self> {
        let shown = printable(&public(address), 300);
        let wrong = || Problem::usage(format!("`{shown}` is not an address")).on(&shown).hint("write it as ftp://host/path/to/image");
        let rest = address.split_once("//").ok_or_else(wrong)?.1;
        let (place, path) = rest.split_once('/').ok_or_else(wrong)?;
        let (login, place) = place.rsplit_once('@').map_or((None, place), |(login, place)| (Some(login), place));
        let (host, port) = match place.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (place, 21),
        };
        let text = |part: &str| percent_decoded(part).filter(|t| !t.contains(|c: char| c.is_control())).ok_or_else(wrong);
        let (user, password) = match login {
            None => ("anonymous".to_owned(), "chyves@".to_owned()),
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (text(user)?, text(password)?)
            }
        };
        Ok(Self {
            address: address.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            user,
            password,
            path: text(path)?,
            silence: Duration::from_secs(u64::from(silence)),
            open: Open::default(),
        })
    }

    /// A handle to stop the transfer from another thread.
    pub(super) fn sockets(&self) -> Open {
        self.open.clone()
    }

    fn failed(&self, what: &str) -> Problem {
        let shown = printable(&public(&self.address), 300);
        Problem::failed(format!("`{shown}` {what}")).on(&shown)
    }

    fn broken(&self, error: &io::Error) -> Problem {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self
                .failed("is silent")
                .because(format!("no data arrived for {} s", self.silence.as_secs()))
                .hint("--timeout SECONDS waits longer"),
            _ => self.failed("cannot be fetched").because(error),
        }
    }

    fn connect(&self, port: u16) -> Result<TcpStream> {
        let places = (self.host.as_str(), port)
            .to_socket_addrs()
            .map_err(|e| self.failed("cannot be fetched").because(e).hint(hints::named(&self.host)))?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for place in places {
            match TcpStream::connect_timeout(&place, self.silence) {
                Ok(stream) => {
                    let set = stream.set_read_timeout(Some(self.silence)).and_then(|()| stream.set_write_timeout(Some(self.silence)));
                    set.map_err(|e| self.broken(&e))?;
                    if let (Ok(mut open), Ok(copy)) = (self.open.lock(), stream.try_clone()) {
                        open.push(copy);
                    }
                    return Ok(stream);
                }
                Err(e) => last = e,
            }
        }
        Err(self.broken(&last))
    }

    /// Sends a command; returns the code and the last line of the answer.
    fn ask(&self, control: &mut BufReader<TcpStream>, command: &str) -> Result<(u16, String)> {
        control.get_mut().write_all(format!("{command}\r\n").as_bytes()).map_err(|e| self.broken(&e))?;
        self.hear(control)
    }

    fn hear(&self, control: &mut BufReader<TcpStream>) -> Result<(u16, String)> {
        let mut first: Option<String> = None;
        // A multi-line answer ends with its code followed by a blank.
        for _ in 0..1000 {
            let mut line = String::new();
            let n = control.by_ref().take(LINE).read_line(&mut line).map_err(|e| self.broken(&e))?;
            if n == 0 {
                return Err(self.failed("cannot be fetched").because("the server closed the connection"));
            }
            let line = line.trim_end().to_owned();
            let number = line.get(..3).filter(|n| n.bytes().all(|b| b.is_ascii_digit())).map(str::to_owned);
            match (&first, number) {
                (None, Some(number)) if line.as_bytes().get(3) == Some(&b'-') => first = Some(number),
                (None, Some(number)) => return Ok((number.parse().unwrap_or(0), line)),
                (Some(begun), Some(number)) if *begun == number && line.as_bytes().get(3) != Some(&b'-') => {
                    return Ok((number.parse().unwrap_or(0), line));
                }
                (None, None) => break,
                _ => {}
            }
        }
        Err(self
            .failed("cannot be fetched")
            .because("the server is not an FTP server")
            .hint("is it a web server? its addresses begin with https://"))
    }

    fn must(&self, control: &mut BufReader<TcpStream>, command: &str, good: &[u16]) -> Result<String> {
        let (number, line) = self.ask(control, command)?;
        if good.contains(&number) { Ok(line) } else { Err(self.refused(number, &line)) }
    }

    fn refused(&self, number: u16, line: &str) -> Problem {
        let shown = printable(&public(&self.address), 300);
        let because = format!("the server answered {}", printable(line, 200));
        match number {
            550 => Problem::not_found(format!("there is no `{shown}`")).on(&shown).because(because).hint(hints::MOVED),
            530 | 532 => self
                .failed("requires a login")
                .because(because)
                .hint("put a user and a password into the address: `chyves image fetch ftp://USER:PASSWORD@HOST/…`"),
            _ => self.failed("cannot be fetched").because(because),
        }
    }

    /// The port for the data. A host in the server's answer is ignored.
    fn passive(&self, control: &mut BufReader<TcpStream>) -> Result<u16> {
        let (number, line) = self.ask(control, "EPSV")?;
        if number == 229 {
            let port = line.rsplit_once("(|||").and_then(|(_, rest)| rest.split('|').next()?.parse().ok());
            return port.ok_or_else(|| self.refused(number, &line));
        }
        let line = self.must(control, "PASV", &[227])?;
        let numbers: Vec<u16> = line[3..].split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        match numbers[..] {
            [.., high, low] if numbers.len() >= 6 && high < 256 && low < 256 => Ok(high * 256 + low),
            _ => Err(self.refused(227, &line)),
        }
    }
}

impl Remote for Ftp {
    fn open(&mut self, from: u64, _: Option<&str>) -> Result<Answer> {
        if let Ok(mut open) = self.open.lock() {
            open.clear();
        }
        let mut control = BufReader::new(self.connect(self.port)?);
        let (number, line) = self.hear(&mut control)?;
        if number != 220 {
            return Err(self.refused(number, &line));
        }
        if self.must(&mut control, &format!("USER {}", self.user), &[230, 331])?.starts_with("331") {
            self.must(&mut control, &format!("PASS {}", self.password), &[230, 202])?;
        }
        self.must(&mut control, "TYPE I", &[200])?;
        let value = |(number, line): (u16, String)| (number == 213).then(|| line[3..].trim().to_owned());
        let total: Option<u64> = value(self.ask(&mut control, &format!("SIZE {}", self.path))?).and_then(|n| n.parse().ok());
        let changed = value(self.ask(&mut control, &format!("MDTM {}", self.path))?);
        let port = self.passive(&mut control)?;
        let data = self.connect(port)?;
        let begins = if from > 0 && self.ask(&mut control, &format!("REST {from}"))?.0 == 350 { from } else { 0 };
        self.must(&mut control, &format!("RETR {}", self.path), &[125, 150])?;
        // A modification time identifies a version well enough if the length is known too.
        let whole = Whole { validator: changed.filter(|_| total.is_some()), total };
        let silent = (self.failed("is silent"), self.silence);
        Ok(Answer { from: begins, whole, body: Box::new(Body { data, _control: control, silent }), place: self.host.clone() })
    }

    fn went_on(&self) -> bool {
        // Data end with their connection; excess data show in the length.
        false
    }
}

struct Body {
    data: TcpStream,
    /// Kept open: some servers abort the transfer if it is closed early.
    _control: BufReader<TcpStream>,
    silent: (Problem, Duration),
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.data.read(into).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let (problem, silence) = self.silent.clone();
                let problem =
                    problem.because(format!("no data arrived for {} s", silence.as_secs())).hint("--timeout SECONDS waits longer");
                super::chunks::carried(problem)
            }
            _ => e,
        })
    }
}
