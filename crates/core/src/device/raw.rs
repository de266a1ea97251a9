//! `pcidev_{n}`: a device as bhyve's `-s` writes it behind the place, `emulation[,conf]`.
//!
//! What chyves has a type for becomes that type, so that the rules for it hold and QEMU has it as well; everything else
//! is kept as text for bhyve. Not here: where it sits, which is not part of the text.

use super::{Backing, Device, Hda, HostBridge, Optical, Passthru};
use crate::error::{Problem, Result};
use crate::value::printable;

/// A device that chyves has no type for, in bhyve's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    emulation: String,
    conf: Option<String>,
}

impl Raw {
    /// The emulation's name.
    pub fn emulation(&self) -> &str {
        &self.emulation
    }

    /// What stands behind the emulation's comma.
    pub fn conf(&self) -> Option<&str> {
        self.conf.as_deref()
    }

    /// The absolute paths in it: words that are one, or whose value is.
    pub fn paths(&self) -> Vec<&str> {
        let value = |word: &'_ str| word.find('/').filter(|at| *at == 0 || matches!(word.as_bytes()[at - 1], b'=' | b':'));
        self.words().filter_map(|word| value(word).map(|at| &word[at..])).collect()
    }

    /// Whether such a word stands alone in it.
    pub fn has_word(&self, word: &str) -> bool {
        self.words().any(|w| w == word)
    }

    /// Whether what it opens are disks that it writes.
    pub fn is_disk(&self) -> bool {
        ["virtio-blk", "ahci-hd", "ahci", "nvme"].contains(&self.emulation())
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.conf.iter().flat_map(|conf| conf.split(','))
    }
}

/// Reads the value of a `pcidev_{n}`.
///
/// # Errors
/// It begins with a place, its emulation is no word, it has control characters, or a device with a type has conf that
/// does not fit it.
pub fn parse_pcidev(text: &str) -> Result<Device> {
    let refuse = |why: String| {
        Problem::usage(format!("`{}` is no PCI device", printable(text, 60)))
            .because(why)
            .hint("write it as bhyve(8)'s -s does behind the slot: EMULATION[,CONF], as virtio-rnd or passthru,2/0/0")
    };
    if text.chars().any(char::is_control) {
        return Err(refuse("it has control characters".into()));
    }
    let (emulation, conf) = match text.split_once(',') {
        Some((_, "")) => return Err(refuse("nothing stands behind its last comma".into())),
        Some((emulation, conf)) => (emulation, Some(conf)),
        None => (text, None),
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !emulation.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) || !emulation.bytes().all(word) {
        let place = emulation.bytes().next().is_some_and(|b| b.is_ascii_digit());
        let why = if place { "it begins with a place, which chyves gives" } else { "it does not begin with an emulation's name" };
        return Err(refuse(why.into()));
    }
    let nothing = |device: Device| match conf {
        None => Ok(device),
        Some(conf) => Err(refuse(format!("`{emulation}` takes nothing behind it, not `{}`", printable(conf, 40)))),
    };
    match emulation {
        "hostbridge" if conf.is_none() => Ok(Device::HostBridge(HostBridge::Intel)),
        "amd_hostbridge" if conf.is_none() => Ok(Device::HostBridge(HostBridge::Amd)),
        "lpc" => nothing(Device::Lpc),
        "virtio-rnd" => nothing(Device::Rng),
        "xhci" => match conf {
            Some("tablet") => Ok(Device::Tablet),
            _ => Err(refuse("`xhci` knows one device: write xhci,tablet".into())),
        },
        "passthru" => passthru(conf.unwrap_or_default()).map(Device::Passthru).map_err(refuse),
        "hda" => hda(conf).map(Device::Hda).map_err(refuse),
        "ahci-cd" if conf.is_none_or(|c| c.starts_with('/') && !c.contains(',')) => {
            Ok(Device::Optical(Optical { medium: conf.map(Backing::at), bootindex: None }))
        }
        _ => Ok(Device::Raw(Raw { emulation: emulation.to_owned(), conf: conf.map(str::to_owned) })),
    }
}

