//! Checks the host against security advisories about hypervisors, which are part of the catalogue.
//!
//! Not here: reading the host's release and patch level (chyves-host `facts`), the data ([`crate::catalogue`]).

use super::Finding;
use crate::catalogue::whole::{Advisory, Level, level};
use crate::world::HostFacts;

const WHAT: &str = "advisories";

/// Whether a patch level includes the fix; `None` if the advisory does not cover its branch.
fn has(level: Level, fixed: &[Level]) -> Option<bool> {
    let newest = fixed.iter().max()?;
    match fixed.iter().find(|fix| (fix.0, fix.1) == (level.0, level.1)) {
        Some(fix) => Some(level.2 >= fix.2),
        None if (level.0, level.1) > (newest.0, newest.1) => Some(true),
        None => fixed.iter().any(|fix| fix.0 == level.0 && fix.1 > level.1).then_some(false),
    }
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
        match has(level, &fixed) {
            Some(true) => {}
            Some(false) => found.push(
                Finding::warns(WHAT, format!("{known} lacks the fix of {}: {}; fixed in {shown}", advisory.name, advisory.about))
                    .cure("freebsd-update fetch install, then restart the guests; `freebsd-version -u` shows the installed patch level"),
            ),
            None => found.push(
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
            ("15.1-RELEASE-p5", Some(true)),
            ("15.1-RELEASE-p4", Some(false)),
            ("15.1-RELEASE", Some(false)),
            ("15.0-RELEASE-p9", Some(false)),
            ("15.2-RELEASE", Some(true)),
            ("16.0-RELEASE", Some(true)),
            ("14.4-RELEASE-p11", Some(true)),
            ("14.4-RELEASE-p10", Some(false)),
            ("14.5-RELEASE-p1", Some(false)),
            ("14.3-RELEASE-p20", Some(false)),
            ("13.5-RELEASE-p3", None),
        ] {
            assert_eq!(has(level(release).unwrap(), &fixed), expected, "{release}");
        }
        let all = crate::catalogue::Catalogue::built_in().unwrap().advisories;
        let mut facts = crate::os::freebsd::release_14_3();
        facts.state.system = Some("15.1-RELEASE-p4".into());
        let findings = host(&facts, &all);
        assert!(findings[0].severity == Severity::Warning && findings[0].cause.contains("SA-26:72"), "{findings:?}");
        facts.state.system = Some("15.1-RELEASE-p5".into());
        assert!(host(&facts, &all)[0].severity == Severity::Ok);
    }
}
