//! The desired configuration of the host's bridges, from the settings on the primary pool's root.

use crate::error::{Code, Problem, Result, did_you_mean};
use crate::property::keys::{self, BridgeKey};
use crate::property::settings::OwnValues;
use crate::value::{Cidr, IfName, printable};
use crate::zfs::args::Pair;
use std::collections::{BTreeMap, BTreeSet};

/// Who creates networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// chyves creates what is missing.
    #[default]
    System,
    /// The administrator does; chyves only attaches NICs and verifies.
    Manual,
}

/// All configured bridges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Design {
    /// Who creates them.
    pub mode: Mode,
    /// Bridges by the name of their interface.
    bridges: BTreeMap<IfName, BridgeSpec>,
    /// Bridges with invalid settings, by number, with the name that they would have and the problem.
    wrong: BTreeMap<u16, (IfName, Problem)>,
}

/// The desired configuration of one bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSpec {
    /// Its number in the settings.
    pub number: u16,
    /// Its interface's name.
    pub name: IfName,
    /// Whether it is a netgraph node instead of an interface.
    pub netgraph: bool,
    /// Its uplink.
    pub uplink: Option<IfName>,
    /// The VLAN on the uplink.
    pub vlan: Option<u16>,
    /// Whether it is private, without an uplink.
    pub private: bool,
    /// Its MTU, if not derived from the uplink.
    pub mtu: Option<u32>,
    /// The host's addresses on it.
    pub addresses: Vec<Cidr>,
    /// Whether it filters VLANs.
    pub filtering: bool,
    /// The outgoing interface for NAT of its guests.
    pub nat: Option<IfName>,
    /// Whether the host provides DHCP and DNS for its guests.
    pub dhcp: bool,
    /// A description.
    pub description: Option<String>,
}

impl BridgeSpec {
    /// A bridge with default settings.
    pub fn new(number: u16, name: IfName) -> Self {
        Self {
            number,
            name,
            netgraph: false,
            uplink: None,
            vlan: None,
            private: false,
            mtu: None,
            addresses: Vec::new(),
            filtering: false,
            nat: None,
            dhcp: false,
            description: None,
        }
    }

    /// Checks that a netgraph node supports these settings.
    fn fit_for_netgraph(&self) -> Result<()> {
        let name = &self.name;
        if name.as_str().contains('.') {
            return Err(Problem::usage(format!("`{name}` is not a valid name of a netgraph node"))
                .on(name)
                .because("a dot parts the words of a path of nodes")
                .hint("choose a name without: letters, digits, `-` and `_`"));
        }
        let has = [
            (BridgeKey::Mtu, self.mtu.is_some(), "has no MTU of its own: its uplink and its guests' NICs have one"),
            (
                BridgeKey::Address,
                !self.addresses.is_empty(),
                "is not an interface, so the host's addresses are on its uplink and stay there",
            ),
            (BridgeKey::Filtering, self.filtering, "knows no VLANs"),
            (BridgeKey::Nat, self.nat.is_some(), "is not an interface that a packet filter could know"),
            (BridgeKey::Dhcp, self.dhcp, "is not an interface that a server could listen on"),
        ];
        let Some((part, _, why)) = has.into_iter().find(|(_, is, _)| *is) else { return Ok(()) };
        let key = |part| keys::bridge(self.number, part);
        // Addresses are stored in two keys.
        let both = if part == BridgeKey::Address { format!(" {}", key(BridgeKey::Address6)) } else { String::new() };
        Err(Problem::usage(format!("`{name}` is a netgraph bridge, which can have no {}", part.word()))
            .on(name)
            .because(format!("a node of netgraph {why}"))
            .hint(format!("omit it; if it is already set: `chyves unset global {}{both}`", key(part)))
            .hint(format!("or make `{name}` a bridge: `chyves set global {}=bridge`", key(BridgeKey::Type))))
    }

