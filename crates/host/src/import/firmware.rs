//! UEFI firmware that was just written: separated into code and variables, as hypervisors need them and packages provide them.
//!
//! Firmware is a sequence of volumes with a header each. If the first one is the variable store, the file contains both: first
//! the store, which every guest needs a copy of, then the code. A file with code only may be accompanied by a separate store. A
//! file without a header (U-Boot, old builds) is treated as code.
//!
//! Not here: detecting the kind of an image ([`super::content`]), and which files a guest gets (chyves-core `plan::firmware`).

use super::open::regular;
use crate::safe::{Access, Folder, Rule};
use chyves_core::error::{Problem, Result};
use chyves_core::image::{ImageKind, Template};
use chyves_core::value::{Size, printable};
use std::fs::File;
use std::io::Read;

/// Size limit of firmware in bytes, since it is read into memory.
const LIMIT: u64 = 64 << 20;
/// The type GUID of volumes with variables: fff12b8d-7696-4c8b-a985-2747075b4f50.
const STORE: [u8; 16] = [0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c, 0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50];

/// Length of the variable store at the beginning of the bytes; none if there is none.
fn store(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..48).filter(|h| h[16..32] == STORE && &h[40..44] == b"_FVH")?;
    let length = usize::try_from(u64::from_le_bytes(header[32..40].try_into().ok()?)).ok()?;
    (length > 0 && length <= bytes.len()).then_some(length)
}

/// The result of separating firmware.
pub(super) struct Parts {
    /// Size of the code in bytes.
    pub(super) code: u64,
    /// The code's SHA-256, if the code is not the whole original file.
    pub(super) sha256: Option<String>,
    /// The template of the variables.
    pub(super) template: Option<Template>,
}

/// Separates the firmware in a folder: the file keeps the code, and the template of its variables is written beside it. `vars`
/// is a separate file with the variables that the user named.
///
/// # Errors
/// One of the files has another content than expected, or cannot be read or written.
pub(super) fn part(folder: &Folder, vars: Option<&str>, shown: &str) -> Result<Parts> {
    let name = ImageKind::Firmware.file();
    let bytes = read(folder.file(name, Access::Read, Rule::DISK)?, &folder.shown(name).to_string_lossy())?;
    let given = vars.map(|vars| template(vars, &bytes, shown)).transpose()?;
    let split = store(&bytes);
    if split == Some(bytes.len()) {
        return Err(Problem::usage(format!("`{shown}` holds the variables of firmware and no code"))
            .on(shown)
            .hint(format!("import the code with it: `chyves firmware import CODE --vars {shown}`")));
    }
    let (own, code) = bytes.split_at(split.unwrap_or(0));
    let template = match (given, own.is_empty()) {
        (Some(given), _) => Some(given),
        (None, false) => Some(own.to_vec()),
        (None, true) => None,
    };
    if let Some(template) = &template {
        folder.replace(ImageKind::VARS_FILE, template, true)?;
    }
    if !own.is_empty() {
        folder.replace(name, code, true)?;
    }
    Ok(Parts {
        code: code.len() as u64,
        sha256: (!own.is_empty()).then(|| super::digest::sha256(code)),
        template: template.map(|bytes| Template { size: Size::bytes(bytes.len() as u64), sha256: super::digest::sha256(&bytes) }),
    })
}

/// The template that the user named for this firmware.
fn template(path: &str, firmware: &[u8], shown: &str) -> Result<Vec<u8>> {
    let (bytes, name) = (read(regular(path)?.0, path)?, printable(path, 200));
    let refuse = |why: String| {
        Err(Problem::usage(format!("`{name}` is not a template of variables for `{shown}`"))
            .on(&name)
            .because(why)
            .hint("packages of UEFI firmware bring it beside the code: --vars FILE names it"))
    };
    // For firmware without a known header, the user is responsible.
    let known = firmware.get(40..44) == Some(b"_FVH".as_slice());
    if known && store(&bytes) != Some(bytes.len()) {
        return refuse("it is not a store of UEFI variables".to_owned());
    }
    match store(firmware) {
        Some(own) if own != bytes.len() && own != firmware.len() => {
            refuse(format!("it has {} bytes, and the firmware takes {own}", bytes.len()))
        }
        _ if bytes.is_empty() || bytes.len() as u64 > LIMIT => refuse("it is empty or far too large".to_owned()),
        _ => Ok(bytes),
    }
}

