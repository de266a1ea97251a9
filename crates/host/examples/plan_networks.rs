//! How long it takes to plan the networks of many guests: `plan_networks GUESTS NICS BRIDGES RUNS` prints milliseconds, one
//! run a line. For scripts/bench; nothing of the machine is looked at or touched.

use chyves_core::guest::{Guest, RunState};
use chyves_core::network::{Actual, Design, IfKind, Interface};
use chyves_core::os::{HostFacts, HostState, Os};
use chyves_core::plan::network::{Facts, attach::attach};
use chyves_core::property::settings::{Own, OwnValues, Settings};
use chyves_core::value::Size;
use chyves_core::vmm::Vmm;
use chyves_core::zfs::Dialect;
use std::time::Instant;
use uuid::Uuid;

fn own(pairs: impl IntoIterator<Item = (String, String)>) -> OwnValues {
    pairs.into_iter().map(|(k, value)| (k, Own { value, received: false })).collect()
}

fn guest(n: usize, nics: usize, bridges: usize) -> Result<Guest, Box<dyn std::error::Error>> {
    let settings = (0..nics).flat_map(|c| {
        let bridge = format!("bridge{}", (n * nics + c) % bridges);
        [(format!("net{c}.backend"), "bridge".to_owned()), (format!("net{c}.bridge"), bridge)]
    });
    Ok(Guest {
        name: format!("web{n}").parse()?,
        dataset: format!("tank/chyves/guests/web{n}").parse()?,
        root: "tank/chyves".parse()?,
        uuid: Uuid::from_u128(n as u128 + 1),
        settings: Settings::new(own(settings), Vec::new()),
        used: Size::mib(1),
        origin: None,
        mounted: false,
        mountpoint: None,
        canmount: None,
        readonly: false,
        guid: None,
        home: None,
        foreign: None,
        state: RunState::Stopped,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse()).collect::<Result<_, _>>()?;
    let [guests, nics, bridges, runs] = args[..] else { return Err("plan_networks GUESTS CARDS BRIDGES RUNS".into()) };
    let host = HostFacts {
        os: Os::Linux,
        release: (6, 1),
        arch: "amd64".into(),
        vmm: Vmm::Qemu,
        dialect: Dialect::OpenZfs,
        run_dir: "/run/chyves".into(),
        uefi: None,
        kvm: Ok(()),
        hypervisor: None,
        confinement: chyves_core::confinement::Possible::default(),
        state: HostState::default(),
    };
    let design = (0..bridges).flat_map(|b| [(format!("bridge{b}.uplink"), format!("em{b}"))]);
    let mut actual = Actual::default();
    for b in 0..bridges {
        actual.interfaces.insert(format!("em{b}"), Interface::new(IfKind::Physical));
    }
    let facts = Facts { design: Design::read(&own(design))?, actual };
    let all: Vec<Guest> = (0..guests).map(|n| guest(n, nics, bridges)).collect::<Result<_, _>>()?;
    let specs = all.iter().map(Guest::spec).collect::<Result<Vec<_>, _>>()?;
    let pairs: Vec<_> = all.iter().zip(&specs).collect();
    for _ in 0..runs {
        let began = Instant::now();
        let planned = attach(&host, &facts, &pairs)?;
        let took = began.elapsed();
        assert!(planned.intents.len() >= guests * nics * 2, "every NIC has a tap and a place");
        println!("{:.3}", took.as_secs_f64() * 1000.0);
    }
    Ok(())
}
