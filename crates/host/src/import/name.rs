//! The name of a file whose address does not contain it: after redirects, or in the header `Content-Disposition` (RFC 6266).
//!
//! Not here: names in addresses and the names of images (chyves-core `image::source`).

use super::http::Http;
use super::trust;
use chyves_core::error::Result;
use chyves_core::image::{Source, percent_decoded};

/// Maximum length of a name.
const LIMIT: usize = 200;

/// The names that a server has for the file at an address: the one that it states, and the one in the final address. Only the
/// headers are requested.
///
/// # Errors
/// There is no answer, or no file.
pub fn of(source: &Source, silence: u32) -> Result<Vec<String>> {
    let Source::Address(address) = source else { return Ok(Vec::new()) };
    if trust::scheme(address) == "ftp" {
        return Ok(Vec::new());
    }
    let (header, at) = Http::new(address, silence).look()?;
    let mut names: Vec<String> = header.as_deref().and_then(disposition).into_iter().collect();
    names.extend(Source::Address(at).file_name().and_then(|name| plain(&name)));
    names.dedup();
    Ok(names)
}

/// The name in a `Content-Disposition`. The form with a character set takes precedence, as the standard requires.
fn disposition(header: &str) -> Option<String> {
    let (mut extended, mut usual) = (None, None);
    for (key, value) in parameters(header) {
        match key.to_ascii_lowercase().as_str() {
            "filename*" => {
                let mut parts = value.splitn(3, '\'');
                let charset = parts.next().unwrap_or_default().to_ascii_lowercase();
                let name = parts.nth(1).filter(|_| matches!(charset.as_str(), "utf-8" | "us-ascii" | "iso-8859-1"));
                extended = name.and_then(percent_decoded).and_then(|name| plain(&name));
            }
            "filename" => usual = plain(&value),
            _ => {}
        }
    }
    extended.or(usual)
}

/// The parameters of a header: `key=value`, `key="a \"quoted\" value"`.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut chars = header.chars().skip_while(|c| *c != ';').peekable();
    while chars.next().is_some() {
        let key: String = std::iter::from_fn(|| chars.next_if(|c| !matches!(c, '=' | ';'))).collect();
        if chars.next_if_eq(&'=').is_none() {
            continue;
        }
        let mut value = String::new();
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next_if_eq(&'"').is_some() {
            while let Some(c) = chars.next().filter(|c| *c != '"') {
                value.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            while chars.next_if(|c| *c != ';').is_some() {}
        } else {
            value.extend(std::iter::from_fn(|| chars.next_if(|c| *c != ';')));
        }
        all.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    all
}

/// A safe file name: the last component of a path, without characters that control a terminal or a file system.
fn plain(text: &str) -> Option<String> {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect();
    let name = name.trim().trim_start_matches('.').to_owned();
    (!name.is_empty() && name.len() <= LIMIT).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_names_a_file_and_no_other_place() {
        let of = |header: &str| disposition(header);
        assert_eq!(of("attachment; filename=\"disk.img\"").as_deref(), Some("disk.img"));
        assert_eq!(of("attachment; filename=disk.img; size=3").as_deref(), Some("disk.img"));
        assert_eq!(of("attachment;filename=\"a \\\"b\\\"; c.img\"").as_deref(), Some("a \"b\"; c.img"));
        assert_eq!(of("attachment; filename=\"x.img\"; filename*=UTF-8''gr%C3%BCn.img").as_deref(), Some("grün.img"));
        assert_eq!(of("attachment; filename*=utf-16''x.img; filename=y.img").as_deref(), Some("y.img"));
        // The result is always a single name.
        assert_eq!(of("attachment; filename=\"../../etc/passwd\"").as_deref(), Some("passwd"));
        assert_eq!(of("attachment; filename=\"C:\\\\\\\\windows\\\\\\\\x.img\"").as_deref(), Some("x.img"));
        assert_eq!(of("attachment; filename*=UTF-8''..%2F..%2Fx%0A%1B%5B2J.img").as_deref(), Some("x[2J.img"));
        assert_eq!(of("attachment; filename=\"\u{202e}gmi.x\"").as_deref(), Some("gmi.x"));
        for none in [
            "attachment",
            "attachment; filename=",
            "attachment; filename=\"..\"",
            "attachment; filename=\"a/\"",
            "",
            ";",
            ";=;\"",
            "x; filename=\"unended",
        ] {
            assert!(of(none).is_none_or(|name| name == "unended"), "{none}");
        }
        assert_eq!(of(&format!("attachment; filename={}", "x".repeat(300))), None);
    }
}
