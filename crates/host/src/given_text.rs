//! Texts named on the command line: a file, a pipe, or `-` for standard input.
//!
//! Not here: texts that are stored with a guest ([`crate::seed`]).

use crate::hostfs::{self, input::Input};
use chyves_core::cloudinit::TEXT_LIMIT;
use chyves_core::error::{Code, Problem, Result};
use chyves_core::value::printable;
use flate2::read::MultiGzDecoder;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The argument that means standard input.
const STANDARD_INPUT: &str = "-";

/// The content of a text, up to the size limit. Compressed text, which cloud-init accepts too, is decompressed, so that the
/// stored copy is readable.
///
/// # Errors
/// The file cannot be read, is too large, or is not text.
pub fn read(path: &Path) -> Result<String> {
    if path.as_os_str() == STANDARD_INPUT {
        let input = Input::standard().map_err(|e| Problem::failed("cannot read standard input").because(e))?;
        return text(input, "standard input");
    }
    let shown = printable(&path.display().to_string(), 300);
    let cant = |e: &std::io::Error| match e.kind() {
        ErrorKind::NotFound => Code::NoSuchFile.problem(format!("there is no file `{shown}`")).on(&shown),
        _ => Problem::failed(format!("cannot read `{shown}`")).on(&shown).because(e),
    };
    let file = Input::open(path).map_err(|e| cant(&e))?;
    if file.metadata().map_err(|e| cant(&e))?.is_dir() {
        return Err(Problem::usage(format!("cannot read `{shown}`: it is a directory")).on(&shown));
    }
    text(file, &shown)
}

fn text(from: impl Read, shown: &str) -> Result<String> {
    let bytes = bounded(from, shown)?;
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) { bounded(MultiGzDecoder::new(bytes.as_slice()), shown)? } else { bytes };
    let text =
        String::from_utf8(bytes).map_err(|_| Problem::usage(format!("`{shown}` is not text")).on(shown).because("it is not UTF-8"))?;
    if text.contains('\0') {
        return Err(Problem::usage(format!("`{shown}` is not text")).on(shown).because("it holds zero bytes"));
    }
    // Some editors write a byte order mark before the first line, which would hide the type of the text.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn bounded(from: impl Read, shown: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(TEXT_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| hostfs::problem(e, |e| Problem::failed(format!("cannot read `{shown}`")).on(shown).because(e)))?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(Problem::usage(format!("`{shown}` is too large")).on(shown).because(format!("a text has at most {TEXT_LIMIT} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_is_no_text_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("user-data");
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(read(&file).unwrap_err().message.contains("not text"));
        std::fs::write(&file, "a\0b").unwrap();
        assert!(read(&file).unwrap_err().message.contains("not text"));
        std::fs::write(&file, vec![b'x'; usize::try_from(TEXT_LIMIT).unwrap() + 1]).unwrap();
        assert!(read(&file).unwrap_err().message.contains("too large"));
        assert!(read(dir.path()).unwrap_err().message.contains("directory"));
        assert_eq!(read(&dir.path().join("none")).unwrap_err().code.exit_code(), 3);
    }

    #[test]
    fn a_compressed_text_is_unpacked_within_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("user-data.gz");
        let pack = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            packer.write_all(text).unwrap();
            std::fs::write(&file, packer.finish().unwrap()).unwrap();
        };
        pack("\u{feff}#cloud-config\n".as_bytes());
        assert_eq!(read(&file).unwrap(), "#cloud-config\n");
        pack(&vec![b'x'; usize::try_from(TEXT_LIMIT).unwrap() * 4]);
        assert!(read(&file).unwrap_err().message.contains("too large"));
    }
}
