//! sysctl(8), FreeBSD 13.0 on: facts from the kernel, read by one call.
//!
//! Names that a kernel does not have are left out of the output (`-i`): those of vmm exist only while the module is loaded,
//! those of Intel and AMD only on their own processors.

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::unreadable;
use std::collections::BTreeMap;

/// The program's name.
pub const TOOL: &str = "sysctl";

/// All names that are read.
const NAMES: [&str; 25] = [
    "kern.osrelease",
    "kern.osreldate",
    "kern.securelevel",
    "kern.vm_guest",
    "kern.racct.enable",
    "security.jail.jailed",
    "hw.machine",
    "hw.machine_arch",
    "hw.model",
    "hw.ncpu",
    "hw.physmem",
    "hw.pagesize",
    "vm.stats.vm.v_free_count",
    "vm.stats.vm.v_inactive_count",
    "vm.stats.vm.v_wire_count",
    "kstat.zfs.misc.arcstats.size",
    "kstat.zfs.misc.arcstats.c_min",
    "hw.vmm.maxcpu",
    "hw.vmm.vmx.initialized",
    "hw.vmm.vmx.cap.unrestricted_guest",
    "hw.vmm.svm.features",
    "hw.vmm.svm.num_asids",
    "hw.vmm.iommu.initialized",
    "hw.vmm.amdvi.enable",
    "hw.vmm.ppt.devices",
];

/// The command.
pub fn command() -> Cmd {
    Cmd::new(TOOL, ["-i", "-e"]).args(NAMES)
}

/// The command that prints only the release and the architecture, one on each line.
pub fn name() -> Cmd {
    Cmd::new(TOOL, ["-n", "kern.osrelease", "hw.machine"])
}

/// The values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values(BTreeMap<&'static str, String>);

/// Parses lines of `name=value`.
///
/// # Errors
/// A line has another form, a name was not requested, or there are no lines.
pub fn parse(text: &str) -> Result<Values> {
    let mut values = BTreeMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once('=').ok_or_else(|| unreadable(TOOL, line))?;
        let name = NAMES.iter().find(|asked| **asked == name).ok_or_else(|| unreadable(TOOL, line))?;
        values.insert(*name, value.trim().to_owned());
    }
    // Every kernel reports its release.
    if values.contains_key("kern.osrelease") { Ok(Values(values)) } else { Err(unreadable(TOOL, "")) }
}

impl Values {
    /// A value as text, if the kernel has it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A value as a whole number.
    ///
    /// # Errors
    /// It is not a number, or too large for its type.
    pub fn number<T: TryFrom<i64>>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse::<i64>().ok().and_then(|n| T::try_from(n).ok());
        number.map(Some).ok_or_else(|| unreadable(TOOL, &format!("{name}={text}")))
    }

    /// A value that is 0 or non-zero.
    ///
    /// # Errors
    /// It is not a number.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        Ok(self.number::<i64>(name)?.map(|n| n != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_names() {
        let values = parse("kern.osrelease=14.3-RELEASE-p2\nhw.model=Intel(R) Xeon(R) E=3\nkern.securelevel=-1\nhw.ncpu=8\n").unwrap();
        assert_eq!(values.text("hw.model"), Some("Intel(R) Xeon(R) E=3"));
        assert_eq!(values.number::<i32>("kern.securelevel").unwrap(), Some(-1));
        assert_eq!(values.flag("hw.ncpu").unwrap(), Some(true));
        assert_eq!(values.number::<u32>("hw.vmm.maxcpu").unwrap(), None);
    }

    #[test]
    fn a_line_that_is_no_answer_is_an_error_that_names_the_tool() {
        for bad in ["", "sysctl: unknown oid 'x'", "kern.osrelease=14.3\nhw.ncpu", "kern.osrelease=14.3\nhw.other=1", "hw.ncpu=8"] {
            let problem = parse(bad).unwrap_err();
            assert_eq!(
                (problem.message.as_str(), problem.object.as_deref()),
                ("cannot read what `sysctl` printed", Some("sysctl")),
                "{bad}"
            );
        }
        let values = parse("kern.osrelease=14.3\nhw.ncpu=eight\nhw.vmm.maxcpu=-1").unwrap();
        assert!(values.number::<u32>("hw.ncpu").unwrap_err().to_string().contains("`hw.ncpu=eight`"));
        assert!(values.number::<u16>("hw.vmm.maxcpu").is_err());
    }

    #[test]
    fn one_call_asks_it_all() {
        assert!(command().to_string().starts_with("sysctl -i -e kern.osrelease "));
    }
}
