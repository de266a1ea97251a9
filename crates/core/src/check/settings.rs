//! Stored settings of pools and of the host: values that their properties do not allow, and bridges whose settings contradict
//! each other.

use super::Finding;
use crate::error::Problem;
use crate::network::Design;
use crate::pool::{Role, Root};
use crate::property::{self, Access, PREFIX, Scope};

/// What the findings are about.
const WHAT: &str = "settings";

/// A finding for each invalid setting. A property that chyves keeps itself is reported where the pool is read.
pub fn host(roots: &[Root]) -> Vec<Finding> {
    let mut all = Vec::new();
    for root in roots.iter().filter(|root| !root.is_copy()) {
        let before = all.len();
        for (key, own) in root.own.iter() {
            let Ok(known) = property::find(key) else { continue };
            if !matches!(known.property.scope, Scope::Global | Scope::Pool) || known.property.access != Access::Free {
                continue;
            }
            let Err(problem) = property::check(&known, &own.value) else { continue };
            let cure = match root.role {
                Role::Primary => format!("`chyves set global {key}=VALUE` replaces it, `chyves unset global {key}` removes it"),
                Role::Secondary | Role::Offline => format!("`zfs inherit {PREFIX}{key} {}` removes it", root.dataset),
            };
            all.push(finding(&problem, root).cure(cure));
        }
        // Bridges whose single values are valid; an invalid one is reported above.
        if root.role == Role::Primary
            && all.len() == before
            && let Ok(design) = Design::read(&root.own)
        {
            all.extend(design.faults().map(|(_, problem)| problem.hints.iter().fold(finding(problem, root), Finding::cure)));
        }
    }
    all
}

fn finding(problem: &Problem, root: &Root) -> Finding {
    Finding::warns(WHAT, format!("of {}: {problem}", root.dataset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    #[test]
    fn every_invalid_setting_of_the_host_is_a_finding() {
        let world = testing::world(Vec::new());
        let found = |role: Role, pairs: &[(&str, &str)]| -> Vec<String> {
            let root = Root { own: testing::own(pairs).into(), role, ..world.primary().unwrap().clone() };
            host(&[root]).iter().map(|f| format!("{} [{}]", f.cause, f.cure.join("; "))).collect()
        };
        let keys = property::catalog::all()
            .filter(|p| matches!(p.scope, Scope::Global | Scope::Pool) && p.access == Access::Free)
            .map(|p| p.key.replace("{n}", "3"));
        let bad = |key: &String| property::find(key).is_ok_and(|known| property::check(&known, "z z/").is_err());
        let keys: Vec<String> = keys.filter(bad).collect();
        assert!(keys.len() > 5 && keys.iter().any(|key| key == property::keys::NETWORK_MODE), "{keys:?}");
        let own: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "z z/")).collect();
        let all = found(Role::Primary, &own);
        assert_eq!(all.len(), keys.len());
        for key in &keys {
            assert!(all.iter().any(|f| f.contains(&format!("`{key}` cannot be")) && f.contains(&format!("unset global {key}`"))), "{key}");
        }
        assert!(found(Role::Secondary, &own[..1])[0].contains(&format!("`zfs inherit {PREFIX}{} tank/chyves`", keys[0])));
        let apart = found(Role::Primary, &[("bridge0.uplink", "em0"), ("bridge1.uplink", "em0")]);
        assert!(apart.len() == 1 && apart[0].contains("uplink of `bridge0` already") && apart[0].contains("[`chyves"), "{apart:?}");
        assert!(found(Role::Primary, &[("network_design_mode", "manual"), ("bridge0.uplink", "em0"), ("x.note", "z z/")]).is_empty());
    }
}