    /// Whether its connection is configured (uplink, private or NAT), so that it can be created.
    pub fn is_decided(&self) -> bool {
        self.uplink.is_some() || self.private || self.nat.is_some()
    }
}

/// The number of a key like `bridge3.uplink`.
fn number_of(key: &str) -> Option<u16> {
    key.strip_prefix("bridge")?.split_once('.')?.0.parse().ok()
}

impl Design {
    /// Parses the settings of the primary pool's root. Each bridge is validated separately: a stored value may be invalid,
    /// two bridges may have the same name or uplink, or one may be private and have an uplink. A problem with one bridge
    /// ([`Self::fault`]) does not keep guests on others from starting.
    ///
    /// # Errors
    /// The setting that states who creates networks is invalid.
    pub fn read(own: &OwnValues) -> Result<Self> {
        let (design, problem) = Self::to_show(own)?;
        problem.map_or(Ok(design), Err)
    }

    /// The same for what changes nothing: if the setting that states who creates networks is invalid, the problem is returned
    /// beside the design with the default.
    ///
    /// # Errors
    /// A bridge has no valid name.
    pub fn to_show(own: &OwnValues) -> Result<(Self, Option<Problem>)> {
        let get = |key: &str| -> Result<Option<String>> {
            let known = crate::property::find(key)?;
            let Some(value) = own.get(&known.key) else { return Ok(None) };
            crate::property::check(&known, &value.value).map(Some).map_err(|p| {
                p.within(format!("the host's setting `{}` is wrong", known.key))
                    .hint(format!("`chyves set global {}=VALUE` replaces it, `chyves unset global {0}` removes it", known.key))
            })
        };
        let (mode, problem) = match get(keys::NETWORK_MODE) {
            Ok(mode) if mode.as_deref() == Some("manual") => (Mode::Manual, None),
            Ok(_) => (Mode::System, None),
            Err(problem) => (Mode::System, Some(problem)),
        };
        let mut design = Self { mode, bridges: BTreeMap::new(), wrong: BTreeMap::new() };
        let numbers: BTreeSet<u16> = own.keys().filter_map(|k| number_of(k)).collect();
        for number in numbers {
            match design.one(number, &get) {
                Ok(spec) => {
                    design.bridges.insert(spec.name.clone(), spec);
                }
                Err(problem) => {
                    let named = get(&keys::bridge(number, BridgeKey::Name)).ok().flatten().and_then(|name| name.parse().ok());
                    let name = named.map_or_else(|| format!("bridge{number}").parse(), Ok)?;
                    design.wrong.insert(number, (name, problem));
                }
            }
        }
        Ok((design, problem))
    }

    /// Parses one bridge, given those that were parsed before it.
    fn one(&self, number: u16, get: &impl Fn(&str) -> Result<Option<String>>) -> Result<BridgeSpec> {
        let part = |part: BridgeKey| get(&keys::bridge(number, part));
        // All invalid values at once.
        let mut wrong: Vec<Problem> = BridgeKey::ALL.iter().filter_map(|key| part(*key).err()).collect();
        if wrong.len() > 1 {
            let all = Problem::usage(format!("{} of the host's settings of bridge{number} are wrong", wrong.len()));
            return Err(wrong.drain(..).fold(all, |all, one| one.hints.iter().fold(all.because(&one), |all, hint| all.hint(hint.clone()))));
        }
        let name: IfName = part(BridgeKey::Name)?.unwrap_or_else(|| format!("bridge{number}")).parse()?;
        let mut spec = BridgeSpec::new(number, name);
        spec.netgraph = part(BridgeKey::Type)?.as_deref() == Some("netgraph");
        spec.uplink = part(BridgeKey::Uplink)?.map(|u| u.parse()).transpose()?;
        spec.private = part(BridgeKey::Private)?.as_deref() == Some("yes");
        // In chyves of 2016, a private bridge had an uplink of this name.
        if spec.uplink.as_ref().is_some_and(|u| u.as_str() == "private") {
            spec.uplink = None;
            spec.private = true;
        }
        spec.vlan = part(BridgeKey::Vlan)?.and_then(|v| v.parse().ok());
        spec.mtu = part(BridgeKey::Mtu)?.and_then(|m| m.parse().ok());
        for key in [BridgeKey::Address, BridgeKey::Address6] {
            spec.addresses.extend(part(key)?.and_then(|a| a.parse::<Cidr>().ok()));
        }
        spec.filtering = part(BridgeKey::Filtering)?.as_deref() == Some("yes");
        spec.nat = part(BridgeKey::Nat)?.map(|n| n.parse()).transpose()?;
        spec.dhcp = part(BridgeKey::Dhcp)?.as_deref() == Some("yes");
        spec.description = part(BridgeKey::Description)?;
        self.sound(&spec)?;
        Ok(spec)
    }

