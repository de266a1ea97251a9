//! The current objects that a completion needs: each kind is read once, and what cannot be read is not offered.

use super::values::plain;
use chyves_core::guest::Guest;
use chyves_core::value::GuestName;
use chyves_engine::present;
use chyves_host::runtime::Runtime;
use clap_complete::engine::CompletionCandidate;
use std::sync::OnceLock;

/// The host's objects, read on first use.
pub(super) struct Present {
    /// The finished words of the line.
    words: Vec<String>,
    runtime: Runtime,
    guests: OnceLock<Vec<Guest>>,
    images: OnceLock<Vec<String>>,
    trash: OnceLock<Vec<String>>,
    named: OnceLock<Vec<Guest>>,
}

impl Present {
    pub(super) fn new(words: Vec<String>) -> Self {
        let (guests, images, trash, named) = (OnceLock::new(), OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { words, runtime: Runtime::from_env(), guests, images, trash, named }
    }

    /// Whether a word is on the line.
    pub(super) fn is_about(&self, word: &str) -> bool {
        self.words.iter().any(|typed| typed == word)
    }

    fn every_guest(&self) -> &[Guest] {
        self.guests.get_or_init(|| present::guests(&self.runtime).unwrap_or_default())
    }

    /// The guests that are named on the line, with their settings.
    fn named(&self) -> &[Guest] {
        self.named.get_or_init(|| {
            let parts = self.words.iter().skip(1).flat_map(|word| word.split([',', '@']));
            let names: Vec<GuestName> = parts.filter_map(|part| part.parse().ok()).collect();
            present::named(&self.runtime, &names)
        })
    }

    /// Guests, also as the last one of a comma-separated list; without those that are already named.
    pub(super) fn guests(&self, current: &str) -> Vec<CompletionCandidate> {
        self.guests_where(current, |_| true)
    }

    /// Guests on which a command can act in their current state.
    pub(super) fn guests_for(&self, command: &str, current: &str) -> Vec<CompletionCandidate> {
        match command {
            "undelete" | "empty" => self.trash(current),
            "start" => self.guests_where(current, |guest| !guest.state.is_alive()),
            "stop" | "reset" | "console" => self.guests_where(current, |guest| guest.state.is_alive()),
            "adopt" => self.guests_where(current, |guest| guest.foreign.is_some()),
            _ => self.guests(current),
        }
    }

    fn guests_where(&self, current: &str, fits: impl Fn(&Guest) -> bool) -> Vec<CompletionCandidate> {
        let (before, last) = current.rsplit_once(',').map_or(("", current), |(before, last)| (&current[..=before.len()], last));
        let typed = |name: &str| before.split(',').chain(self.words.iter().flat_map(|word| word.split(','))).any(|word| word == name);
        let guests = self.every_guest().iter().filter(|guest| fits(guest));
        guests
            .filter(|guest| guest.name.as_str().starts_with(last) && !typed(guest.name.as_str()))
            .map(|guest| CompletionCandidate::new(format!("{before}{}", guest.name)).help(Some(guest.shown_state().to_owned().into())))
            .collect()
    }

    /// `web01@before`; before the `@` is typed, guests, each followed by `behind`.
    pub(super) fn snapshots(&self, current: &str, behind: &str) -> Vec<CompletionCandidate> {
        let Some((name, _)) = current.split_once('@') else {
            let guests = self.guests(current);
            return guests.into_iter().map(|c| CompletionCandidate::new(format!("{}{behind}", c.get_value().to_string_lossy()))).collect();
        };
        let found = name.parse().map(|name| present::named(&self.runtime, &[name])).unwrap_or_default();
        let snapshots = found.first().map(present::snapshots).unwrap_or_default();
        plain(current, snapshots.iter().map(|snapshot| format!("{name}@{snapshot}")))
    }

    /// `@before` for the guests on the line.
    pub(super) fn snapshots_of_named(&self, current: &str) -> Vec<CompletionCandidate> {
        let mut names: Vec<String> = self.named().iter().flat_map(present::snapshots).collect();
        names.dedup();
        plain(current, names.iter().map(|name| format!("@{name}")))
    }

    pub(super) fn images(&self, current: &str) -> Vec<CompletionCandidate> {
        plain(current, self.images.get_or_init(|| present::images(&self.runtime)).iter().cloned())
    }

    pub(super) fn trash(&self, current: &str) -> Vec<CompletionCandidate> {
        plain(current, self.trash.get_or_init(|| present::trash(&self.runtime)).iter().cloned())
    }

    pub(super) fn pools(current: &str) -> Vec<CompletionCandidate> {
        plain(current, present::pools())
    }

    /// Bridges that are configured or exist.
    pub(super) fn bridges(&self, current: &str) -> Vec<CompletionCandidate> {
        plain(current, present::bridges(&self.runtime))
    }

    /// Interfaces of the host other than bridges.
    pub(super) fn interfaces(&self, current: &str) -> Vec<CompletionCandidate> {
        plain(current, present::interfaces(&self.runtime, false))
    }

    /// `disk0` and the like of the guests on the line.
    pub(super) fn of_family(&self, family: &str, current: &str) -> Vec<CompletionCandidate> {
        let mut numbers: Vec<u16> = self.named().iter().flat_map(|guest| guest.settings.numbers(family)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        plain(current, numbers.iter().map(|n| format!("{family}{n}")))
    }

    /// The numbers that the guests on the line have of a family of keys, or 0.
    pub(super) fn numbers(&self, family: &str) -> Vec<String> {
        let mut numbers: Vec<u16> = self.named().iter().flat_map(|guest| guest.settings.numbers(family)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.is_empty() { vec!["0".to_owned()] } else { numbers.iter().map(ToString::to_string).collect() }
    }
}
