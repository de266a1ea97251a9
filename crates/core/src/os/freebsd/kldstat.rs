//! kldstat(8), FreeBSD 13.0 on: which modules the kernel has. One call lists the loaded files; a module that is built into
//! the kernel (taps, in GENERIC) is not listed and is queried by name.

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::unreadable;
use std::collections::BTreeSet;

/// The program's name.
pub const TOOL: &str = "kldstat";

/// The command that lists all loaded files.
pub fn command() -> Cmd {
    Cmd::new(TOOL, [""; 0])
}

/// The command that queries one module: it exits with 0 if the kernel has it.
pub fn query(module: &str) -> Cmd {
    Cmd::new(TOOL, ["-q", "-m", module])
}

/// Parses the list: the modules' names, without the kernel's and without `.ko`.
///
/// # Errors
/// The heading is missing or a row has an unexpected form.
pub fn parse(text: &str) -> Result<BTreeSet<String>> {
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    if heading.split_ascii_whitespace().ne(["Id", "Refs", "Address", "Size", "Name"]) {
        return Err(unreadable(TOOL, heading));
    }
    let mut modules = BTreeSet::new();
    for line in lines {
        let name = row(line).ok_or_else(|| unreadable(TOOL, line))?;
        if name != "kernel" {
            modules.insert(name.strip_suffix(".ko").unwrap_or(name).to_owned());
        }
    }
    Ok(modules)
}

fn row(line: &str) -> Option<&str> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let [id, refs, address, size, name] = columns[..] else { return None };
    let number = |word: &str, radix| u64::from_str_radix(word, radix).is_ok();
    let fine = number(id, 10) && number(refs, 10) && number(address.strip_prefix("0x")?, 16) && number(size, 16);
    fine.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "Id Refs Address                Size Name";

    #[test]
    fn files_are_modules() {
        let rows = " 1   38 0xffffffff80200000  2448f20 kernel\n 2    1 0xffffffff82649000   1b7bd8 vmm.ko\n 3    1 0xffffffff82a00000     2158 if_bridge.ko";
        let found: Vec<String> = parse(&format!("{HEADING}\n{rows}\n")).unwrap().into_iter().collect();
        assert_eq!(found, ["if_bridge", "vmm"]);
        assert!(parse(HEADING).unwrap().is_empty());
    }

    #[test]
    fn a_row_that_can_t_be_read_is_an_error_that_names_the_tool() {
        for bad in ["", "kldstat: no", "Id Refs\n", &format!("{HEADING}\n 1 38 0xff kernel"), &format!("{HEADING}\n 1 38 0xff 10 a b")] {
            assert!(parse(bad).unwrap_err().message.contains("kldstat"), "{bad}");
        }
    }

    #[test]
    fn a_module_is_asked_for_by_name() {
        assert_eq!(query("if_tuntap").to_string(), "kldstat -q -m if_tuntap");
    }
}