    /// The problem with the settings of the bridge of that name, if they are invalid.
    pub fn fault(&self, name: &IfName) -> Option<&Problem> {
        let found = || self.wrong.values().find(|(wrong, _)| wrong == name).map(|(_, problem)| problem);
        if self.bridges.contains_key(name) { None } else { found() }
    }

    /// The bridges with invalid settings, and their problems.
    pub fn faults(&self) -> impl Iterator<Item = (&IfName, &Problem)> {
        self.wrong.values().map(|(name, problem)| (name, problem))
    }

    /// Checks that a change of the host's settings to those of `after` introduces no new problem.
    ///
    /// # Errors
    /// The first new problem.
    pub fn allows(&self, after: &Self) -> Result<()> {
        let new = after.wrong.iter().find(|(number, wrong)| self.wrong.get(number) != Some(wrong));
        new.map_or(Ok(()), |(_, (_, problem))| Err(problem.clone()))
    }

    /// Checks that new settings of bridges, `set`, are of bridges that `before` has, or state how a new bridge is connected:
    /// a mistyped number must not configure a bridge that nobody wants.
    ///
    /// # Errors
    /// A bridge has only other settings; the message names the commands that create it.
    pub fn declared(&self, before: &OwnValues, set: &[Pair]) -> Result<()> {
        for (key, value) in set {
            let Some(number) = number_of(key).filter(|n| !before.keys().any(|k| number_of(k) == Some(*n))) else { continue };
            let Some(spec) = self.bridges.values().find(|spec| spec.number == number && !spec.is_decided()) else { continue };
            let setting = key.split_once('.').map_or(key.as_str(), |(_, part)| part);
            let with = if setting == BridgeKey::Name.word() { String::new() } else { format!(" {setting}={}", printable(value, 60)) };
            let known: Vec<&str> = self.bridges.values().filter(|b| b.is_decided()).map(|b| b.name.as_str()).collect();
            return Err(Problem::usage(format!("cannot set `{key}`: bridge{number} is not configured on this host"))
                .on(&spec.name)
                .hint(format!(
                    "create it: `chyves network {0} attach INTERFACE{with}`, or `chyves network {0} private{with}` without an uplink",
                    spec.name
                ))
                .hint_if((!known.is_empty()).then(|| format!("configured are: {}", known.join(", ")))));
        }
        Ok(())
    }

