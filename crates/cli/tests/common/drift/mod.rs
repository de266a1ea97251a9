//! The drift matrix: a fact that chyves has recorded is changed behind its back (the size of a disk, its kind, its presence,
//! a mount point, who owns the guest), and then each command is run. Nothing that was on the pool before the command may be
//! lost by it, a command that refuses changes nothing, and the state is reported as it is.
//!
//! * [`commands`]: what is run, and that no verb is missing there
//! * [`marks`]: what must not be lost
//! * [`running`]: guests that run, which go on
//!
//! Each matrix adds what it tried and lost to the file that `CHYVES_TEST_DRIFT` names; scripts/test sums them up.
//! `CHYVES_TEST_SHARE=K/N` has only every N-th case tried, beginning with the K-th.

pub mod commands;
mod marks;
pub mod running;

pub use super::matrix::share;
use super::{Answer, Host, PROGRAM, Tree, With, until};
use commands::OFF;
pub use marks::mark;
use marks::marks;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::process::Stdio;

/// A fact that changes.
pub struct Fact {
    /// What it is.
    pub name: &'static str,
    /// Changes it; the word is the guest's name.
    pub change: fn(&Host, &str),
    /// How it is reported. `GUEST` stands for the guest's name.
    pub told: Told,
}

/// How a changed fact is reported.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// By a command that says these words, on either stream and whatever its status, and does not say them before the change.
    Says(&'static str, &'static str),
    /// It changes nothing that counts: this command says the same as before.
    AsBefore(&'static str),
}

/// The sizes of disks, in bytes.
const DISK: u64 = 1 << 20;

/// What a command must leave as it is.
struct Ground {
    name: String,
    kept: BTreeSet<&'static str>,
    tree: Tree,
}

impl Ground {
    /// A guest of which a fact has changed.
    fn new(host: &Host, name: String, fact: &Fact) -> Self {
        guest(host, &name);
        (fact.change)(host, &name);
        let kept = marks(host, &name, &BTreeSet::new());
        let tree = tree(host);
        Self { name, kept, tree }
    }
}

/// Runs each command on guests of which each of these facts has changed. A guest that a command left as it was serves the next.
pub fn matrix(test: &str, facts: &[Fact]) {
    let Some(host) = Host::new(test, With::Image) else { return };
    host.second("");
    guest(&host, "other");
    let others = (bystander(&host), host.files("other"));
    let (which, of) = share();
    let mut tally = Tally::new(facts.iter().map(|fact| fact.name));
    let mut ground: Option<(&str, Ground)> = None;
    let cases = facts.iter().flat_map(|fact| OFF.iter().map(move |line| (fact, *line)));
    for (number, (fact, line)) in cases.enumerate().skip(which - 1).step_by(of) {
        let old = ground.take();
        let kept = match old {
            Some((name, ground)) if name == fact.name => Some(ground),
            Some((_, old)) => {
                clear(&host, &old.name);
                None
            }
            None => None,
        };
        let mut now = kept.unwrap_or_else(|| Ground::new(&host, format!("web{number}"), fact));
        if judge(&host, fact.name, line, &mut now, &mut tally) {
            ground = Some((fact.name, now));
        } else {
            clear(&host, &now.name);
        }
    }
    if let Some((_, old)) = ground {
        clear(&host, &old.name);
    }
    for fact in facts {
        reported(&host, fact, &mut tally);
    }
    if (bystander(&host), host.files("other")) != others {
        tally.lost.push("a guest that no command named is another one".to_owned());
    }
    tally.end(OFF.len());
}

/// Runs one command and judges what it left; whether that is all as it was.
fn judge(host: &Host, fact: &str, line: &str, ground: &mut Ground, tally: &mut Tally) -> bool {
    let answer = run(host, line, &ground.name);
    let what = format!("{fact}: `{}`", answer.line);
    let now = marks(host, &ground.name, &ground.kept);
    let gone: Vec<&str> = ground.kept.difference(&now).copied().collect();
    tally.tried(fact);
    if !gone.is_empty() {
        tally.lost(format!("{what}: {} gone (status {}): {}{}", gone.join(", "), answer.code, answer.out, answer.err));
    }
    if !(0..=5).contains(&answer.code) {
        tally.lost(format!("{what}: ends with {}: {}", answer.code, answer.err));
    }
    let after = tree(host);
    let same = after == ground.tree;
    if answer.code != 0 {
        if !same {
            let differs = |n: &&String| ground.tree.get(*n) != after.get(*n);
            let names: BTreeSet<&String> = ground.tree.keys().chain(after.keys()).filter(differs).collect();
            tally.lost(format!("{what}: refused, and changed {names:?}: {}", answer.err));
        }
        if !answer.err.contains("hint:") && !answer.err.contains("because:") && !answer.out.contains("→") {
            tally.lost(format!("{what}: refused without a reason: {}", answer.err));
        }
    }
    let same = same && now == ground.kept;
    ground.kept = now;
    same
}

