//! Checks the host against security advisories about hypervisors, which are part of the catalogue.
//!
//! Not here: reading the host's release and patch level (chyves-host `facts`), the data ([`crate::catalogue`]).

use super::Finding;
use crate::catalogue::whole::{Advisory, Level, level};
use crate::os::HostFacts;

const WHAT: &str = "advisories";

/// How a release relates to the fix of an advisory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It includes the fix.
    Fixed,
    /// A later patch level of the same release includes it.
    Patch,
    /// Only a later release of the same branch includes it: its major and minor number.
    Upgrade(u16, u16),
    /// The advisory does not cover its branch.
    Uncovered,
}

fn standing(level: Level, fixed: &[Level]) -> Standing {
    if let Some(fix) = fixed.iter().find(|fix| (fix.0, fix.1) == (level.0, level.1)) {
        return if level.2 >= fix.2 { Standing::Fixed } else { Standing::Patch };
    }
    if fixed.iter().max().is_some_and(|newest| (level.0, level.1) > (newest.0, newest.1)) {
        return Standing::Fixed;
    }
    let later = fixed.iter().filter(|fix| fix.0 == level.0 && fix.1 > level.1).max();
    later.map_or(Standing::Uncovered, |fix| Standing::Upgrade(fix.0, fix.1))
}

/// The findings from the advisories for this host; empty if none is about its operating system.
pub(super) fn host(host: &HostFacts, all: &[Advisory]) -> Vec<Finding> {
    let about: Vec<&Advisory> = all.iter().filter(|advisory| advisory.os == host.os).collect();
    if about.is_empty() {
        return Vec::new();
    }
    let Some(known) = host.state.system.as_deref() else {
        return vec![Finding::unknown(WHAT, "the host's patch level is not known")];
    };
    let Some(level) = level(known) else {
        return vec![Finding::unknown(WHAT, format!("{known} is not a release: compare its date with those of the advisories"))];
    };
    let mut found = Vec::new();
    for advisory in about {
        let fixed: Vec<Level> = advisory.fixed.iter().filter_map(|text| self::level(text)).collect();
        let shown = advisory.fixed.join(", ");
        let lacks = || Finding::warns(WHAT, format!("{known} lacks the fix of {}: {}; fixed in {shown}", advisory.name, advisory.about));
        match standing(level, &fixed) {
            Standing::Fixed => {}
            Standing::Patch => found.push(
                lacks().cure("freebsd-update fetch install, then restart the guests; `freebsd-version -u` shows the installed patch level"),
            ),
            // No patch level of this release has the fix.
            Standing::Upgrade(major, minor) => found.push(lacks().cure(format!(
                "upgrade to a release with the fix: freebsd-update upgrade -r {major}.{minor}-RELEASE, then freebsd-update install and a reboot"
            ))),
            Standing::Uncovered => found.push(
                Finding::warns(
                    WHAT,
                    format!("{} ({}) is fixed in {shown}, and {known} is of none of these branches", advisory.name, advisory.about),
                )
                .cure("upgrade to a release that is still supported"),
            ),
        }
    }
    if found.is_empty() {
        found.push(Finding::ok(WHAT, format!("{known} has the fixes of all that the catalogue knows")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;

    #[test]
    fn a_release_has_the_fix_or_not() {
        let fixed: Vec<Level> = ["15.1-p5", "14.5-p2", "14.4-p11"].iter().filter_map(|text| level(text)).collect();
        for (release, expected) in [
            ("15.1-RELEASE-p5", Standing::Fixed),
            ("15.1-RELEASE-p4", Standing::Patch),
            ("15.1-RELEASE", Standing::Patch),
            ("15.0-RELEASE-p9", Standing::Upgrade(15, 1)),
            ("15.2-RELEASE", Standing::Fixed),
            ("16.0-RELEASE", Standing::Fixed),
            ("14.4-RELEASE-p11", Standing::Fixed),
            ("14.4-RELEASE-p10", Standing::Patch),
            ("14.5-RELEASE-p1", Standing::Patch),
            ("14.3-RELEASE-p20", Standing::Upgrade(14, 5)),
            ("13.5-RELEASE-p3", Standing::Uncovered),
        ] {
            assert_eq!(standing(level(release).unwrap(), &fixed), expected, "{release}");
        }
        let all = crate::catalogue::Catalogue::built_in().unwrap().advisories;
        let mut facts = crate::os::freebsd::release_14_3();
        facts.state.system = Some("15.1-RELEASE-p4".into());
        let findings = host(&facts, &all);
        assert!(findings[0].severity == Severity::Warning && findings[0].cause.contains("SA-26:72"), "{findings:?}");
        assert!(findings[0].cure.concat().contains("fetch install"), "{findings:?}");
        // No patch level of 15.0 has the fix: an update would change nothing.
        facts.state.system = Some("15.0-RELEASE-p2".into());
        let cure = host(&facts, &all)[0].cure.concat();
        assert!(cure.contains("upgrade -r 15.1-RELEASE") && !cure.contains("fetch install"), "{cure}");
        facts.state.system = Some("15.1-RELEASE-p5".into());
        assert!(host(&facts, &all)[0].severity == Severity::Ok);
    }
}
