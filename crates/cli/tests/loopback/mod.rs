//! Servers on loopback that answer well, or badly in one stated way: HTTP, FTP, a proxy.
//!
//! Not here: what chyves makes of it.

#![allow(dead_code, unreachable_pub)] // no test file needs all of it
#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How a file is given.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Whole, with a validator, and in parts where asked for.
    File(Vec<u8>),
    /// Whole, with nothing that would tell one version from another.
    Plain(Vec<u8>),
    /// In chunks.
    Chunked(Vec<u8>),
    /// In chunks that end without the last one.
    ChunkedCut(Vec<u8>),
    /// So many bytes more are announced than come.
    Short(Vec<u8>, usize),
    /// So many bytes more come than are announced.
    Long(Vec<u8>, usize),
    /// Every answer is cut after so many bytes; the rest is given where asked for.
    Cuts(Vec<u8>, usize),
    /// The same, but it is another version each time.
    CutsAndChanges(Vec<u8>, usize),
    /// Whole, as a version that is shorter than what anybody has of it.
    Shrunk(Vec<u8>),
    /// So many bytes, and then nothing, until the other side hangs up.
    Silent(Vec<u8>, usize),
    /// A page.
    Page,
    /// This status, with a page.
    Status(u16),
    /// Compressed by the server, though it was asked not to.
    Packed(Vec<u8>),
    /// Busy at the server's first request.
    Busy(Vec<u8>),
    /// Whole, with this `Content-Disposition`.
    Named(Vec<u8>, String),
    /// Cut in the middle, and the rest from another file of the same length and the same validator.
    Mixed(Vec<u8>, Vec<u8>),
    /// Somewhere else.
    Redirect(String),
}