/// Whether a fact is reported, and not where it has not changed.
fn reported(host: &Host, fact: &Fact, tally: &mut Tally) {
    let ask = |line: &str, change: bool| {
        guest(host, "told");
        if change {
            (fact.change)(host, "told");
        }
        let answer = run(host, line, "told");
        let _ = host.chyves("stop told --now");
        clear(host, "told");
        answer
    };
    let (Told::Says(line, _) | Told::AsBefore(line)) = fact.told;
    let (before, now) = (ask(line, false), ask(line, true));
    tally.told(fact.name, fact.told, &before, &now);
}

/// What was tried and lost of each fact.
pub struct Tally {
    facts: Vec<(&'static str, usize)>,
    lost: Vec<String>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(facts: impl Iterator<Item = &'static str>) -> Self {
        Self { facts: facts.map(|fact| (fact, 0)).collect(), lost: Vec::new() }
    }

    /// One more case of a fact.
    pub fn tried(&mut self, fact: &str) {
        self.facts.iter_mut().filter(|(name, _)| *name == fact).for_each(|(_, tried)| *tried += 1);
    }

    /// Something is lost or wrong; the text begins with the fact. Too much of it ends the test.
    #[track_caller]
    pub fn lost(&mut self, what: String) {
        self.lost.push(what);
        assert!(self.lost.len() < 8, "{}", self.lost.join("\n"));
    }

    /// Judges how a fact is reported, by what the command says before and after the change.
    pub fn told(&mut self, fact: &str, told: Told, before: &Answer, now: &Answer) {
        let said = |answer: &Answer, words: &str| answer.out.contains(words) || answer.err.contains(words);
        match told {
            Told::Says(line, words) if said(before, words) => {
                self.lost(format!("{fact}: `{line}` says `{words}` before the change already: {}{}", before.out, before.err));
            }
            Told::Says(line, words) if !said(now, words) => {
                self.lost(format!("{fact}: `{line}` does not say `{words}`: {}{}", now.out, now.err));
            }
            Told::AsBefore(line) if stable(&before.out) != stable(&now.out) => {
                self.lost(format!("{fact}: `{line}` says something else than before: {}\n{}", before.out, now.out));
            }
            Told::Says(..) | Told::AsBefore(_) => {}
        }
    }

    /// Reports it all, where a person and where scripts/test will see it; fails where something was lost.
    pub fn end(self, commands: usize) {
        for (fact, tried) in &self.facts {
            let lost = self.lost.iter().filter(|l| l.starts_with(fact)).count();
            println!("drift: {fact}: {tried} cases tried, {lost} lost");
            if let Some(path) = std::env::var_os("CHYVES_TEST_DRIFT") {
                let file = File::options().append(true).create(true).open(path);
                file.and_then(|mut f| f.write_all(format!("{fact}\t{commands}\t{tried}\t{lost}\n").as_bytes()))
                    .expect("what was tried must be reported");
            }
        }
        assert!(self.lost.is_empty(), "{}", self.lost.join("\n"));
    }
}

/// Lines that are the same for two guests of one kind.
fn stable(text: &str) -> Vec<&str> {
    let varies = |l: &&str| ["uuid:", "created:", "used:", "networks:", "disks:"].iter().any(|label| l.starts_with(label));
    text.lines().filter(|l| !varies(l)).collect()
}

/// Runs one of the commands on a guest.
pub fn run(host: &Host, line: &str, guest: &str) -> Answer {
    let line = format!("{} --yes", line.replace("GUEST", guest).replace("OTHER", &format!("{}b", host.pool)));
    if !line.starts_with("send ") {
        return host.chyves(&line);
    }
    // Its output is not text.
    let output = host.command(PROGRAM).args(line.split(' ')).stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    Answer { line, code: output.status.code().unwrap_or(128), out: String::new(), err }
}

/// Both pools.
fn tree(host: &Host) -> Tree {
    host.tree_of(&[&host.pool, &format!("{}b", host.pool)])
}

/// Makes a guest with two disks, whose ends are marked, and the snapshot `base`.
fn guest(host: &Host, name: &str) {
    host.ok(&format!("create {name} --disk raw --size 1M loader=bios"));
    host.ok(&format!("disk add {name} 1M --kind raw"));
    host.in_folder(name, |folder| {
        for disk in 0..2 {
            let path = folder.join(format!("disk{disk}.raw"));
            mark(&path, 0, &format!("first-of-disk{disk}"));
            mark(&path, DISK - 16, &format!("last-of-disk{disk}"));
        }
    });
    host.ok(&format!("snapshot {name}@base"));
}

/// What is on the pool of the guest that no command names.
fn bystander(host: &Host) -> Vec<(String, String)> {
    let tree = host.tree();
    let own = tree.iter().filter(|(name, _)| name.contains("/guests/other"));
    own.map(|(name, values)| (name.clone(), format!("{values:?}"))).collect()
}

/// Takes away what a case has left.
fn clear(host: &Host, name: &str) {
    let _ = host.chyves("repair --yes");
    for dataset in [marks::datasets(host), vec![format!("{}/{name}-aside", host.pool)]].concat().iter().rev() {
        let _ = host.command("zfs").args(["destroy", "-r", dataset]).output().unwrap();
    }
    for entry in std::fs::read_dir(host.work()).unwrap().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
}