    /// Checks that the bridge does not conflict with the others.
    fn sound(&self, spec: &BridgeSpec) -> Result<()> {
        let refuse = |why: String, hint: String| Err(Problem::usage(why).on(&spec.name).hint(hint));
        let key = |part| keys::bridge(spec.number, part);
        if let Some(other) = self.bridges.get(&spec.name) {
            return refuse(
                format!("two bridges are called `{}`", spec.name),
                format!("give one another name: `chyves set global {}=NAME`, or bridge{}.name", key(BridgeKey::Name), other.number),
            );
        }
        if spec.netgraph {
            spec.fit_for_netgraph()?;
        }
        if let (true, Some(uplink)) = (spec.private || spec.nat.is_some(), &spec.uplink) {
            let other =
                spec.nat.as_ref().filter(|_| !spec.private).map_or_else(|| "be private".to_owned(), |nat| format!("NAT through `{nat}`"));
            return refuse(
                format!("`{}` cannot have the uplink `{uplink}` and {other}", spec.name),
                format!("`chyves network {0} detach {uplink}`, or `chyves network {0} attach {uplink}`", spec.name),
            );
        }
        if let (Some(tag), None) = (spec.vlan, &spec.uplink) {
            return refuse(
                format!("`{}` is on VLAN {tag} of no uplink", spec.name),
                format!("`chyves network {} attach INTERFACE`", spec.name),
            );
        }
        if let Some(uplink) = &spec.uplink {
            if *uplink == spec.name {
                return refuse(format!("`{uplink}` cannot be its own uplink"), "attach a NIC".into());
            }
            if let Some(other) = self.bridges.values().find(|b| b.uplink.as_ref() == Some(uplink) && b.vlan == spec.vlan) {
                return refuse(
                    format!("`{uplink}` is the uplink of `{}` already", other.name),
                    format!(
                        "`chyves network {} detach {uplink}` first; or take a VLAN of it: `chyves network {} set vlan=TAG`",
                        other.name, spec.name
                    ),
                );
            }
        }
        for address in &spec.addresses {
            let clash = self.bridges.values().find(|b| b.addresses.iter().any(|a| a.overlaps(*address)));
            if let Some(other) = clash {
                return refuse(
                    format!("the network of {address} on `{}` is that of `{}` too", spec.name, other.name),
                    "give each bridge a network of its own".into(),
                );
            }
        }
        if (spec.dhcp || spec.nat.is_some()) && !spec.addresses.iter().any(|a| a.address.is_ipv4()) {
            return refuse(
                format!("`{}` needs an address for what it is to do", spec.name),
                format!("`chyves network {} set address=10.0.0.1/24`", spec.name),
            );
        }
        Ok(())
    }

    /// The bridge of that name.
    pub fn get(&self, name: &IfName) -> Option<&BridgeSpec> {
        self.bridges.get(name)
    }

    /// The netgraph bridge that a node address such as `lan:` refers to.
    pub fn node(&self, path: &str) -> Option<&BridgeSpec> {
        let name = path.strip_suffix(':').unwrap_or(path);
        self.bridges.values().find(|b| b.netgraph && b.name.as_str() == name)
    }

    /// The bridge of that name, or the one whose number is in its default name.
    pub fn find(&self, word: &str) -> Option<&BridgeSpec> {
        let numbered = || {
            let number: u16 = word.strip_prefix("bridge")?.parse().ok()?;
            self.bridges.values().find(|b| b.number == number)
        };
        self.bridges.values().find(|b| b.name.as_str() == word).or_else(numbered)
    }

    /// The same, where it is required.
    ///
    /// # Errors
    /// There is none; the message names the most similar one.
    pub fn must(&self, word: &str) -> Result<&BridgeSpec> {
        let shown = crate::value::printable(word, 40);
        if let (None, Some(fault)) = (self.find(word), word.parse().ok().as_ref().and_then(|name| self.fault(name))) {
            return Err(fault.clone());
        }
        self.find(word).ok_or_else(|| {
            Code::NoSuchBridge
                .problem(format!("no configured bridge of this host is called `{shown}`"))
                .on(&shown)
                .hint_if(did_you_mean(word, self.bridges.keys().map(IfName::as_str)))
                .hint(format!("`chyves network list` shows them; `chyves network {shown} attach INTERFACE`, or `… private`, makes it one"))
        })
    }

    /// All bridges, sorted by name.
    pub fn bridges(&self) -> impl Iterator<Item = &BridgeSpec> {
        self.bridges.values()
    }

