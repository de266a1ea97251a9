//! Programs that bridges need: nftables for NAT, dnsmasq for DHCP and DNS.

use super::Finding;
use crate::network::Design;
use crate::network::nat::{DNSMASQ, NFT, install};
use crate::os::{HostFacts, Os};

/// The programs, with the bridges that need them: a missing one is a failure if a bridge needs it, otherwise only reported.
pub fn host(host: &HostFacts, design: &Design) -> Vec<Finding> {
    let named = |wants: fn(&crate::network::BridgeSpec) -> bool| -> Vec<String> {
        design.bridges().filter(|bridge| wants(bridge)).map(|bridge| bridge.name.to_string()).collect()
    };
    let mut all = Vec::new();
    // On FreeBSD the packet filter is managed by the administrator.
    if host.os == Os::Linux {
        all.push(program(host, NFT, "nat", &named(|bridge| bridge.nat.is_some())));
    }
    all.push(program(host, DNSMASQ, "dhcp", &named(|bridge| bridge.dhcp)));
    all.extend(ways_out(host, design));
    all
}

/// Uplinks and NAT interfaces of bridges that do not exist.
fn ways_out(host: &HostFacts, design: &Design) -> Vec<Finding> {
    let Some(interfaces) = &host.state.interfaces else { return Vec::new() };
    let one = |bridge: &crate::network::BridgeSpec| {
        let name = &bridge.name;
        let (out, what, set) = match (&bridge.nat, &bridge.uplink) {
            (Some(nat), _) => (nat, "nat", format!("`chyves network {name} set nat=INTERFACE` names another")),
            // A missing end of a pair is created at the start.
            (None, Some(uplink)) if crate::os::pair_of(uplink.as_str()).is_none() => {
                (uplink, "uplink", format!("`chyves network {name} attach INTERFACE` names another"))
            }
            _ => return None,
        };
        let missing = !interfaces.contains_key(out.as_str());
        missing
            .then(|| Finding::warns(super::network::WHAT, format!("{name} uses {out} ({what}), and there is no such interface")).cure(set))
    };
    design.bridges().filter_map(one).collect()
}

fn program(host: &HostFacts, name: &str, setting: &str, bridges: &[String]) -> Finding {
    match (host.state.programs.get(name), bridges) {
        (None, _) => Finding::unknown(name, "not observed"),
        (Some(Some(path)), _) => Finding::ok(name, path),
        (Some(None), []) => {
            let cure = install(name, host.os).unwrap_or_default();
            Finding::ok(name, format!("not installed; only bridges with {setting} set need it ({cure})"))
        }
        (Some(None), bridges) => {
            let of = bridges.join(", ");
            let finding = Finding::fails(name, format!("it is missing: guests on {of}, where {setting} is set, cannot start"));
            install(name, host.os).into_iter().fold(finding, Finding::cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;
    use crate::plan::testing;

    #[test]
    fn programs_behind_bridges_are_named_with_their_packages() {
        let mut facts = testing::world(Vec::new()).host;
        let own = testing::own(&[("bridge0.nat", "em0"), ("bridge0.address", "10.9.0.1/24"), ("bridge0.dhcp", "yes")]);
        let hidden = Design::read(&own).unwrap();
        let said = |facts: &HostFacts, design: &Design| -> Vec<String> {
            host(facts, design).iter().map(|f| format!("{} {}: {}", f.severity.word(), f.what, f.line())).collect()
        };
        assert!(host(&facts, &hidden).iter().all(|f| f.severity == Severity::Unknown));
        facts.state.programs = [NFT, DNSMASQ].map(|name| (name.to_owned(), None)).into();
        assert_eq!(
            said(&facts, &hidden),
            [
                "fails nft: it is missing: guests on bridge0, where nat is set, cannot start; apt-get install nftables",
                "fails dnsmasq: it is missing: guests on bridge0, where dhcp is set, cannot start; apt-get install dnsmasq-base",
            ]
        );
        assert_eq!(
            said(&facts, &Design::default())[0],
            "ok nft: not installed; only bridges with nat set need it (apt-get install nftables)"
        );
        facts.os = Os::FreeBsd;
        assert_eq!(
            said(&facts, &hidden),
            ["fails dnsmasq: it is missing: guests on bridge0, where dhcp is set, cannot start; pkg install dnsmasq"]
        );
    }
}
