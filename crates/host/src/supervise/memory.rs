//! Releases memory that only the startup needed: code and constants of the program and its libraries, most of which a
//! supervisor uses once.
//!
//! The kernel maps a whole block of code around each touched page, so a program that did much at its start keeps most of its
//! file mapped for as long as it lives. A host with a hundred guests has a hundred supervisors.

/// Releases the pages of the program and its libraries that are unchanged; those that are used later are read from the files
/// again. A failure costs only memory. Linux only: elsewhere the advice has another meaning.
#[cfg(target_os = "linux")]
pub(super) fn forget_the_start() {
    let Ok(maps) = crate::hostfs::kernel::text("/proc/self/smaps") else { return };
    for (start, end) in unchanged(&maps) {
        let at = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: the range is a whole mapping of a file that cannot be written, and none of its pages was ever changed: a
        // later access gets the same bytes.
        #[allow(unsafe_code)]
        let _ = unsafe { rustix::mm::madvise(at, end - start, rustix::mm::Advice::LinuxDontNeed) };
    }
}

/// No effect on other systems.
#[cfg(not(target_os = "linux"))]
pub(super) fn forget_the_start() {}

/// The mappings of files in /proc/self/smaps that cannot be written and have no private pages, such as relocated data: start
/// and end address, the end excluded.
#[cfg(target_os = "linux")]
fn unchanged(maps: &str) -> Vec<(usize, usize)> {
    let (mut all, mut mapping, mut clean) = (Vec::new(), None, None);
    for line in maps.lines() {
        match line.split_once(':') {
            // The values of a mapping follow its line, in this order.
            Some(("Anonymous", value)) => clean = mapping.take().filter(|_| value.trim() == "0 kB"),
            // A swapped-out page is private as well.
            Some(("Swap", value)) => all.extend(clean.take().filter(|_| value.trim() == "0 kB")),
            _ => {
                if let Some(range) = of_file(line) {
                    (mapping, clean) = (Some(range), None);
                }
            }
        }
    }
    all
}

/// The address range of a line, if it is a file mapping that can be read and not written.
#[cfg(target_os = "linux")]
fn of_file(line: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (mode, rest) = rest.split_once(' ')?;
    let file = rest.splitn(4, ' ').nth(3)?.trim_start();
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    (matches!(mode, "r-xp" | "r--p") && file.starts_with('/')).then_some((address(start)?, address(end)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_is_let_go() {
        let with = |line: &str, anonymous: u32, swap: u32| {
            format!("{line}\nSize:  180 kB\nRss:  8 kB\nAnonymous:  {anonymous} kB\nSwap:  {swap} kB\nSwapPss:  0 kB\nVmFlags: rd ex mr\n")
        };
        let mapping = |line: &str, anonymous: u32| with(line, anonymous, 0);
        let maps = [
            mapping("55d0e8a00000-55d0e8a2d000 r--p 00000000 fe:00 1234                       /usr/bin/chy ves", 0),
            mapping("55d0e8a2d000-55d0e8b00000 r-xp 0002d000 fe:00 1234                       /usr/bin/chy ves", 0),
            mapping("55d0e8b00000-55d0e8b08000 r--p 00100000 fe:00 1234                       /usr/bin/chy ves", 32),
            with("55d0e8b10000-55d0e8b18000 r--p 00110000 fe:00 1234                       /usr/bin/chy ves", 0, 4),
            mapping("55d0e8b08000-55d0e8b10000 rw-p 00108000 fe:00 1234                       /usr/bin/chy ves", 0),
            mapping("7f0000000000-7f0000100000 r-xp 00000000 fe:00 99                         /usr/lib/libc.so.6", 0),
            mapping("7f0000200000-7f0000300000 r--p 00000000 00:00 0 ", 0),
            mapping("7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]", 0),
        ];
        let program = [(0x55d0_e8a0_0000, 0x55d0_e8a2_d000), (0x55d0_e8a2_d000, 0x55d0_e8b0_0000)];
        assert_eq!(unchanged(&maps.concat()), [&program[..], &[(0x7f00_0000_0000, 0x7f00_0010_0000)]].concat());
        assert!(unchanged("nonsense\n\n1-2 r-xp\nAnonymous: 0 kB\nSwap: 0 kB\n").is_empty());
    }

    #[test]
    fn the_program_goes_on_without_its_start() {
        forget_the_start();
        assert_eq!("7".parse::<u8>().map(|n| n + 1), Ok(8));
    }
}