    /// The number for a new bridge of that name: the number in the name if it is free, else the first free one.
    pub fn number_for(&self, name: &IfName) -> u16 {
        if let Some((number, _)) = self.wrong.iter().find(|(_, (wrong, _))| wrong == name) {
            return *number;
        }
        let taken: BTreeSet<u16> = self.bridges.values().map(|b| b.number).chain(self.wrong.keys().copied()).collect();
        let own = name.as_str().strip_prefix("bridge").filter(|d| *d == "0" || !d.starts_with('0')).and_then(|d| d.parse::<u16>().ok());
        match own.filter(|n| *n < 1000 && !taken.contains(n)) {
            Some(number) => number,
            // Low numbers are left to bridges with numbers in their names.
            None => (100..1000).chain(0..100).find(|n| !taken.contains(n)).unwrap_or(999),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::own;

    #[test]
    fn bridges_are_read_by_number_and_found_by_name() {
        let design = Design::read(&own(&[
            ("bridge0.uplink", "em0"),
            ("bridge1.private", "yes"),
            ("bridge1.address", "10.1.0.1/24"),
            ("bridge7.name", "lan"),
            ("bridge7.uplink", "em0"),
            ("bridge7.vlan", "5"),
            ("bridge8.uplink", "private"),
            ("network_mode", "manual"),
        ]))
        .unwrap();
        assert_eq!(design.mode, Mode::Manual);
        let names: Vec<&str> = design.bridges().map(|b| b.name.as_str()).collect();
        assert_eq!(names, ["bridge0", "bridge1", "bridge8", "lan"]);
        assert_eq!(design.find("bridge7").unwrap().name.as_str(), "lan");
        assert!(design.find("bridge8").unwrap().private && design.find("bridge9").is_none());
        assert!(design.must("lna").unwrap_err().hints[0].contains("lan"));
        assert_eq!(design.number_for(&"bridge9".parse().unwrap()), 9);
        assert_eq!(design.number_for(&"bridge7".parse().unwrap()), 100);
        assert_eq!(design.number_for(&"dmz".parse().unwrap()), 100);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (settings, why) in [
            (&[("bridge0.uplink", "em0"), ("bridge1.uplink", "em0")][..], "already"),
            (&[("bridge0.uplink", "em0"), ("bridge0.private", "yes")], "private"),
            (&[("bridge0.uplink", "em0"), ("bridge0.nat", "em9")], "the uplink `em0` and NAT through `em9`"),
            (&[("bridge0.uplink", "bridge0")], "its own uplink"),
            (&[("bridge0.vlan", "5")], "of no uplink"),
            (&[("bridge0.uplink", "em0"), ("bridge0.vlan", "4095")], "4094"),
            (&[("bridge0.name", "x"), ("bridge1.name", "x")], "two bridges"),
            (&[("bridge0.address", "10.0.0.1/24"), ("bridge1.address", "10.0.0.129/25")], "the network of"),
            (&[("bridge0.dhcp", "yes")], "needs an address"),
            (&[("bridge0.type", "netgraph"), ("bridge0.mtu", "9000")], "can have no mtu"),
            (&[("bridge0.type", "netgraph"), ("bridge0.address6", "fd00::1/64")], "can have no address"),
            (&[("bridge0.type", "netgraph"), ("bridge0.filtering", "yes")], "can have no filtering"),
            (&[("bridge0.type", "netgraph"), ("bridge0.nat", "wlan0")], "can have no nat"),
            (&[("bridge0.type", "netgraph"), ("bridge0.dhcp", "yes")], "can have no dhcp"),
            (&[("bridge0.type", "netgraph"), ("bridge0.name", "br.5")], "`br.5` is not a valid name"),
            (&[("bridge0.type", "vale")], "netgraph"),
        ] {
            let design = Design::read(&own(settings)).unwrap();
            let problem = design.faults().next().unwrap().1.clone();
            assert!(Design::default().allows(&design).is_err() && design.allows(&design).is_ok(), "{settings:?}");
            let all = format!("{problem} {}", problem.hints.join(" "));
            assert!(all.contains(why) && !problem.hints.is_empty(), "{settings:?}: {all}");
        }
    }
}
