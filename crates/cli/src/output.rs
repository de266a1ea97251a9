//! Standard output: the only module that writes there; it also detects lost output.
//!
//! Not here: what is printed (`ui`, `report`), and streams of guests (chyves-host).

use chyves_core::error::Problem;
use chyves_core::value::is_deceptive;
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Mutex;

/// Why output was lost, if it was.
static LOST: Mutex<Option<String>> = Mutex::new(None);

/// Prints a text, without colours where they are not wanted. A closed pipe is no error; any other failure is kept for [`end`].
pub(crate) fn print(text: &str) {
    let mut out = anstream::stdout();
    if chyves_host::standard::output_was_closed() {
        return lose("standard output is closed");
    }
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => lose(&e.to_string()),
        Ok(()) | Err(_) => {}
    }
}

fn lose(why: &str) {
    if let Ok(mut lost) = LOST.lock() {
        lost.get_or_insert_with(|| why.to_owned());
    }
}

/// A JSON document as it is printed: control characters and deceptive characters, which occur only in strings, are escaped.
pub(crate) fn json(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if c != '\n' && (c.is_control() || is_deceptive(c)) {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

/// The exit status of a command: a failure if its output was lost.
pub(crate) fn end(code: ExitCode) -> ExitCode {
    let lost = LOST.lock().ok().and_then(|mut lost| lost.take());
    let Some(why) = lost else { return code };
    let problem = Problem::failed("cannot write the output").because(why).hint("what the command did, if anything, stays done");
    let failed = crate::report::problem(&problem, false);
    if code == ExitCode::SUCCESS { failed } else { code }
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn json_holds_nothing_that_a_terminal_obeys() {
        let text = "a\u{9b}31m\u{1b}[0m\u{202e}\u{2066}\u{7f}\u{85}\u{e9}\u{1f600}\n";
        let value = serde_json::json!({ "x": text, "y": [1] });
        let shown = json(&value);
        assert!(shown.chars().all(|c| c == '\n' || !(c.is_control() || chyves_core::value::is_deceptive(c))), "{shown:?}");
        assert!(shown.contains('\u{e9}') && shown.contains("\\u009b"), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
