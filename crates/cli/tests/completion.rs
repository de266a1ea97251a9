//! Completion in real shells, at their own prompts: what is offered is what is there.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With};
use std::path::Path;

/// A shell at its prompt in a terminal of its own, which is a window of tmux.
struct Prompt<'h> {
    host: &'h Host,
    shell: &'static str,
    /// What is typed is shown in a pane as large as everything that is offered.
    socket: std::path::PathBuf,
}

impl<'h> Prompt<'h> {
    fn open(host: &'h Host, shell: &'static str, arguments: &[&str], source: &str) -> Self {
        let prompt = Self { host, shell, socket: host.work().join(format!("{shell}.sock")) };
        let folder = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
        let command = format!("env PATH={folder}:$PATH HOME={} PS1='ready> ' {shell} {}", host.work().display(), arguments.join(" "));
        prompt.tmux(&["new-session", "-d", "-x", "150", "-y", "60", "-s", "shell", &command]);
        prompt.types(source, &["Enter"]);
        prompt.types("echo re''ady", &["Enter"]);
        prompt.shows(&["\nready\n"]);
        prompt
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = self.host.command("tmux").arg("-S").arg(&self.socket).arg("-f").arg("/dev/null").args(words).output().unwrap();
        assert!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn types(&self, text: &str, keys: &[&str]) {
        self.tmux(&["send-keys", "-t", "shell", "-l", text]);
        if !keys.is_empty() {
            self.tmux(&[&["send-keys", "-t", "shell"], keys].concat());
        }
    }

    /// Waits until the terminal shows all of these.
    fn shows(&self, texts: &[&str]) {
        self.wait(&format!("{texts:?}"), |screen| texts.iter().all(|text| screen.contains(text)));
    }

    fn wait(&self, what: &str, fits: impl Fn(&str) -> bool) {
        let screen = || self.tmux(&["capture-pane", "-p", "-t", "shell"]);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !fits(&screen()) {
            assert!(std::time::Instant::now() < deadline, "{} does not show {what}, but:\n{}", self.shell, screen());
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }

    /// Types a line and the key for completion, and waits for what it becomes or what is offered.
    fn completes(&self, line: &str, to: &[&str]) {
        // A line of before may show the same. What is typed ahead of a slow completion is kept, unlike an interrupt.
        self.tmux(&["send-keys", "-t", "shell", "C-e", "C-u", "C-l"]);
        self.wait(&format!("an empty line before `{line}`"), |screen| !screen.contains("chyves"));
        self.types(line, &["Tab"]);
        // fish shows the list at once, zsh at the second time, bash when the one before changed nothing.
        let more: &[&str] = if self.shell == "fish" || to.len() == 1 { &[] } else { &["Tab", "Tab"] };
        self.tmux(&[&["send-keys", "-t", "shell"], more].concat());
        self.shows(to);
    }
}

impl Drop for Prompt<'_> {
    fn drop(&mut self) {
        let _ = self.host.command("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

fn in_a_shell(shell: &'static str, arguments: &[&str], source: &str) {
    let test = format!("completion::{shell}");
    if !Host::has(&test, "tmux") || !Host::has(&test, shell) {
        return;
    }
    let Some(host) = Host::new(&test, With::Image) else { return };
    host.ok("create web01,web02,db --size 1M");
    host.ok("snapshot web01@before");
    host.ok("delete db -y");
    let prompt = Prompt::open(&host, shell, arguments, source);
    prompt.completes("chyves sta", &["chyves start"]);
    prompt.completes("chyves start w", &["web01", "web02"]);
    prompt.completes("chyves web02 sna", &["chyves web02 snapshot"]);
    prompt.completes("chyves snapshot rollback web01@b", &["chyves snapshot rollback web01@before"]);
    prompt.completes("chyves web01 snapshot rollback @b", &["chyves web01 snapshot rollback @before"]);
    prompt.completes("chyves set web01 loader=bi", &["chyves set web01 loader=bios"]);
    prompt.completes("chyves set web01 loader=", &["bhyveload", "grub-bhyve"]);
    prompt.completes("chyves set web01 disk0.bus=nv", &["chyves set web01 disk0.bus=nvme"]);
    prompt.completes("chyves create x --os open", &["chyves create x --os openbsd"]);
    prompt.completes("chyves list -o name,sta", &["chyves list -o name,state"]);
    prompt.completes("chyves set web01 disk0.b", &["chyves set web01 disk0.bus="]);
    prompt.completes("chyves undelete d", &["chyves undelete db"]);
    prompt.completes("chyves disk web01 resi", &["chyves disk web01 resize"]);
    // What is made while the shell is open is there too.
    host.ok("create newcomer --size 1M");
    prompt.completes("chyves get newc", &["chyves get newcomer"]);
}

#[test]
fn in_bash() {
    in_a_shell("bash", &["--norc"], "source <(chyves completions bash)");
}

#[test]
fn in_zsh() {
    in_a_shell("zsh", &["-f"], "autoload -U compinit && compinit -u -D && source <(chyves completions zsh)");
}

#[test]
fn in_fish() {
    in_a_shell("fish", &["--no-config"], "chyves completions fish | source");
}

#[test]
fn nothing_is_said_where_nothing_can_be_read() {
    let Some(host) = Host::new("completion::quiet", With::Pool) else { return };
    let output = host.command(PROGRAM).args(["_complete", "--line", "chyves start w"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice(), output.stderr.as_slice()), (Some(0), &b""[..], &b""[..]));
    // A line without end, and letters that are none.
    let long = format!("chyves start {}", "a,".repeat(40_000));
    for line in [long.as_str(), "chyves \u{1b}[31m", "chyves '", "", "   "] {
        let output = host.command(PROGRAM).args(["_complete", "--line", line]).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{line}");
    }
}
