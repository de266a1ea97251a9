//! The command that replaces an invalid stored value of a guest.

use super::Guest;
use crate::property::keys::{self, DiskKey};
use crate::property::settings::{Source, zfs_name};
use crate::property::{Access, Known, PREFIX};

/// The hint for an invalid value of this property. `set` refuses what chyves keeps itself, so each of those has another cure.
pub(super) fn cure(guest: &Guest, known: &Known) -> String {
    let (name, key) = (&guest.name, &known.key);
    if known.property.access == Access::Free {
        // What a group has, its other guests inherit as well.
        if let Source::Inherited(from) = guest.settings.get(known).source
            && from.is_within(&guest.root)
        {
            if from == guest.root.child("guests") {
                return format!("`chyves set defaults {key}=VALUE` replaces it");
            }
            return format!("`zfs set {}=VALUE {from}` replaces it, `zfs inherit {0} {from}` removes it", zfs_name(key));
        }
        return format!("`chyves set {name} {key}=VALUE` replaces it");
    }
    if let Some((number, part)) = disk(key) {
        return match part {
            "source" => format!(
                "detach the disk with `chyves disk remove {name} disk{number} --lost`, then `chyves disk add {name} --attach PATH`; both \
                 leave what it was attached to as it is"
            ),
            _ => format!("`chyves disk sync {name} disk{number}` reads the disk and records what it is"),
        };
    }
    match key.as_str() {
        // Without its UUID the dataset is no guest.
        keys::UUID => format!("`zfs set {PREFIX}uuid=$(uuidgen) {}`", guest.dataset),
        // Removing them could make the guest more trusted than it was.
        "owner" | "epoch" | "trust" => format!("`chyves adopt {name}` records it again"),
        trusted if trusted.starts_with(keys::TRUSTED) => format!("`chyves adopt {name}` records it again"),
        ci if ci.starts_with("ci.") => format!("`chyves cloud-init reinit {name}` records another one"),
        _ => format!("`zfs inherit {} {}` removes it", zfs_name(key), guest.dataset),
    }
}

/// The number of the disk that a key belongs to, and its part.
fn disk(key: &str) -> Option<(u16, &str)> {
    let (number, part) = key.strip_prefix("disk")?.split_once('.')?;
    let number = number.parse().ok()?;
    DiskKey::ALL.iter().any(|known| known.word() == part).then_some((number, part))
}

#[cfg(test)]
mod tests {
    use crate::guest::Guest;
    use crate::property::settings::{Own, OwnValues, Settings};
    use crate::property::{Access, catalog, find};

    /// Every property that `set` refuses has a cure that is another command.
    #[test]
    fn no_cure_of_a_kept_property_is_set() {
        let guest = crate::guest::tests::guest(&[]);
        let kept: Vec<_> = catalog::all().filter(|property| property.access != Access::Free).collect();
        assert!(kept.len() > 10, "{}", kept.len());
        for property in kept {
            // The rows of records of trust and of annotations stand for the keys behind their prefixes.
            let key = property.key.replace("{n}", "3");
            let known = find(&key).unwrap_or(crate::property::Known { property, key });
            let cure = super::cure(&guest, &known);
            assert!(!cure.contains("chyves set"), "{}: {cure}", property.key);
        }
        let cure = |key: &str| super::cure(&guest, &find(key).unwrap());
        assert_eq!(cure("disk3.size"), "`chyves disk sync web01 disk3` reads the disk and records what it is");
        assert_eq!(cure("created"), "`zfs inherit chyves:created tank/chyves/guests/web01` removes it");
        assert_eq!(cure("ram"), "`chyves set web01 ram=VALUE` replaces it");
        // What is inherited is replaced where it is stored.
        let bad = OwnValues::from([("ram".to_owned(), Own { value: "lots".into(), received: false })]);
        for (on, wanted) in [
            ("tank/chyves/guests", "`chyves set defaults ram=VALUE` replaces it"),
            ("tank/chyves/guests/prod", "`zfs set chyves:ram=VALUE tank/chyves/guests/prod` replaces it, "),
        ] {
            let above = vec![(on.parse().unwrap(), std::sync::Arc::new(bad.clone()))];
            let heir = Guest { settings: Settings::new(OwnValues::new(), above), ..guest.clone() };
            assert!(super::cure(&heir, &find("ram").unwrap()).starts_with(wanted), "{on}");
        }
    }
}
