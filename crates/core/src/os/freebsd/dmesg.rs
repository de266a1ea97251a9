//! `/var/run/dmesg.boot`, FreeBSD 13.0 on: the kernel's messages about the processor at boot. It is the only source about
//! VT-x and SVM while vmm is not loaded; it may be missing or truncated, so sysctl takes precedence.
//!
//! The kernel's message buffer survives a warm reboot: if the file contains several boots, the last one counts.

use crate::error::Result;
use crate::os::state::{Vendor, unreadable};
use std::collections::BTreeSet;

/// The file's path.
pub const FILE: &str = "/var/run/dmesg.boot";

/// The virtualisation features reported by the last boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Virtualisation {
    /// The vendor's technique.
    pub vendor: Vendor,
    /// Whether the firmware has disabled it.
    pub switched_off: bool,
    /// The names of its features: EPT, UG, NP, NRIP.
    pub features: BTreeSet<String>,
}

/// The result of parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// A PC's processor, with its virtualisation features, if any.
    Pc(Option<Virtualisation>),
    /// No PC processor is described: another architecture, or the beginning of the file is missing.
    Silent,
}

/// Parses the file.
///
/// # Errors
/// The line about virtualisation has an unexpected form.
pub fn parse(text: &str) -> Result<Boot> {
    let lines: Vec<&str> = text.lines().collect();
    let Some(cpu) = lines.iter().rposition(|line| line.starts_with("CPU: ")) else { return Ok(Boot::Silent) };
    // The lines about the processor are indented.
    let paragraph: Vec<&str> = lines[cpu + 1..].iter().take_while(|line| line.starts_with(' ')).copied().collect();
    for (at, line) in paragraph.iter().enumerate() {
        let found = [("VT-x:", Vendor::Intel), ("SVM:", Vendor::Amd)];
        let Some((vendor, rest)) = found.iter().find_map(|(word, vendor)| Some((*vendor, line.trim_start().strip_prefix(word)?))) else {
            continue;
        };
        let rest = rest.trim();
        let (switched_off, rest) = match rest.strip_prefix("(disabled in BIOS)") {
            Some(rest) => (true, rest.trim()),
            None => (false, rest),
        };
        let features = if rest.contains('=') && rest.contains('<') { verbose(&paragraph[at..]) } else { words(rest) };
        let features = features.filter(|words| !words.is_empty()).ok_or_else(|| unreadable(FILE, line))?;
        return Ok(Boot::Pc(Some(Virtualisation { vendor, switched_off, features })));
    }
    Ok(Boot::Pc(None))
}

/// Parses `PAT,HLT,EPT,UG,VPID`; `None` if it is not a list of words.
fn words(list: &str) -> Option<BTreeSet<String>> {
    let fine = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    let mut words = BTreeSet::new();
    for word in list.split(',') {
        if !fine(word) {
            return None;
        }
        words.insert(word.to_owned());
    }
    Some(words)
}

/// A verbose boot prints them on several lines of the form `Name=0x…<A,B>`.
fn verbose(lines: &[&str]) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((_, rest)) = line.split_once("=0x") else {
            // The next paragraph begins here.
            if at > 0 && !line.starts_with("        ") {
                break;
            }
            continue;
        };
        let Some((_, list)) = rest.split_once('<') else { continue };
        all.extend(words(list.strip_suffix('>')?)?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Virtualisation {
        match parse(text).unwrap() {
            Boot::Pc(Some(found)) => found,
            other => panic!("{other:?}"),
        }
    }

    const CPU: &str =
        "CPU: Some Processor (3292.61-MHz K8-class CPU)\n  Origin=\"GenuineIntel\"  Id=0x306c3\n  Features=0xbfebfbff<FPU,VME>\n";

    #[test]
    fn the_features_of_both_makers() {
        let intel = found(&format!("{CPU}  VT-x: PAT,HLT,MTF,PAUSE,EPT,UG,VPID\n  TSC: P-state invariant\n"));
        assert_eq!((intel.vendor, intel.switched_off), (Vendor::Intel, false));
        assert!(intel.features.contains("EPT") && intel.features.contains("UG"));
        let amd = found(&format!("{CPU}  SVM: NP,NRIP,VClean,AFlush,DAssist,NAsids=32768\n"));
        assert_eq!(amd.vendor, Vendor::Amd);
        assert!(amd.features.contains("NP") && amd.features.contains("NRIP"));
    }

    #[test]
    fn firmware_may_have_switched_it_off() {
        let off = found(&format!("{CPU}  VT-x: (disabled in BIOS) PAT,HLT,MTF,PAUSE,EPT,UG,VPID\n"));
        assert!(off.switched_off && off.features.contains("EPT"));
    }

    #[test]
    fn a_verbose_boot_is_read_too() {
        let text = format!(
            "{CPU}  VT-x: Basic Features=0xda0400<SMM,INS/OUTS,TRUE>\n        Pin-Based Controls=0xff<ExtINT,NMI,VNMI>\n        \
             Secondary Processor Controls=0x3<EPT,UG,VPID>\n  TSC: P-state invariant\nreal memory  = 34359738368 (32768 MB)\n"
        );
        let intel = found(&text);
        assert!(intel.features.contains("EPT") && intel.features.contains("UG") && intel.features.contains("TRUE"), "{intel:?}");
    }

    #[test]
    fn the_last_boot_counts() {
        let text = format!("{CPU}  VT-x: PAT,EPT,UG\nreal memory = 1\nCPU: Other (1-MHz)\n  Features=0x1<FPU>\nreal memory = 1\n");
        assert_eq!(parse(&text).unwrap(), Boot::Pc(None));
    }

    #[test]
    fn silence_is_no_answer() {
        assert_eq!(parse("").unwrap(), Boot::Silent);
        assert_eq!(parse("CPU  0: ARM Neoverse-N1 r3p1 affinity:  0  0\n").unwrap(), Boot::Silent);
    }

    #[test]
    fn a_line_that_can_t_be_read_is_an_error_that_names_the_file() {
        for bad in ["  VT-x:", "  SVM: NP,,NRIP", "  VT-x: EPT UG", "  VT-x: Basic Features=0x1<SMM"] {
            assert!(parse(&format!("{CPU}{bad}\n")).unwrap_err().message.contains(FILE), "{bad}");
        }
    }
}
