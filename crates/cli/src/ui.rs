//! Output: results on standard output, everything else on standard error, progress only on a terminal.

use crate::{command, output};
use anstyle::{AnsiColor, Style};
use chyves_core::error::{Code, Problem, Result};
use chyves_core::os::Os;
use chyves_core::plan::Plan;
use chyves_engine::Events;
use chyves_engine::op::HostSetting;
use chyves_host::apply::Event;
use chyves_host::interrupt;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Mutex;

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Volume {
    /// Results and errors.
    Quiet,
    /// Also what is done.
    Usual,
    /// Also each command that is run.
    Verbose,
}

/// The output of one command.
#[derive(Debug)]
pub(crate) struct Ui {
    /// How much is printed.
    pub(crate) volume: Volume,
    /// Whether results are JSON.
    pub(crate) json: bool,
    /// Serialises the lines of guests that are processed concurrently.
    line: Mutex<()>,
    /// JSON results, kept for the end: a command prints one document, for any number of objects.
    answers: Mutex<Vec<Value>>,
}

impl Ui {
    /// Creates it.
    pub(crate) fn new(volume: Volume, json: bool) -> Self {
        Self { volume, json, line: Mutex::new(()), answers: Mutex::new(Vec::new()) }
    }

    /// Prints a result.
    pub(crate) fn answer(&self, text: &str) {
        let _line = self.line.lock();
        output::print(text);
    }

    /// Adds a JSON result, printed at the end.
    pub(crate) fn answer_json(&self, value: Value) {
        if let Ok(mut answers) = self.answers.lock() {
            answers.push(value);
        }
    }

    /// Prints the JSON results as one document at the end, with the problem if there is one.
    pub(crate) fn end(&self, problem: Option<&Problem>) {
        let answers = self.answers.lock().map(|mut a| std::mem::take(&mut *a)).unwrap_or_default();
        if let Some(document) = document(answers, problem.filter(|_| self.json)) {
            self.answer(&output::json(&document));
        }
    }

    /// Prints what was done.
    pub(crate) fn say(&self, text: &str) {
        if self.volume >= Volume::Usual {
            self.error_line(text);
        }
    }

    /// Prints a command that is run.
    pub(crate) fn command(&self, text: &str) {
        let dim = Style::new().dimmed();
        self.say(&format!("{dim}+ {text}{dim:#}"));
    }

