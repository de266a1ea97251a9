//! OpenPGP: `gpgv` does the check, and only its status lines are evaluated.

use super::{Keys, bad};
use crate::run;
use crate::safe::Folder;
use crate::small_files::write_private_bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::value::{FilePath, printable};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::thread::JoinHandle;

/// Size limit of the output of `gpgv`, in bytes.
const LINES: u64 = 1 << 20;

/// Temporary files for `gpgv`, removed on drop.
struct Files(Vec<String>);

impl Files {
    fn write(scratch: &str, files: &[(&str, &[u8])]) -> Result<Self> {
        let mut made = Self(Vec::new());
        for (name, bytes) in files {
            let path = format!("{scratch}/{name}");
            write_private_bytes(&path, bytes)?;
            made.0.push(path);
        }
        Ok(made)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            if let Ok((folder, name)) = Folder::of(&FilePath::host(path)) {
                let _ = folder.remove_file(name);
            }
        }
    }
}

/// The command that reads a keyring and then the files in `rest`.
fn command(scratch: &str, rest: &[&str]) -> Cmd {
    let ring = format!("{scratch}/key.gpg");
    Cmd::new("gpgv", ["--status-fd", "2", "--homedir", scratch, "--keyring", &ring].into_iter().chain(rest.iter().copied()))
}

/// The text that was signed, and the signer.
pub(super) fn text(keys: &Keys, text: &[u8], signature: Option<&[u8]>, scratch: &str, shown: &str) -> Result<(Vec<u8>, String)> {
    let at = |name: &str| format!("{scratch}/{name}");
    let (list, beside) = (at("list"), at("list.sig"));
    let mut files = vec![("key.gpg", keys.openpgp.as_slice()), ("list", text)];
    files.extend(signature.map(|bytes| ("list.sig", bytes)));
    let _files = Files::write(scratch, &files)?;
    let cmd = match signature {
        Some(_) => command(scratch, &[&beside, &list]),
        None => command(scratch, &["--output", "-", &list]),
    };
    let output = run::run(&cmd).map_err(missing)?;
    let by = judged(&output.stderr, &keys.fingerprints).map_err(|why| bad(shown, why))?;
    Ok((if signature.is_some() { text.to_vec() } else { output.stdout.into_bytes() }, by))
}

fn missing(problem: Problem) -> Problem {
    problem.hint("`gpgv` is in the package gnupg (FreeBSD) or gpgv (Debian); keys of signify and minisign need no program")
}

/// A signature check in progress: `gpgv` reads the data as it arrives.
pub(crate) struct Running {
    child: Child,
    to: Option<ChildStdin>,
    lines: Option<JoinHandle<String>>,
    fingerprints: Vec<String>,
    shown: String,
    _files: Files,
}