/// A web server.
pub struct Server {
    pub port: u16,
    files: Arc<Mutex<HashMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), files: Arc::default(), asked: Arc::default() };
        let (files, asked) = (server.files.clone(), server.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, asked) = (files.clone(), asked.clone());
                std::thread::spawn(move || drop(serve(stream, &files, &asked)));
            }
        });
        server
    }

    /// From now on the server gives this file so.
    pub fn gives(&self, path: &str, reply: Reply) {
        self.files.lock().unwrap().insert(path.to_owned(), reply);
    }

    pub fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The heads of the requests that came since this was asked last.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn serve(mut stream: TcpStream, files: &Mutex<HashMap<String, Reply>>, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(head) = head(&mut reader) else { return Ok(()) };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let range = head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let tries = {
        let mut asked = asked.lock().unwrap();
        asked.push(head);
        asked.len()
    };
    let reply = files.lock().unwrap().get(&path).cloned().unwrap_or(Reply::Status(404));
    let is_head = asked.lock().unwrap().last().is_some_and(|head| head.starts_with("HEAD "));
    let mut send = |head: &str, body: &[u8]| {
        let body = if is_head { &[] } else { body };
        stream.write_all(&[format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat())
    };
    let tag = "ETag: \"one\"";
    let chunk = |body: &[u8]| [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
    let part = |body: &[u8], from: usize, tag: &str| {
        let left = body.len() - from;
        format!("206 Partial Content\r\nContent-Length: {left}\r\nContent-Range: bytes {from}-{}/{}\r\n{tag}", body.len() - 1, body.len())
    };
    match reply {
        Reply::File(body) => match range {
            Some(from) => send(&part(&body, from, tag), &body[from..]),
            None => send(&format!("200 OK\r\nContent-Length: {}\r\n{tag}", body.len()), &body),
        },
        Reply::Plain(body) => send(&format!("200 OK\r\nContent-Length: {}", body.len()), &body),
        Reply::Chunked(body) => send("200 OK\r\nTransfer-Encoding: chunked", &[chunk(&body), b"0\r\n\r\n".to_vec()].concat()),
        Reply::ChunkedCut(body) => send("200 OK\r\nTransfer-Encoding: chunked", &chunk(&body)),
        Reply::Short(body, more) => send(&format!("200 OK\r\nContent-Length: {}", body.len() + more), &body),
        Reply::Long(body, more) => send(&format!("200 OK\r\nContent-Length: {}", body.len() - more), &body),
        Reply::Cuts(body, after) => match range {
            Some(from) => send(&part(&body, from, tag), &body[from..body.len().min(from + after)]),
            None => send(&format!("200 OK\r\nContent-Length: {}\r\n{tag}", body.len()), &body[..after]),
        },
        Reply::CutsAndChanges(body, after) => {
            let tag = format!("ETag: \"{tries}\"");
            match range {
                Some(from) => send(&part(&body, from, &tag), &body[from..]),
                None => send(&format!("200 OK\r\nContent-Length: {}\r\n{tag}", body.len()), &body[..after]),
            }
        }
        Reply::Shrunk(body) => match range {
            Some(_) => send(&format!("416 No\r\nContent-Length: 0\r\nContent-Range: bytes */{}", body.len()), b""),
            None => send(&format!("200 OK\r\nContent-Length: {}\r\nETag: \"shrunk\"", body.len()), &body),
        },
        Reply::Silent(body, after) => {
            send(&format!("200 OK\r\nContent-Length: {}\r\n{tag}", body.len()), &body[..after])?;
            // Until the other side hangs up.
            reader.read_to_end(&mut Vec::new()).map(drop)
        }
        Reply::Page => send("200 OK\r\nContent-Type: text/html", b"<!DOCTYPE html><html><body>Please log in</body></html>"),
        Reply::Packed(body) => send(&format!("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}", body.len()), &body),
        Reply::Busy(_) if tries == 1 => send("503 Busy\r\nContent-Length: 0\r\nRetry-After: 0", b""),
        Reply::Busy(body) => send(&format!("200 OK\r\nContent-Length: {}", body.len()), &body),
        Reply::Status(status) => send(&format!("{status} No\r\nContent-Length: 4"), b"No.\n"),
        Reply::Named(body, name) => send(&format!("200 OK\r\nContent-Length: {}\r\nContent-Disposition: {name}", body.len()), &body),
        Reply::Mixed(body, other) => match range {
            Some(from) => send(&part(&other, from, tag), &other[from..]),
            None => send(&format!("200 OK\r\nContent-Length: {}\r\n{tag}", body.len()), &body[..body.len() / 2]),
        },
        Reply::Redirect(to) => send(&format!("302 Found\r\nContent-Length: 0\r\nLocation: {to}"), b""),
    }?;
    stream.shutdown(Shutdown::Write)?;
    // A close with something unread would take back what was sent.
    reader.read_to_end(&mut Vec::new()).map(drop)
}

/// An FTP server with one file, which it cuts off once after so many bytes. What it was told.
pub fn ftp(file: Vec<u8>, cut_after: usize) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = told.clone();
    std::thread::spawn(move || {
        let mut cut = Some(cut_after);
        for stream in listener.incoming().flatten() {
            let _ = session(stream, &file, &mut cut, &heard);
        }
    });
    (port, told)
}

fn session(mut stream: TcpStream, file: &[u8], cut: &mut Option<usize>, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220-Welcome\r\n220 ready\r\n")?;
    let data = TcpListener::bind("127.0.0.1:0")?;
    let mut from = 0;
    for line in reader.lines() {
        let line = line?;
        heard.lock().unwrap().push(line.clone());
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match verb {
            "USER" if rest == "nobody" => "530 not you".to_owned(),
            "USER" => "331 and the password?".to_owned(),
            "PASS" => "230 come in".to_owned(),
            "TYPE" => "200 fine".to_owned(),
            "SIZE" if rest == "images/disk.img" => format!("213 {}", file.len()),
            "MDTM" => "213 20260131120000".to_owned(),
            "EPSV" => format!("229 there (|||{}|)", data.local_addr()?.port()),
            "REST" => {
                from = rest.parse().unwrap();
                "350 from there".to_owned()
            }
            "RETR" if rest == "images/disk.img" => {
                stream.write_all(b"150 here it comes\r\n")?;
                let (mut to, _) = data.accept()?;
                let end = cut.take().map_or(file.len(), |n| file.len().min(from + n));
                to.write_all(&file[from..end])?;
                "226 done".to_owned()
            }
            _ => "550 no".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}