fn read(file: File, path: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(crate::small_files::io_problem("read", path))?;
    if bytes.len() as u64 > LIMIT {
        let shown = printable(path, 200);
        return Err(Problem::usage(format!("`{shown}` is not a firmware: it has more than {}", Size::bytes(LIMIT).human()))
            .on(&shown)
            .hint("a disk or an ISO is imported as such: `chyves image import FILE`"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A volume of that type and length.
    fn volume(sort: [u8; 16], length: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; length];
        bytes[..16].fill(0);
        bytes[16..32].copy_from_slice(&sort);
        bytes[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        bytes[40..44].copy_from_slice(b"_FVH");
        bytes
    }

    fn parted(firmware: &[u8], vars: Option<&[u8]>) -> Result<(Parts, Vec<u8>, Option<Vec<u8>>)> {
        let dir = tempfile::tempdir().unwrap();
        let folder = &Folder::open(dir.path()).unwrap();
        fs::write(dir.path().join("image.fd"), firmware).unwrap();
        let file = dir.path().join("given");
        if let Some(vars) = vars {
            fs::write(&file, vars).unwrap();
        }
        let parts = part(folder, vars.map(|_| file.to_str().unwrap()), "firmware.fd")?;
        Ok((parts, fs::read(dir.path().join("image.fd")).unwrap(), fs::read(dir.path().join("vars.fd")).ok()))
    }

    #[test]
    fn whole_firmware_is_parted_and_code_stays_as_it_is() {
        let (code, vars) = (volume([7; 16], 8192), volume(STORE, 4096));
        let whole = [vars.clone(), code.clone()].concat();
        let (parts, kept, template) = parted(&whole, None).unwrap();
        assert_eq!((parts.code, kept, template), (8192, code.clone(), Some(vars.clone())));
        assert_eq!(parts.sha256, Some(super::super::digest::sha256(&code)));
        assert_eq!(parts.template.unwrap().sha256, super::super::digest::sha256(&vars));
        let (parts, kept, template) = parted(&code, None).unwrap();
        assert!(parts.sha256.is_none() && parts.template.is_none() && template.is_none() && kept == code);
        let (parts, _, template) = parted(&code, Some(&vars)).unwrap();
        assert_eq!((parts.template.unwrap().size, template), (Size::bytes(4096), Some(vars.clone())));
        // Another template of the same length may contain other keys.
        let mut other = vars;
        other[4000] = 1;
        assert_eq!(parted(&whole, Some(&other)).unwrap().2, Some(other));
    }

    #[test]
    fn what_is_not_what_it_is_given_for_is_refused() {
        let (code, vars) = (volume([7; 16], 8192), volume(STORE, 4096));
        let why = |firmware: &[u8], vars: Option<&[u8]>| parted(firmware, vars).err().map(|p| p.message).unwrap_or_default();
        assert_eq!(why(&vars, None), "`firmware.fd` holds the variables of firmware and no code");
        assert!(why(&code, Some(&code)).contains("is not a template of variables"));
        let whole = [vars.clone(), code].concat();
        assert!(why(&whole, Some(&volume(STORE, 8192))).contains("is not a template of variables"));
        // U-Boot has no header, so the user's choice of a template is accepted.
        assert_eq!(why(b"u-boot", Some(b"vars")), "");
        assert!(why(b"u-boot", Some(b"")).contains("is not a template of variables"));
    }
}
