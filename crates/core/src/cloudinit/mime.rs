//! Two cloud-init texts as one: a MIME archive, whose parts cloud-init reads in their order, the later one winning.
//!
//! Not here: what the texts say ([`super::documents`]).

/// The sort of a text, by its first line, as cloud-init tells it.
fn sort(text: &str) -> &'static str {
    const SORTS: [(&str, &str); 9] = [
        ("#cloud-config-archive", "text/cloud-config-archive"),
        ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
        ("#cloud-config", "text/cloud-config"),
        ("#cloud-boothook", "text/cloud-boothook"),
        ("#include-once", "text/x-include-once-url"),
        ("#include", "text/x-include-url"),
        ("#part-handler", "text/part-handler"),
        ("## template: jinja", "text/jinja2"),
        ("#!", "text/x-shellscript"),
    ];
    SORTS.iter().find(|(begins, _)| text.starts_with(begins)).map_or("text/plain", |(_, sort)| sort)
}

/// Whether a text begins as one that cloud-init knows.
pub fn is_known(text: &str) -> bool {
    sort(text) != "text/plain" || is_archive(text)
}

/// Whether a text is a MIME archive itself, which can't be told from its sort.
fn is_archive(text: &str) -> bool {
    let head = text.split("\n\n").next().unwrap_or_default().to_ascii_lowercase();
    head.starts_with("content-type:") || head.starts_with("mime-version:")
}

/// Both texts, the second with the last word. Nothing but the texts decides what it looks like.
pub fn both(first: &str, second: &str) -> String {
    let taken = |boundary: &str| first.contains(boundary) || second.contains(boundary);
    let mut number = 0u32;
    let mut boundary = format!("chyves-part-{number}");
    while taken(&boundary) {
        number += 1;
        boundary = format!("chyves-part-{number}");
    }
    let mut text = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for (name, part) in [("chyves", first), ("own", second)] {
        text.push_str(&format!("--{boundary}\n"));
        if is_archive(part) {
            // Its own head says what it is; cloud-init unpacks archives in archives.
            text.push_str(part);
        } else {
            let charset = if part.is_ascii() { "us-ascii" } else { "utf-8" };
            text.push_str(&format!(
                "Content-Type: {}; charset=\"{charset}\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: {}\n\
                 Content-Disposition: attachment; filename=\"{name}\"\n\n{part}",
                sort(part),
                if part.is_ascii() { "7bit" } else { "8bit" },
            ));
        }
        if !part.ends_with('\n') {
            text.push('\n');
        }
    }
    text.push_str(&format!("--{boundary}--\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_says_what_it_is() {
        insta::assert_snapshot!(both("#cloud-config\na: 1\n", "#!/bin/sh\necho ü"), @r#"
        Content-Type: multipart/mixed; boundary="chyves-part-0"
        MIME-Version: 1.0

        --chyves-part-0
        Content-Type: text/cloud-config; charset="us-ascii"
        MIME-Version: 1.0
        Content-Transfer-Encoding: 7bit
        Content-Disposition: attachment; filename="chyves"

        #cloud-config
        a: 1
        --chyves-part-0
        Content-Type: text/x-shellscript; charset="utf-8"
        MIME-Version: 1.0
        Content-Transfer-Encoding: 8bit
        Content-Disposition: attachment; filename="own"

        #!/bin/sh
        echo ü
        --chyves-part-0--
        "#);
    }

    #[test]
    fn no_text_can_end_a_part() {
        let text = both("#cloud-config\n", "#!/bin/sh\necho --chyves-part-0--\necho --chyves-part-1\n");
        assert!(text.starts_with("Content-Type: multipart/mixed; boundary=\"chyves-part-2\""), "{text}");
        assert_eq!(text.matches("--chyves-part-2").count(), 3);
    }

    #[test]
    fn an_archive_stays_one() {
        let archive = both("#cloud-config\n", "#!/bin/sh\n");
        let text = both("#cloud-config\n", &archive);
        assert!(text.contains("--chyves-part-1\nContent-Type: multipart/mixed; boundary=\"chyves-part-0\""), "{text}");
        assert!(is_known(&archive) && is_known("#cloud-config\n") && !is_known("hello\n"));
    }
}
