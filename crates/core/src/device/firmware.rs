//! Devices that a guest's firmware uses: the TPM, and fw_cfg items.

use crate::value::BadValue;
use std::str::FromStr;

/// A trusted platform module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tpm {
    /// The host's own.
    Passthru {
        /// Its device, as `/dev/tpm0`.
        device: String,
    },
    /// An emulated one.
    Swtpm {
        /// The socket that `swtpm` listens on.
        socket: String,
    },
}

/// `passthru,/dev/tpm0` or `swtpm,/path/of/socket`, as in bhyve's -l after `tpm,`.
impl FromStr for Tpm {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once(',') {
            Some(("passthru", path)) if path.starts_with("/dev/") => Ok(Self::Passthru { device: path.to_owned() }),
            Some(("swtpm", path)) if path.starts_with('/') => Ok(Self::Swtpm { socket: path.to_owned() }),
            _ => {
                Err(BadValue::new(text, "is not a TPM").hint("write passthru,/dev/tpm0 or swtpm,/PATH of the socket that swtpm listens on"))
            }
        }
    }
}

/// A fw_cfg item for the guest's firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfg {
    /// Its name; user-defined ones begin with `opt/`.
    pub name: String,
    /// Its content.
    pub content: FwCfgContent,
}

/// The content of a fw_cfg item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FwCfgContent {
    /// The text itself.
    Text(String),
    /// A file's path.
    File(String),
}

/// `NAME,string=TEXT` or `NAME,file=/PATH`, as in bhyve's -f.
impl FromStr for FwCfg {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse =
            |why: &str| BadValue::new(text, why).hint("write NAME,string=TEXT or NAME,file=/PATH; names of your own begin with opt/");
        let (name, rest) = text.split_once(',').ok_or_else(|| refuse("has a name alone"))?;
        let fine = |b: u8| b.is_ascii_graphic() && b != b'=';
        if name.is_empty() || name.len() > 55 || !name.bytes().all(fine) {
            return Err(refuse("has no name of a firmware item"));
        }
        let content = match rest.split_once('=') {
            Some(("string", text)) if !text.is_empty() => FwCfgContent::Text(text.to_owned()),
            Some(("file", path)) if path.starts_with('/') => FwCfgContent::File(path.to_owned()),
            _ => return Err(refuse("has neither a string nor a file")),
        };
        Ok(Self { name: name.to_owned(), content })
    }
}
