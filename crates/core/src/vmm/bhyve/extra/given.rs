//! The resources of the host that the user's own arguments make bhyve open, for confinement and inspection.
//!
//! Which options name resources is a column of the table of options. Not here: whether bhyve would accept them
//! ([`super::check`]).

use super::{Opens, Read, newest, read};
use crate::device::{Device, FwCfg, FwCfgContent, Owner, SerialEnd, Tpm, parse_pcidev, parse_serial_end};

/// A resource of the host that the user's own arguments name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A device of `-s`.
    Device(Device),
    /// The host end of a serial port.
    Serial(SerialEnd),
    /// A TPM.
    Tpm(Tpm),
    /// A file.
    File {
        /// Its path.
        path: String,
        /// Whether it is written.
        write: bool,
    },
    /// An argument with unknown resources: a configuration file, a key with a path, a relative path, or anything that bhyve
    /// would not accept.
    Unknown(String),
}

/// All resources that the arguments name.
pub fn given(words: &[String]) -> Vec<Given> {
    let mut refused = Vec::new();
    let options = read(words, &newest(), |word, _, _| refused.push(Given::Unknown(word.to_owned())));
    let names = |option: &&Read<'_>| match option.letter.opens {
        Opens::Nothing | Opens::Port => false,
        Opens::Files => true,
        Opens::Some(opens) => opens(option.value.unwrap_or_default()),
    };
    let named = options.iter().filter(names).flat_map(|option| {
        let value = option.value.unwrap_or_default();
        one(option.letter.name, value).unwrap_or_else(|| vec![Given::Unknown(format!("-{} {value}", option.letter.name))])
    });
    let named: Vec<Given> = named.collect();
    refused.into_iter().chain(named).collect()
}

/// The resources that one option names; `None` if they cannot be determined.
fn one(letter: char, value: &str) -> Option<Vec<Given>> {
    let file = |path: &str, write| path.starts_with('/').then(|| Given::File { path: path.to_owned(), write });
    match letter {
        's' => {
            let (_, device) = value.split_once(',')?;
            let device = parse_pcidev(device, Owner { guest: uuid::Uuid::nil(), number: 0 }).ok()?;
            Some(vec![Given::Device(device)])
        }
        'l' => match value.split_once(',') {
            Some((device, conf)) if device.eq_ignore_ascii_case("bootrom") => {
                let (code, rest) = conf.split_once(',').map_or((conf, None), |(code, rest)| (code, Some(rest)));
                let vars = rest.into_iter().flat_map(|rest| rest.split(',')).filter(|word| !word.starts_with("fwcfg="));
                std::iter::once(file(code, false)).chain(vars.map(|vars| file(vars, true))).collect()
            }
            Some((device, conf)) if device.eq_ignore_ascii_case("tpm") => Some(vec![Given::Tpm(conf.parse().ok()?)]),
            Some((_, end)) => Some(vec![Given::Serial(parse_serial_end(end).ok()?)]),
            // A device without a value.
            None => Some(Vec::new()),
        },
        'f' => match value.strip_prefix("name=").unwrap_or(value).parse::<FwCfg>().ok()?.content {
            FwCfgContent::File(path) => file(&path, false).map(|file| vec![file]),
            FwCfgContent::Text(_) => Some(Vec::new()),
        },
        'K' => file(value, false).map(|file| vec![file]),
        _ => None,
    }
}
