//! Detects the format of user-data by its first line, as cloud-init and cloudbase-init do.
//!
//! Not here: whether a reader supports it ([`super::documents`]).

/// The format of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `#cloud-config`: a YAML mapping.
    CloudConfig,
    /// `#cloud-config-archive`: a YAML list of texts.
    Archive,
    /// `#cloud-config-jsonp`: a JSON patch.
    JsonPatch,
    /// `#cloud-boothook`.
    Boothook,
    /// `#include-once`: a list of URLs.
    IncludeOnce,
    /// `#include`: a list of URLs.
    Include,
    /// `#part-handler`: Python.
    PartHandler,
    /// `## template: jinja`: another format, after substitution of variables.
    Jinja,
    /// `#!`: a script.
    Script,
    /// A Windows script: `rem cmd`, `#ps1`, `<powershell>` and similar.
    WindowsScript,
    /// A MIME message.
    Mime,
}

/// First lines; if one is a prefix of another, the longer one comes first.
const BEGINNINGS: [(&str, Format); 16] = [
    ("#cloud-config-archive", Format::Archive),
    ("#cloud-config-jsonp", Format::JsonPatch),
    ("#cloud-config", Format::CloudConfig),
    ("#cloud-boothook", Format::Boothook),
    ("#include-once", Format::IncludeOnce),
    ("#include", Format::Include),
    ("#part-handler", Format::PartHandler),
    ("## template: jinja", Format::Jinja),
    ("##template: jinja", Format::Jinja),
    ("## template:jinja", Format::Jinja),
    ("#!", Format::Script),
    ("rem cmd", Format::WindowsScript),
    ("#ps1", Format::WindowsScript),
    ("<powershell>", Format::WindowsScript),
    ("<script>", Format::WindowsScript),
    ("<cmd>", Format::WindowsScript),
];

impl Format {
    /// The format of a text; `None` if no reader would recognise it. Leading blanks and empty lines are ignored.
    pub fn of(text: &str) -> Option<Self> {
        let text = content(text);
        let line = text.lines().next().unwrap_or_default().to_ascii_lowercase();
        BEGINNINGS
            .iter()
            .find(|(beginning, _)| line.starts_with(beginning))
            .map(|(_, format)| *format)
            .or_else(|| is_mime(text).then_some(Self::Mime))
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::CloudConfig => "text/cloud-config",
            Self::Archive => "text/cloud-config-archive",
            Self::JsonPatch => "text/cloud-config-jsonp",
            Self::Boothook => "text/cloud-boothook",
            Self::IncludeOnce => "text/x-include-once-url",
            Self::Include => "text/x-include-url",
            Self::PartHandler => "text/part-handler",
            Self::Jinja => "text/jinja2",
            Self::Script | Self::WindowsScript => "text/x-shellscript",
            Self::Mime => "multipart/mixed",
        }
    }

    /// The first line that identifies it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CloudConfig => "#cloud-config",
            Self::Archive => "#cloud-config-archive",
            Self::JsonPatch => "#cloud-config-jsonp",
            Self::Boothook => "#cloud-boothook",
            Self::IncludeOnce => "#include-once",
            Self::Include => "#include",
            Self::PartHandler => "#part-handler",
            Self::Jinja => "## template: jinja",
            Self::Script => "a script (#!)",
            Self::WindowsScript => "a script of Windows",
            Self::Mime => "a MIME message",
        }
    }
}

/// A text without its byte order mark and leading blanks: editors and shells add both, and a kernel does not run a script
/// that begins with them.
pub fn content(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim_start()
}

/// Whether a text is a MIME message: header lines up to the first empty line, including a MIME version or content type.
fn is_mime(text: &str) -> bool {
    let mut is_one = false;
    for line in text.lines().take_while(|line| !line.trim().is_empty()) {
        let is_continued = line.starts_with([' ', '\t']);
        let Some((name, _)) = line.split_once(':').filter(|_| !is_continued) else {
            if is_continued {
                continue;
            }
            return false;
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return false;
        }
        is_one |= name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("mime-version");
    }
    is_one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_that_a_reader_knows_is_known() {
        for (text, format) in [
            ("#cloud-config\n", Format::CloudConfig),
            ("#cloud-config  \na: 1\n", Format::CloudConfig),
            ("\n\n  #cloud-config\n", Format::CloudConfig),
            ("\u{feff}#Cloud-Config\r\na: 1\r\n", Format::CloudConfig),
            ("#cloud-config-archive\n", Format::Archive),
            ("#cloud-config-jsonp\n[]", Format::JsonPatch),
            ("#cloud-boothook\n", Format::Boothook),
            ("#include\nhttps://a.example\n", Format::Include),
            ("#include-once https://a.example\n", Format::IncludeOnce),
            ("#part-handler\n", Format::PartHandler),
            ("## template: jinja\n#cloud-config\n", Format::Jinja),
            ("\n#!/bin/sh\n", Format::Script),
            ("rem cmd\r\n", Format::WindowsScript),
            ("#ps1_sysnative\r\n", Format::WindowsScript),
            ("MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\"x\"\n\n--x\n", Format::Mime),
            ("From nobody: x\n", Format::Mime),
        ] {
            let expected = (text != "From nobody: x\n").then_some(format);
            assert_eq!(Format::of(text), expected, "{text}");
        }
        for text in ["", "packages: [nginx]\n", "Content-Type is what I write\n", "hello\n"] {
            assert_eq!(Format::of(text), None, "{text}");
        }
    }
}