impl Running {
    pub(super) fn begin(keys: &Keys, signature: &[u8], scratch: &str, shown: &str) -> Result<Self> {
        let files = Files::write(scratch, &[("key.gpg", &keys.openpgp), ("image.sig", signature)])?;
        let cmd = command(scratch, &[&format!("{scratch}/image.sig"), "-"]);
        let mut command = run::prepare(&cmd).map_err(missing)?;
        let cant = |e| Problem::host_cant("cannot start `gpgv`").on("gpgv").because(e);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(cant)?;
        let stderr = child.stderr.take();
        // Read concurrently, so that `gpgv` never blocks on its output while we wait for it.
        let lines = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = stderr.by_ref().take(LINES).read_to_end(&mut bytes);
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            }
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let (to, fingerprints) = (child.stdin.take(), keys.fingerprints.clone());
        Ok(Self { child, to, lines: Some(lines), fingerprints, shown: shown.to_owned(), _files: files })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        // If it ended early, the reason is reported at the end.
        if self.to.as_mut().is_some_and(|to| to.write_all(bytes).is_err()) {
            self.to = None;
        }
    }

    pub(super) fn end(mut self) -> Result<String> {
        self.to = None;
        let lines = self.lines.take().and_then(|lines| lines.join().ok()).unwrap_or_default();
        judged(&lines, &self.fingerprints).map_err(|why| bad(&self.shown, why))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Evaluates the status lines of `gpgv` for all signatures; returns who made a good one. Of several signers one trusted one is
/// sufficient, even if others are unknown, expired or revoked; but none of the signatures may be of another text.
fn judged(status: &str, fingerprints: &[String]) -> std::result::Result<String, String> {
    let mut reason = None;
    let mut good = None;
    // Whether the current signature itself is good; its key may still be revoked.
    let mut is_good = false;
    for line in status.lines().filter_map(|line| line.trim().strip_prefix("[GNUPG:] ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let id = printable(words.get(1).copied().unwrap_or("unknown"), 60);
        match words[0] {
            "NEWSIG" => is_good = false,
            "GOODSIG" => is_good = true,
            "BADSIG" => return Err(format!("it does not match the content (key {id})")),
            "REVKEYSIG" => reason = Some(format!("its key {id} was revoked")),
            "EXPKEYSIG" => reason = Some(format!("its key {id} has expired")),
            "EXPSIG" => reason = Some(format!("it has expired (key {id})")),
            "ERRSIG" | "NO_PUBKEY" => {
                reason.get_or_insert(format!("signed by key {id}, which is not trusted"));
            }
            "VALIDSIG" if is_good => {
                // The last word is the fingerprint of the primary key; the first may be that of a subkey.
                let primary = words.last().copied().unwrap_or_default().to_ascii_uppercase();
                if fingerprints.is_empty() || fingerprints.contains(&primary) {
                    good.get_or_insert(format!("the OpenPGP key {}", printable(&primary, 60)));
                } else {
                    reason = Some(format!("signed by key {}, expected {}", printable(&primary, 60), fingerprints.join(" or ")));
                }
            }
            _ => {}
        }
    }
    good.ok_or_else(|| reason.unwrap_or_else(|| "there is no OpenPGP signature".to_owned()))
}

/// Keys as bytes, with armour removed.
pub(super) fn binary(keys: &[u8]) -> Option<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(keys) else {
        // The first byte of an OpenPGP packet has the highest bit set.
        return keys.first().filter(|first| **first & 0x80 != 0).map(|_| keys.to_vec());
    };
    let mut all = Vec::new();
    for block in text.split("-----BEGIN PGP PUBLIC KEY BLOCK-----").skip(1) {
        let lines = block.lines().map(str::trim).skip(1);
        let body: String = lines.skip_while(|l| !l.is_empty()).take_while(|l| !l.starts_with("-----END") && !l.starts_with('=')).collect();
        all.extend(STANDARD.decode(body).ok()?);
    }
    Some(all).filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_signer_of_several_is_enough_and_one_of_another_text_is_too_much() {
        let any = |status: &str| judged(status, &[]);
        let good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 1 x\n[GNUPG:] VALIDSIG ABC 2026-01-01 0 0 4 0 1 10 00 DEF\n";
        assert_eq!(any(good).unwrap(), "the OpenPGP key DEF");
        let unknown = "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG 77 1 2\n[GNUPG:] NO_PUBKEY 77\n";
        let expired = "[GNUPG:] NEWSIG\n[GNUPG:] EXPKEYSIG 9 y\n[GNUPG:] VALIDSIG 9 2026-01-01 0 0 4 0 1 10 00 9\n";
        let revoked = "[GNUPG:] NEWSIG\n[GNUPG:] REVKEYSIG 9 y\n[GNUPG:] VALIDSIG 9 2026-01-01 0 0 4 0 1 10 00 9\n";
        for other in [unknown, expired, revoked] {
            assert!(any(&format!("gpgv: x\n{other}{good}")).is_ok() && any(&format!("{good}{other}")).is_ok(), "{other}");
            assert!(any(other).is_err(), "{other}");
        }
        assert!(any(unknown).unwrap_err().contains("77"));
        assert!(any(expired).unwrap_err().contains("expired") && any(revoked).unwrap_err().contains("revoked"));
        assert!(any(&format!("{good}[GNUPG:] NEWSIG\n[GNUPG:] BADSIG 9 y\n")).unwrap_err().contains("does not match"));
        assert!(any("gpgv: Good signature\n").is_err() && any("").is_err());
        // If fingerprints are required, a signature by another key does not count.
        assert!(judged(good, &["DEF".into()]).is_ok());
        assert!(judged(good, &["ABC".into()]).unwrap_err().contains("expected ABC"));
    }

    #[test]
    fn armour_is_taken_off() {
        let armoured = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nAQID\nBA==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(binary(armoured).unwrap(), [1, 2, 3, 4]);
        assert_eq!(binary(&[&armoured[..], armoured].concat()).unwrap(), [1, 2, 3, 4, 1, 2, 3, 4]);
        assert_eq!(binary(b"nonsense"), None);
        assert_eq!(binary(&[0x99, 0xff]).unwrap(), [0x99, 0xff]);
    }
}
