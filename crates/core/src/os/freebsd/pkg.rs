//! pkg(8): the version of the package with the UEFI firmware. Old versions ignore the boot order.

use crate::cmd::Cmd;

/// The program's name.
pub const TOOL: &str = "pkg";

/// The package of the UEFI firmware.
pub const FIRMWARE: &str = "edk2-bhyve";

/// The first EDK II release with bhyve firmware that supports the boot order, as year and month.
pub const BOOT_ORDER: u32 = 202_408;

/// Prints the version of an installed package; fails if the package is not installed.
pub fn version(package: &str) -> Cmd {
    Cmd::new(TOOL, ["query", "%v", package])
}

/// The EDK II release of a version such as `g202308_4`, as year and month; `None` if it has another form.
pub fn edk2_release(version: &str) -> Option<u32> {
    let digits = version.strip_prefix('g')?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).filter(|digits| digits.len() == 6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_in_the_version() {
        assert_eq!(version(FIRMWARE).to_string(), "pkg query %v edk2-bhyve");
        assert_eq!((edk2_release("g202308_4"), edk2_release("g202411")), (Some(202_308), Some(202_411)));
        for other in ["", "1.2", "g2024", "202308", "g20230811"] {
            assert_eq!(edk2_release(other), None, "{other}");
        }
    }
}