/// `2/0/0[,rom=path][,bootindex=N]`.
fn passthru(conf: &str) -> Result<Passthru, String> {
    let mut words = conf.split(',');
    let host = words.next().unwrap_or_default().parse().map_err(|bad: crate::value::BadValue| match &bad.hint {
        Some(hint) => format!("{bad}; {hint}"),
        None => bad.to_string(),
    })?;
    let mut device = Passthru { host, rom: None, bootindex: None };
    for word in words {
        match word.split_once('=') {
            Some(("rom", path)) if path.starts_with('/') => device.rom = Some(path.to_owned()),
            Some(("bootindex", n)) => device.bootindex = Some(n.parse().map_err(|_| format!("`{n}` is no bootindex"))?),
            _ => return Err(format!("`{}` is no option of passthru: rom=/PATH and bootindex=N are", printable(word, 40))),
        }
    }
    Ok(device)
}

/// `[play=/dev/dspN][,rec=/dev/dspN]`.
fn hda(conf: Option<&str>) -> Result<Hda, String> {
    let mut device = Hda::default();
    for word in conf.into_iter().flat_map(|conf| conf.split(',')) {
        match word.split_once('=') {
            Some(("play", path)) if path.starts_with('/') => device.play = Some(path.to_owned()),
            Some(("rec", path)) if path.starts_with('/') => device.rec = Some(path.to_owned()),
            _ => return Err(format!("`{}` is no option of hda: play=/PATH and rec=/PATH are", printable(word, 40))),
        }
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_type_becomes_it() {
        assert_eq!(parse_pcidev("virtio-rnd").unwrap(), Device::Rng);
        assert_eq!(parse_pcidev("xhci,tablet").unwrap(), Device::Tablet);
        assert_eq!(parse_pcidev("lpc").unwrap(), Device::Lpc);
        assert!(
            matches!(parse_pcidev("passthru,2/0/0,rom=/rom,bootindex=1").unwrap(), Device::Passthru(p) if p.rom.as_deref() == Some("/rom"))
        );
        assert!(matches!(parse_pcidev("hda,play=/dev/dsp0").unwrap(), Device::Hda(_)));
        assert!(matches!(parse_pcidev("ahci-cd,/a.iso").unwrap(), Device::Optical(_)));
    }

    #[test]
    fn everything_else_stays_text() {
        let Device::Raw(raw) = parse_pcidev("virtio-foo,/path,opt=1").unwrap() else { panic!("not raw") };
        assert_eq!((raw.emulation(), raw.conf()), ("virtio-foo", Some("/path,opt=1")));
        let Device::Raw(raw) = parse_pcidev("ahci,hd:/a,ro,cd:/b.iso,ser=x/y,rom=/c").unwrap() else { panic!("not raw") };
        assert_eq!(raw.paths(), ["/a", "/b.iso", "/c"]);
        assert!(raw.is_disk() && raw.has_word("ro") && !raw.has_word("rom"));
    }

    #[test]
    fn each_wrong_text_has_its_own_message() {
        let why = |text: &str| parse_pcidev(text).unwrap_err().causes.join("; ");
        assert_eq!(why("5:0,virtio-rnd"), "it begins with a place, which chyves gives");
        assert_eq!(why(",x"), "it does not begin with an emulation's name");
        assert_eq!(why(""), "it does not begin with an emulation's name");
        assert_eq!(why("virtio-rnd,"), "nothing stands behind its last comma");
        assert_eq!(why("a\nb"), "it has control characters");
        assert_eq!(why("xhci,mouse"), "`xhci` knows one device: write xhci,tablet");
        assert_eq!(why("lpc,x"), "`lpc` takes nothing behind it, not `x`");
        assert!(why("passthru").starts_with("`` is no PCI device of a host; write"));
        assert_eq!(why("passthru,2/0/0,rom"), "`rom` is no option of passthru: rom=/PATH and bootindex=N are");
        assert_eq!(why("hda,x=1"), "`x=1` is no option of hda: play=/PATH and rec=/PATH are");
    }
}
