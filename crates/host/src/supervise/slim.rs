//! Giving back what only the start needed: the program's own code, most of which a supervisor runs once.
//!
//! The kernel maps code by the block around what is touched, so a program that did much at its start keeps most of its
//! file mapped for as long as it lives. A host with a hundred guests has a hundred supervisors.

#![allow(clippy::disallowed_methods)] // the runtime folder, /proc and devices of the host are opened

/// Lets go of the pages of the program's code; those that are run from now on come back from its file. Where that can't be
/// done nothing is lost but memory. On Linux alone: elsewhere the advice means something else.
#[cfg(target_os = "linux")]
pub(super) fn forget_the_start() {
    let (Ok(program), Ok(maps)) = (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/maps")) else { return };
    for (start, end) in program.to_str().into_iter().flat_map(|program| code(&maps, program)) {
        let at = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the range is a whole mapping of a file that can be read and run, not written: its pages are those of the
        // file, nobody has changed them, and who needs one again gets the same bytes.
        #[allow(unsafe_code)]
        let _ = unsafe { rustix::mm::madvise(at, end - start, rustix::mm::Advice::LinuxDontNeed) };
    }
}

/// Elsewhere there is nothing to do.
#[cfg(not(target_os = "linux"))]
pub(super) fn forget_the_start() {}

/// The mappings of a program's code among the lines of /proc/self/maps: first and last address, the last one not included.
#[cfg(target_os = "linux")]
fn code<'a>(maps: &'a str, program: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    maps.lines().filter_map(move |line| {
        let (range, rest) = line.split_once(' ')?;
        let (mode, rest) = rest.split_once(' ')?;
        let file = rest.splitn(4, ' ').nth(3)?.trim_start();
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        (mode == "r-xp" && file == program).then_some((address(start)?, address(end)?))
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_program_s_own_code_is_let_go() {
        let maps = "\
55d0e8a00000-55d0e8a2d000 r--p 00000000 fe:00 1234                       /usr/bin/chy ves
55d0e8a2d000-55d0e8b00000 r-xp 0002d000 fe:00 1234                       /usr/bin/chy ves
55d0e8b00000-55d0e8b10000 rw-p 00100000 fe:00 1234                       /usr/bin/chy ves
7f0000000000-7f0000100000 r-xp 00000000 fe:00 99                         /usr/lib/libc.so.6
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]
";
        assert_eq!(code(maps, "/usr/bin/chy ves").collect::<Vec<_>>(), [(0x55d0_e8a2_d000, 0x55d0_e8b0_0000)]);
        assert_eq!(code("nonsense\n\n1-2 r-xp\n", "x").count(), 0);
    }

    #[test]
    fn the_program_goes_on_without_its_start() {
        forget_the_start();
        assert_eq!("7".parse::<u8>().map(|n| n + 1), Ok(8));
    }
}
