//! Arranges guests as a tree by the guest that each is a clone of.
//!
//! Not here: creating clones ([`crate::plan::clone`]), promoting them ([`crate::plan::promote`]).

use super::Guest;
use crate::value::SnapshotRef;
use std::collections::{BTreeMap, BTreeSet};

/// The origin of a guest that is a clone.
pub fn origin(guest: &Guest) -> Option<SnapshotRef> {
    guest.origin.as_deref().and_then(|o| o.parse().ok())
}

/// One guest in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The guest's index in the input.
    pub index: usize,
    /// The index of the guest that it is a clone of, if that is in the input.
    pub above: Option<usize>,
    /// The tree lines printed before its name.
    pub lines: String,
}

/// The guests that are clones or have clones: those without an origin in the input first, each followed by its clones,
/// otherwise in the order of the input.
pub fn tree(guests: &[Guest]) -> Vec<Branch> {
    let places: BTreeMap<&str, usize> = guests.iter().enumerate().map(|(i, g)| (g.dataset.as_str(), i)).collect();
    let above: Vec<Option<usize>> = guests.iter().map(|g| origin(g).and_then(|o| places.get(o.dataset.as_str()).copied())).collect();
    let mut below: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, above) in above.iter().enumerate() {
        if let Some(above) = above {
            below.entry(*above).or_default().push(index);
        }
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for index in 0..guests.len() {
        if above[index].is_none() && (below.contains_key(&index) || guests[index].origin.is_some()) {
            walk(index, None, "", "", &below, &mut seen, &mut found);
        }
    }
    found
}

fn walk(
    index: usize,
    above: Option<usize>,
    before: &str,
    own: &str,
    below: &BTreeMap<usize, Vec<usize>>,
    seen: &mut BTreeSet<usize>,
    found: &mut Vec<Branch>,
) {
    if !seen.insert(index) {
        return;
    }
    found.push(Branch { index, above, lines: format!("{before}{own}") });
    let before = match own {
        "" => before.to_owned(),
        "└─ " => format!("{before}   "),
        _ => format!("{before}│  "),
    };
    let clones = below.get(&index).map_or(&[][..], Vec::as_slice);
    for (at, clone) in clones.iter().enumerate() {
        let own = if at + 1 == clones.len() { "└─ " } else { "├─ " };
        walk(*clone, Some(index), &before, own, below, seen, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    #[test]
    fn clones_hang_below_what_they_are_clones_of() {
        let guest = |name: &str, of: Option<&str>| {
            let mut g = testing::guest(name, &[]);
            g.origin = of.map(|of| format!("tank/chyves/{of}"));
            g
        };
        let guests = [
            guest("a", None),
            guest("a1", Some("guests/a@s")),
            guest("a11", Some("guests/a1@s")),
            guest("a2", Some("guests/a@s")),
            guest("a21", Some("guests/a2@s")),
            guest("alone", None),
            guest("made", Some("images/tiny@ready")),
        ];
        let drawn: Vec<String> = tree(&guests).iter().map(|b| format!("{}{}", b.lines, guests[b.index].name)).collect();
        assert_eq!(drawn, ["a", "├─ a1", "│  └─ a11", "└─ a2", "   └─ a21", "made"]);
    }
}
