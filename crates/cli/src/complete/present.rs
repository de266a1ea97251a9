//! The current objects that a completion needs: each kind is read once, and what cannot be read is not offered.

use super::values::plain;
use chyves_core::guest::Guest;
use chyves_core::network::Design;
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::observe::{self, Look, Which};
use chyves_host::runtime::Runtime;
use clap_complete::engine::CompletionCandidate;
use std::sync::OnceLock;

/// The host's objects, read on first use.
pub(super) struct Present {
    /// The finished words of the line.
    words: Vec<String>,
    guests: OnceLock<Option<World>>,
    images: OnceLock<Option<World>>,
    trash: OnceLock<Option<World>>,
    named: OnceLock<Option<World>>,
}

impl Present {
    pub(super) fn new(words: Vec<String>) -> Self {
        Self { words, guests: OnceLock::new(), images: OnceLock::new(), trash: OnceLock::new(), named: OnceLock::new() }
    }

    /// Whether a word is on the line.
    pub(super) fn is_about(&self, word: &str) -> bool {
        self.words.iter().any(|typed| typed == word)
    }

    fn every_guest(&self) -> &[Guest] {
        let world = self.guests.get_or_init(|| look(&Look::at_keys(Vec::new())));
        world.as_ref().map(|world| world.guests.as_slice()).unwrap_or_default()
    }

    /// The guests that are named on the line, with their settings.
    fn named(&self) -> &[Guest] {
        let world = self.named.get_or_init(|| {
            let parts = self.words.iter().skip(1).flat_map(|word| word.split([',', '@']));
            let names: Vec<GuestName> = parts.filter_map(|part| part.parse().ok()).collect();
            if names.is_empty() { None } else { look(&Look::at(&names)) }
        });
        world.as_ref().map(|world| world.guests.as_slice()).unwrap_or_default()
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
        let Some(world) = name.parse().ok().and_then(|name| look(&Look::at(&[name]))) else { return Vec::new() };
        let found = world.guests.first().map(|guest| names_of_snapshots(&world, guest)).unwrap_or_default();
        plain(current, found.iter().map(|snapshot| format!("{name}@{snapshot}")))
    }

    /// `@before` for the guests on the line.
    pub(super) fn snapshots_of_named(&self, current: &str) -> Vec<CompletionCandidate> {
        let guests = self.named();
        let Some(Some(world)) = self.named.get() else { return Vec::new() };
        let mut names: Vec<String> = guests.iter().flat_map(|guest| names_of_snapshots(world, guest)).collect();
        names.dedup();
        plain(current, names.iter().map(|name| format!("@{name}")))
    }

    pub(super) fn images(&self, current: &str) -> Vec<CompletionCandidate> {
        let world = self.images.get_or_init(|| look(&Look { images: Which::All, ..Look::default() }));
        plain(current, world.iter().flat_map(|world| &world.images).map(|image| image.name.to_string()))
    }

    pub(super) fn trash(&self, current: &str) -> Vec<CompletionCandidate> {
        let world = self.trash.get_or_init(|| look(&Look { trash: true, ..Look::default() }));
        plain(current, world.iter().flat_map(|world| &world.trash).map(chyves_core::guest::Trashed::label))
    }

    pub(super) fn pools(current: &str) -> Vec<CompletionCandidate> {
        let roots = observe::roots().map(|(roots, _)| roots).unwrap_or_default();
        plain(current, roots.iter().map(|root| root.dataset.pool().to_owned()))
    }

    /// Bridges that are configured or exist.
    pub(super) fn bridges(current: &str) -> Vec<CompletionCandidate> {
        let world = look(&Look::default());
        let design = world.as_ref().and_then(|world| Some(Design::to_show(&world.primary().ok()?.own).ok()?.0));
        let mut names: Vec<String> = design.iter().flat_map(Design::bridges).map(|bridge| bridge.name.to_string()).collect();
        names.extend(interfaces(true));
        names.sort();
        names.dedup();
        plain(current, names)
    }

    /// Interfaces of the host other than bridges.
    pub(super) fn interfaces(current: &str) -> Vec<CompletionCandidate> {
        plain(current, interfaces(false))
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

fn look(look: &Look) -> Option<World> {
    observe::world(&Runtime::from_env(), look).ok()
}

fn names_of_snapshots(world: &World, guest: &Guest) -> Vec<String> {
    let seen = observe::snapshots::of(world.host.dialect, guest).unwrap_or_default();
    seen.into_iter().map(|snapshot| snapshot.name).collect()
}

/// The bridges, or all other interfaces.
fn interfaces(bridges: bool) -> Vec<String> {
    let runtime = Runtime::from_env();
    if runtime.check().is_err() {
        return Vec::new();
    }
    let os = observe::without_pools(&runtime).host.os;
    let actual = chyves_host::network::look(os, &runtime).unwrap_or_default();
    actual.interfaces.iter().filter(|(_, interface)| interface.kind.bridges() == bridges).map(|(name, _)| name.clone()).collect()
}