    /// Prints the command of a loader or a hypervisor: on a terminal with one option per line; elsewhere only with `--verbose`.
    pub(crate) fn hypervisor(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            self.command(&folded(text));
        } else if self.volume >= Volume::Verbose {
            self.command(text);
        }
    }

    /// A plan as a script. On a terminal each option of a loader or a hypervisor is on a line of its own; elsewhere each command is
    /// on one line.
    pub(crate) fn script(plan: &Plan, os: Os) -> String {
        if std::io::stdout().is_terminal() { plan.script_with(os, folded) } else { plan.script(os) }
    }

    /// Prints a result that even `--quiet` does not suppress.
    pub(crate) fn result(&self, text: &str) {
        self.error_line(text);
    }

    /// Whether the user can be asked a question.
    pub(crate) fn can_ask(&self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Prints a warning.
    pub(crate) fn warn(&self, text: &str) {
        let yellow = AnsiColor::Yellow.on_default();
        self.error_line(&format!("{yellow}warning:{yellow:#} {text}"));
    }

    fn error_line(&self, text: &str) {
        let _line = self.line.lock();
        let mut err = anstream::stderr();
        let _ = writeln!(err, "{text}");
    }

    /// Shows the progress of a long step, on a terminal.
    pub(crate) fn progress(&self, done: u64, total: u64) {
        let worth = total > 64 << 20 && self.volume >= Volume::Usual && !self.json;
        if worth && std::io::stderr().is_terminal() {
            let _line = self.line.lock();
            let percent = done.saturating_mul(100) / total.max(1);
            let end = if done >= total { "\n" } else { "" };
            let _ = write!(std::io::stderr(), "\r{percent:3} % of {}{end}", chyves_core::value::Size::bytes(total).human());
        }
    }

    /// Shows the progress of a stream: bytes, total and rate; on a terminal continuously and at its end.
    pub(crate) fn flow(&self, done: u64, total: Option<u64>, elapsed: std::time::Duration, ended: bool) {
        let human = |bytes: u64| chyves_core::value::Size::bytes(bytes).human();
        let rate = u128::from(done).saturating_mul(1000) / elapsed.as_millis().max(1);
        let mut text = human(done);
        if let (Some(total), false) = (total, ended) {
            text.push_str(&format!(" of {} ({} %)", human(total), done.saturating_mul(100) / total.max(1)));
        }
        text.push_str(&format!(", {}/s", human(u64::try_from(rate).unwrap_or(u64::MAX))));
        if let (Some(left), false) = (left(done, total, elapsed), ended) {
            text.push_str(&format!(", {left}"));
        }
        let live = std::io::stderr().is_terminal();
        // Elsewhere nobody watches it, and it would be in the mails of cron(8).
        let least = if live { Volume::Usual } else { Volume::Verbose };
        if self.volume < least || self.json || !(live || ended) {
            return;
        }
        let _line = self.line.lock();
        // Padded, to overwrite a longer line before it.
        let _ = match (live, ended) {
            (true, false) => write!(std::io::stderr(), "\r{text:<60}"),
            (true, true) => writeln!(std::io::stderr(), "\r{text:<60}"),
            (false, _) => writeln!(std::io::stderr(), "{text}"),
        };
    }

    /// Asks for confirmation before something is destroyed or interrupted.
    ///
    /// # Errors
    /// The answer is no, or there is no terminal to ask on.
    pub(crate) fn confirm(&self, question: &str, yes: bool) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !self.can_ask() {
            return Err(Code::NeedsConfirmation
                .problem(format!("{question} needs confirmation, and there is no terminal to ask on"))
                .hint("confirm with --yes"));
        }
        let _ = write!(std::io::stderr(), "{question}? [y/N] ");
        let mut answer = String::new();
        interrupt::until_readable(std::io::stdin().as_fd()).inspect_err(|_| drop(writeln!(std::io::stderr())))?;
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(Code::Declined.problem("the answer was no; nothing was changed"))
    }
}

impl Events for Ui {
    fn warning(&self, text: &str) {
        self.warn(text);
    }

    fn note(&self, text: &str) {
        self.say(text);
    }

    fn running(&self, object: &str, event: Event<'_>) {
        let verbose = self.volume >= Volume::Verbose;
        match event {
            Event::Step(step) if verbose => self.say(&format!("{object}: {}", step.describe())),
            Event::Step(_) => {}
            Event::Hypervisor(line) => self.hypervisor(&line),
            Event::Command(line) if verbose => self.command(&line),
            Event::Command(_) => {}
            Event::Progress(done, total) => self.progress(done, total),
            Event::Reading(flow) if std::io::stderr().is_terminal() => {
                self.flow(flow.done, flow.total, flow.elapsed, flow.ended);
            }
            Event::Reading(_) => {}
            Event::Flow(flow) => self.flow(flow.done, flow.total, flow.elapsed, flow.ended),
            Event::Asked(text) => self.say(&format!("{object}: {text}")),
            Event::Warning(text) => self.warn(&text),
            Event::TakingBack(why) if verbose => self.say(&format!("{object}: rolling back: {why}")),
            Event::TakingBack(_) => {}
        }
    }

    fn planned(&self, object: &str, plan: &Plan, os: Os) {
        if self.json {
            let mut shown = json!({ "object": object });
            if let (Some(to), Value::Object(from)) = (shown.as_object_mut(), json!(plan.shown(os))) {
                to.extend(from);
            }
            self.answer_json(shown);
        } else {
            self.answer(&Self::script(plan, os));
        }
    }

    fn unchanged(&self, object: &str, state: &str) {
        // Otherwise a note of the plan says so.
        if self.volume == Volume::Quiet {
            self.result(&format!("{object}: {state}"));
        }
    }

