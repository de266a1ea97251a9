//! pciconf(8), FreeBSD 13.0 on: the host's PCI functions and their drivers.

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::{PciFunction, unreadable};

/// The program's name.
pub const TOOL: &str = "pciconf";

/// The command.
pub fn command() -> Cmd {
    Cmd::new(TOOL, ["-l"])
}

/// Parses the list.
///
/// # Errors
/// A line has an unexpected form, or there are none.
pub fn parse(text: &str) -> Result<Vec<PciFunction>> {
    let functions: Vec<PciFunction> =
        text.lines().map(|line| function(line).ok_or_else(|| unreadable(TOOL, line))).collect::<Result<_>>()?;
    if functions.is_empty() { Err(unreadable(TOOL, "")) } else { Ok(functions) }
}

/// `ppt0@pci0:2:0:0:<TAB>class=0x030000 rev=0xa1 hdr=0x00 vendor=0x10de device=0x1c82 …`
fn function(line: &str) -> Option<PciFunction> {
    let (driver, rest) = line.split_once('@')?;
    let (selector, rest) = rest.split_once(char::is_whitespace)?;
    let selector = selector.strip_suffix(':')?;
    let numbers: Vec<&str> = selector.strip_prefix("pci")?.split(':').collect();
    let fine = numbers.len() == 4 && numbers.iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if !fine || driver.is_empty() {
        return None;
    }
    let value = |key: &str| {
        let value = rest.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
        let hex = value.strip_prefix("0x").is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        hex.then_some(value)
    };
    let none = driver.strip_prefix("none").is_some_and(|unit| !unit.is_empty() && unit.bytes().all(|b| b.is_ascii_digit()));
    Some(PciFunction {
        selector: selector.to_owned(),
        driver: (!none).then(|| driver.to_owned()),
        class: value("class")?.to_owned(),
        id: format!("{}:{}", value("vendor")?, value("device")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: &str = "ppt0@pci0:2:0:0:\tclass=0x030000 rev=0xa1 hdr=0x00 vendor=0x10de device=0x1c82 subvendor=0x1462 subdevice=0x8c96";
    const BARE: &str = "none3@pci0:0:20:2:\tclass=0x050000 rev=0x00 hdr=0x00 vendor=0x8086 device=0x06ef subvendor=0x8086 subdevice=0x06ef";

    #[test]
    fn functions_with_and_without_a_driver() {
        let found = parse(&format!("{GPU}\n{BARE}\n")).unwrap();
        assert_eq!(found[0].driver.as_deref(), Some("ppt0"));
        assert_eq!((found[0].selector.as_str(), found[0].id.as_str()), ("pci0:2:0:0", "0x10de:0x1c82"));
        assert_eq!((found[1].driver.as_deref(), found[1].class.as_str()), (None, "0x050000"));
    }

    #[test]
    fn a_line_that_can_t_be_read_is_an_error_that_names_the_tool() {
        let short = "em0@pci0:2:0:\tclass=0x030000 vendor=0x1 device=0x1";
        for bad in ["", "pciconf: /dev/pci: No such file", short, "em0@pci0:2:0:0:\tclass=030000 vendor=0x1 device=0x1", "em0@pci0:2:0:0:"]
        {
            assert!(parse(bad).unwrap_err().message.contains("pciconf"), "{bad}");
        }
        assert!(parse(&format!("{GPU}\nhalf")).is_err());
    }
}
