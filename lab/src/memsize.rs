//! Memory sizes as libvmmapi reads them: one grammar for bhyve, bhyveload and grub-bhyve.
//! Not its job: sizes of disks, which no tool of the lab takes.

const MB: u64 = 1 << 20;

/// Bytes. A bare number below 1048576 is megabytes, another bare number bytes, else a suffix K, M, G or T in either case.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let bytes = match suffix {
        "" if number < MB => number.checked_mul(MB)?,
        "" => number,
        "k" | "K" => number.checked_mul(1 << 10)?,
        "m" | "M" => number.checked_mul(MB)?,
        "g" | "G" => number.checked_mul(1 << 30)?,
        "t" | "T" => number.checked_mul(1 << 40)?,
        _ => return None,
    };
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_grammar_of_a_memory_size() {
        let good = [
            ("512", 512 * 1024 * 1024),
            ("1048576", 1_048_576),
            ("1G", 1 << 30),
            ("512m", 512 << 20),
            ("2t", 2 << 40),
            ("4K", 4096),
            ("0", 0),
        ];
        for (text, bytes) in good {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in ["", "G", "1GB", "1.5G", "-1", "1 G", "99999999999T"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
