use super::*;
use crate::os::freebsd::recorded;
use crate::os::state::Iommu;

type Spoil = fn(&mut Printed, Option<String>);

#[test]
fn every_transcript_is_read_whole() {
    for (name, _) in recorded::ALL {
        let host = recorded::host(name);
        assert!(host.state.faults.is_empty(), "{name}: {:?}", host.state.faults);
        assert!(host.state.system.as_deref().is_some_and(|s| name.starts_with(&s[..4])), "{name}: {:?}", host.state.system);
        assert!(host.state.memory.is_some() && host.state.modules.is_some() && host.state.emulations.is_some(), "{name}");
        // The facts can be serialised for planning on another host.
        let text = serde_json::to_string(&host).unwrap();
        assert_eq!(serde_json::from_str::<HostFacts>(&text).unwrap(), host, "{name}");
    }
}

#[test]
fn the_processors_of_the_recorded_hosts() {
    let told = |name: &str| {
        let cpu = recorded::host(name).state.cpu;
        (cpu.vendor, cpu.nested_paging, cpu.unrestricted, cpu.switched_off)
    };
    let (intel, amd, arm) = (Some(Vendor::Intel), Some(Vendor::Amd), Some(Vendor::Arm));
    let (yes, no) = (Some(true), Some(false));
    for (name, expected) in [
        ("13.5-intel", (intel, yes, yes, no)),
        ("13.5-amd", (amd, yes, yes, no)),
        ("14.3-intel", (intel, yes, yes, no)),
        ("14.3-amd", (amd, yes, yes, no)),
        ("15.0-intel", (intel, yes, yes, no)),
        ("15.0-amd", (amd, yes, yes, no)),
        ("15.0-arm64", (arm, yes, yes, None)),
        ("14.3-intel-restricted", (intel, yes, no, no)),
        ("14.3-amd-switched-off", (amd, yes, yes, yes)),
        ("14.3-guest", (None, no, None, None)),
        ("14.3-jail", (intel, yes, yes, no)),
    ] {
        assert_eq!(told(name), expected, "{name}");
    }
}

#[test]
fn what_else_a_host_tells() {
    let host = recorded::host("13.5-intel");
    assert_eq!(
        (host.release, host.arch.as_str(), host.state.max_cpus, host.state.inside.as_deref()),
        ((13, 5), "amd64", Some(16), Some("none"))
    );
    assert_eq!(host.state.iommu, Some(Iommu::Dmar));
    let memory = host.state.memory.unwrap();
    assert_eq!(memory.available, Size::bytes((3_801_088 + 1_048_576) * 4096));
    assert_eq!(memory.obtainable(), Size::bytes(memory.available.get() + (10 << 30)));
    assert!(host.state.modules.as_ref().unwrap().contains("vmm") && host.state.modules.as_ref().unwrap().contains("if_tuntap"));
    assert_eq!(host.state.vms.unwrap().into_iter().collect::<Vec<_>>(), ["web1"]);
    assert_eq!(recorded::host("15.0-arm64").arch, "arm64");
    assert_eq!(recorded::host("14.3-amd").state.amdvi, Some(false));
    assert_eq!(recorded::host("14.3-jail").state.jailed, Some(true));
    assert_eq!(recorded::host("14.3-amd-switched-off").state.iommu, Some(Iommu::None));
}

#[test]
fn what_was_not_asked_is_unknown() {
    let mut host = recorded::unknown();
    read(&Printed::default(), &mut host);
    assert_eq!(host, recorded::unknown());
}

#[test]
fn a_tool_that_prints_something_else_is_a_fault_and_the_others_are_read() {
    let (_, transcript) = recorded::ALL.iter().find(|(name, _)| *name == "14.3-intel").unwrap();
    let whole = recorded::printed(transcript);
    let odd = || Some("something else\n".to_owned());
    let broken: [(&str, Spoil); 8] = [
        ("sysctl", |p, t| p.sysctl = t),
        ("kldstat", |p, t| p.kldstat = t),
        ("/var/run/dmesg.boot", |p, _| p.dmesg = Some("CPU: x\n  VT-x: a b\n".into())),
        ("ifconfig", |p, _| p.interfaces = Some("lo0\nem0\n".into())),
        ("pciconf", |p, t| p.pciconf = t),
        ("acpidump", |p, t| p.acpidump = t),
        ("bhyve", |p, t| p.emulations = t),
        ("bhyve", |p, t| p.lpc = t),
    ];
    for (tool, spoil) in broken {
        let mut printed = whole.clone();
        spoil(&mut printed, odd());
        let mut host = recorded::unknown();
        read(&printed, &mut host);
        let faults: Vec<&str> = host.state.faults.iter().filter_map(|f| f.object.as_deref()).collect();
        assert_eq!(faults, [tool]);
        assert!(host.state.vms.is_some());
    }
    let mut printed = whole;
    printed.sysctl = Some("kern.osrelease=15-CURRENT\n".into());
    let mut host = recorded::unknown();
    read(&printed, &mut host);
    assert!(host.state.faults[0].message.contains("15-CURRENT"), "{:?}", host.state.faults);
}

#[test]
fn the_transcripts_cover_releases_and_processors() {
    let good: Vec<&str> = recorded::ALL.iter().map(|(name, _)| *name).filter(|name| name.matches('-').count() == 1).collect();
    let part = |n: usize| good.iter().filter_map(|name| name.split('-').nth(n)).collect::<std::collections::BTreeSet<_>>();
    let releases: Vec<&str> = part(0).into_iter().collect();
    assert_eq!(releases, ["13.5", "14.3", "15.0"]);
    for release in releases {
        for cpu in ["intel", "amd"] {
            assert!(good.contains(&format!("{release}-{cpu}").as_str()), "{release} {cpu}");
        }
    }
    assert!(good.contains(&"15.0-arm64"));
}
