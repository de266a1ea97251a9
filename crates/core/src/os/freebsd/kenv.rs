//! kenv(1): tunables from loader.conf for modules that are not loaded yet.

use crate::cmd::Cmd;

/// The program's name.
pub const TOOL: &str = "kenv";

/// Prints the maximum number of a guest's virtual CPUs that vmm will use when it is loaded. Fails if none is set.
pub fn max_cpus() -> Cmd {
    Cmd::new(TOOL, ["-q", "hw.vmm.maxcpu"])
}

/// Prints whether vmm will use AMD's IOMMU when it is loaded. Fails if nothing is set, which means no.
pub fn amdvi() -> Cmd {
    Cmd::new(TOOL, ["-q", "hw.vmm.amdvi.enable"])
}

/// Whether vmm will use it: the tunable's default is 0.
pub fn uses_amdvi(answer: Option<&str>) -> bool {
    answer.is_some_and(|text| text.trim().parse::<u32>().is_ok_and(|number| number != 0))
}

/// The limit that vmm will use: the configured one, else the number of the host's processors. `None` if the output is not a
/// number.
pub fn limit(answer: Option<&str>, processors: u32) -> Option<u16> {
    match answer {
        Some(text) => text.trim().parse().ok().filter(|n| *n > 0),
        None => u16::try_from(processors).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_goes_before_the_number_of_processors() {
        assert_eq!(max_cpus().to_string(), "kenv -q hw.vmm.maxcpu");
        assert_eq!(limit(None, 8), Some(8));
        assert_eq!(limit(Some("64\n"), 8), Some(64));
        assert_eq!((limit(Some("many"), 8), limit(Some("0"), 8)), (None, None));
        assert_eq!((uses_amdvi(None), uses_amdvi(Some("0\n")), uses_amdvi(Some("1\n"))), (false, false, true));
    }
}