    fn undecided(&self, guest: &str, settings: &[HostSetting]) {
        if self.json {
            self.answer_json(json!({ "object": guest, "host_settings": settings }));
        } else {
            self.answer(&command::host_settings(guest, settings));
        }
    }

    fn foreseen(&self, object: &str, text: &str) {
        if self.json {
            self.answer_json(json!({ "object": object, "foreseen": text }));
        } else {
            self.answer(&format!("# {text}\n"));
        }
    }

    fn can_ask(&self) -> bool {
        Self::can_ask(self)
    }

    fn confirm(&self, question: &str) -> Result<()> {
        Self::confirm(self, question, false)
    }
}

/// A command with each option on a line of its own; it can be pasted into a shell.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut quoted = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        quoted ^= c == '\'';
        let option = c == ' ' && !quoted && text[at + 1..].starts_with('-') && before != '\\';
        out.push_str(if option { " \\\n    " } else { "" });
        if !option {
            out.push(c);
        }
        before = c;
    }
    out
}

/// The estimated remaining time at the average rate, once there is one.
fn left(done: u64, total: Option<u64>, elapsed: std::time::Duration) -> Option<String> {
    let rest = total?.checked_sub(done).filter(|_| done > 0 && elapsed.as_secs() >= 2)?;
    let seconds = u64::try_from(u128::from(rest) * elapsed.as_millis() / u128::from(done) / 1000).ok()?;
    Some(match seconds {
        0..60 => format!("{seconds} s left"),
        60..3600 => format!("{}:{:02} min left", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h left", seconds / 3600, seconds / 60 % 60),
    })
}

/// One result unchanged, several as one list; with a problem they are its `results`.
fn document(mut answers: Vec<Value>, problem: Option<&Problem>) -> Option<Value> {
    let together = |answers: Vec<Value>| {
        let items = answers.into_iter().flat_map(|answer| match answer {
            Value::Array(items) => items,
            one => vec![one],
        });
        Value::Array(items.collect())
    };
    match (problem, answers.len()) {
        (None, 0) => None,
        (None, 1) => answers.pop(),
        (None, _) => Some(together(answers)),
        (Some(problem), 0) => Some(json!({ "error": problem })),
        (Some(problem), _) => Some(json!({ "results": together(answers), "error": problem })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_command_is_the_same_command() {
        let line = "bhyve -c 1 -s '0, -hostbridge' -l bootrom,/a-b -- x";
        assert_eq!(folded(line), "bhyve \\\n    -c 1 \\\n    -s '0, -hostbridge' \\\n    -l bootrom,/a-b \\\n    -- x");
        assert_eq!(folded("true"), "true");
    }

    #[test]
    fn the_time_left_follows_from_the_rate_so_far() {
        let after = |seconds, done, total| left(done, Some(total), std::time::Duration::from_secs(seconds));
        assert_eq!(after(1, 5, 10), None, "too early to tell");
        assert_eq!(after(10, 5, 10).as_deref(), Some("10 s left"));
        assert_eq!(after(10, 1, 10).as_deref(), Some("1:30 min left"));
        assert_eq!(after(60, 1, 121).as_deref(), Some("2:00 h left"));
        assert_eq!(after(9, 0, 10), None);
        assert_eq!(left(5, None, std::time::Duration::from_secs(9)), None);
    }

    #[test]
    fn there_is_one_document_whatever_was_answered() {
        let problem = Problem::usage("wrong");
        let text = |answers: Vec<Value>, problem| document(answers, problem).map(|d| d.to_string());
        assert_eq!(text(vec![], None), None);
        assert_eq!(text(vec![json!({"a": 1})], None).as_deref(), Some(r#"{"a":1}"#));
        assert_eq!(text(vec![json!([1]), json!({"a": 1}), json!([])], None).as_deref(), Some(r#"[1,{"a":1}]"#));
        assert_eq!(text(vec![], Some(&problem)).as_deref(), Some(r#"{"error":{"code":"usage","class":"usage","message":"wrong"}}"#));
        assert_eq!(
            text(vec![json!([1])], Some(&problem)).as_deref(),
            Some(r#"{"results":[1],"error":{"code":"usage","class":"usage","message":"wrong"}}"#)
        );
    }
}
