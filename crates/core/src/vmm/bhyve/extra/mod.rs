//! The user's own arguments for bhyve (`bargs`), parsed as bhyve parses them, so that an option that the release does not
//! support, or a device that collides, is refused before anything is started. They follow chyves' own arguments, and the
//! last one takes precedence: [`replaced`] lists what they replace.
//!
//! Not here: splitting them into words (`cmd::split_words`), what they make bhyve open ([`mod@given`]).

mod given;

pub use given::{Given, given};

use super::feature::{Arch, Feature};
use super::{BhyveHost, Release, settings};
use crate::device::{Device, FwCfg, Owner, PciPlace, parse_pcidev};
use crate::error::Problem;
use crate::value::printable;
use crate::vmm::machine::{Boot, Machine, Topology};
use std::collections::{BTreeMap, BTreeSet};

/// Whether an option's value names a resource of the host that bhyve opens.
#[derive(Clone, Copy)]
enum Opens {
    /// It does not.
    Nothing,
    /// A TCP port, which is available in a jail too.
    Port,
    /// A file, a socket or a device.
    Files,
    /// Only some values do; the function decides.
    Some(fn(&str) -> bool),
}

/// An option of bhyve.
struct Letter {
    name: char,
    /// Whether it takes a value.
    value: bool,
    /// The key and value that it sets, if it is a switch.
    sets: Option<(&'static str, &'static str)>,
    /// The first release that supports it on arm64.
    arm64: Option<Release>,
    since: Option<Feature>,
    /// What its value names. A switch names nothing.
    opens: Opens,
}

/// An option without a value.
const fn flag(name: char, sets: Option<(&'static str, &'static str)>) -> Letter {
    Letter { name, value: false, sets, arm64: None, since: None, opens: Opens::Nothing }
}

/// An option with a value.
const fn with(name: char, opens: Opens) -> Letter {
    Letter { name, value: true, sets: None, arm64: None, since: None, opens }
}

/// The same, supported by every release on arm64.
const fn both(mut letter: Letter) -> Letter {
    letter.arm64 = Some(Feature::Arm64.since());
    letter
}

/// The same, supported on arm64 since FreeBSD main.
const fn late(mut letter: Letter) -> Letter {
    letter.arm64 = Some(Feature::Monitor.since());
    letter
}

const fn since(feature: Feature, mut letter: Letter) -> Letter {
    letter.since = Some(feature);
    letter
}

const LETTERS: &[Letter] = &[
    flag('a', Some(("x86.x2apic", "false"))),
    flag('e', Some(("x86.strictio", "true"))),
    both(flag('h', None)),
    flag('u', Some(("rtc.use_localtime", "false"))),
    flag('w', Some(("x86.strictmsr", "false"))),
    flag('x', Some(("x86.x2apic", "true"))),
    flag('A', Some(("acpi_tables", "true"))),
    both(flag('C', Some(("memory.guest_in_core", "true")))),
    both(flag('D', Some(("destroy_on_poweroff", "true")))),
    flag('H', Some(("x86.vmexit_on_hlt", "true"))),
    flag('I', None),
    flag('P', Some(("x86.vmexit_on_pause", "true"))),
    both(flag('S', Some(("memory.wired", "true")))),
    both(flag('W', Some(("virtio_msix", "false")))),
    flag('Y', Some(("x86.mptable", "false"))),
    both(with('k', Opens::Files)),
    both(with('o', Opens::Some(key_opens))),
    both(with('p', Opens::Nothing)),
    late(with('G', Opens::Port)),
    both(with('c', Opens::Nothing)),
    both(with('s', Opens::Files)),
    both(with('m', Opens::Nothing)),
    with('l', Opens::Files),
    // A layout is the name of a file in /usr/share/bhyve/kbdlayout, which the jail contains.
    with('K', Opens::Some(is_path)),
    both(with('U', Opens::Nothing)),
    // On arm64, getopt accepts -f, but bhyve does not handle it.
    since(Feature::FwCfg, with('f', Opens::Some(item_opens))),
    since(Feature::Numa, with('n', Opens::Nothing)),
    late(since(Feature::Monitor, flag('M', None))),
];

/// Keys of -o, and prefixes of keys, with values that name no resource of the host. Unknown keys of later releases may name
/// one.
const CLOSED: &[&str] = &[
    "acpi_tables",
    "bios.",
    "board.",
    "chassis.",
    "config.dump",
    "cores",
    "cpus",
    "destroy_on_poweroff",
    "domains.",
    "gdb.",
    "memory.",
    "pci.enable_bars",
    "rtc.",
    "sockets",
    "system.",
    "threads",
    "uuid",
    "vcpu.",
    "virtio_msix",
    "x86.",
];

fn is_path(value: &str) -> bool {
    value.contains('/')
}

/// Whether `KEY=VALUE` of -o names a resource. A value may refer to another key's value by `%(KEY)`.
fn key_opens(value: &str) -> bool {
    let key = value.split_once('=').map_or(value, |(key, _)| key);
    is_path(value)
        || value.contains("%(")
        || !CLOSED.iter().any(|closed| key == *closed || closed.ends_with('.') && key.starts_with(closed))
}

/// Whether `NAME,file=PATH` of -f names a file; `NAME,string=TEXT` does not.
fn item_opens(value: &str) -> bool {
    !value.split_once(',').is_some_and(|(_, content)| content.starts_with("string="))
}

const CHECK: &str = "check bargs";
const PLACE: &str = "use pcidev_1 and so on instead: chyves then gives them places";

/// One option as bhyve's getopt parses it.
struct Read<'a> {
    word: &'a str,
    letter: &'static Letter,
    value: Option<&'a str>,
}

/// Parses the arguments as bhyve does; `refuse` gets what bhyve would not accept: word, reason, fix.
fn read<'a>(words: &'a [String], host: &BhyveHost, mut refuse: impl FnMut(&str, String, &str)) -> Vec<Read<'a>> {
    let mut all = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-") else {
            refuse(word, "it is not an option, so bhyve would take it for the VM's name".into(), CHECK);
            continue;
        };
        let mut chars = letters.chars();
        while let Some(c) = chars.next() {
            let there = |l: &&Letter| host.arch == Arch::Amd64 || l.arm64.is_some_and(|since| host.release >= since);
            let Some(letter) = LETTERS.iter().find(|l| l.name == c).filter(there) else {
                let whose = match host.arch {
                    Arch::Amd64 => "bhyve",
                    Arch::Arm64 => "bhyve on arm64",
                };
                refuse(word, format!("{whose} has no option -{c}"), "check bargs; bhyve -h lists the options");
                break;
            };
            if let Some(problem) = letter.since.and_then(|feature| feature.on(host.release).err()) {
                refuse(word, problem.to_string(), "remove it from bargs, or upgrade the host");
            }
            if !letter.value {
                all.push(Read { word, letter, value: None });
                continue;
            }
            let behind = chars.as_str();
            match if behind.is_empty() { rest.next().map(String::as_str) } else { Some(behind) } {
                None => refuse(word, format!("-{c} needs a value behind it"), CHECK),
                Some(value) => all.push(Read { word, letter, value: Some(value) }),
            }
            break;
        }
    }
    all
}

/// Everything that no release of bhyve would accept in them, whatever the VM; for hosts with another hypervisor. `topology`
/// is the guest's own.
pub fn judge(words: &[String], topology: Topology) -> Vec<Problem> {
    let newest = newest();
    let mut found = Vec::new();
    let mut refuse = refusals(&mut found);
    let all = read(words, &newest, &mut refuse);
    alone(&all, &newest, &mut refuse);
    self::topology(topology, &all, &mut refuse);
    drop(refuse);
    found
}

/// A bhyve that supports most options.
const fn newest() -> BhyveHost {
    BhyveHost {
        release: Feature::Monitor.since(),
        arch: Arch::Amd64,
        max_cpus: None,
        emulations: None,
        console: String::new(),
        config_file: String::new(),
    }
}

/// Collects refusals: word, reason, fix.
fn refusals(found: &mut Vec<Problem>) -> impl FnMut(&str, String, &str) {
    |word: &str, why: String, cure: &str| {
        found.push(Problem::usage(format!("bhyve would not take the argument `{}`", printable(word, 60))).because(why).hint(cure));
    }
}

/// Checks each option by itself.
fn alone(all: &[Read<'_>], host: &BhyveHost, refuse: &mut impl FnMut(&str, String, &str)) {
    for option in all {
        let value = option.value.unwrap_or_default();
        match option.letter.name {
            'h' => refuse(option.word, "bhyve would print its usage and run no guest".into(), CHECK),
            's' | 'l' if value == "help" => refuse(option.word, "bhyve would print a list and run no guest".into(), CHECK),
            's' => emulation(value, refuse),
            'l' => lpc(value, refuse),
            'm' if !is_memory(value) => refuse(value, "it is not a size of memory".into(), "write -m 4G, or set ram instead"),
            'U' if uuid::Uuid::try_parse(value).is_err() => refuse(value, "it is not a UUID".into(), CHECK),
            'M' if host.release >= Feature::Monitor.since() => {
                refuse(option.word, "in monitor mode the process that chyves starts is not the VM's".into(), "remove it from bargs");
            }
            'o' => key(value, refuse),
            'f' => {
                if let Err(bad) = value.strip_prefix("name=").unwrap_or(value).parse::<FwCfg>() {
                    refuse(value, bad.to_string(), "write -f NAME,string=TEXT or -f NAME,file=/PATH");
                }
            }
            'p' if !is_pinning(value, host) => refuse(value, "it is no pinning".into(), "write -p VCPU:HOSTCPU, as -p 0:2"),
            _ => {}
        }
    }
}

/// Whether it is `VCPU:HOSTCPU`; FreeBSD main also accepts ranges. Older releases parse two numbers and ignore the rest.
fn is_pinning(value: &str, host: &BhyveHost) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let range = |text: &str| match text.split_once('-') {
        Some((first, last)) => host.release >= Feature::Monitor.since() && number(first) && number(last),
        None => number(text),
    };
    value.split_once(':').is_some_and(|(guest, host)| range(guest) && range(host))
}

/// Checks `SLOT,EMULATION[,CONF]`, in the notation of bhyve.
fn emulation(value: &str, refuse: &mut impl FnMut(&str, String, &str)) {
    let (place, rest) = value.split_once(',').unwrap_or((value, ""));
    if let Err(bad) = place.parse::<PciPlace>() {
        return refuse(value, bad.to_string(), PLACE);
    }
    match parse_pcidev(rest, Owner { guest: uuid::Uuid::nil(), number: 0 }) {
        Err(problem) => refuse(value, problem.causes.first().cloned().unwrap_or(problem.message), CHECK),
        Ok(Device::Raw(raw)) => {
            let why = format!("chyves knows no emulation `{}` of bhyve(8)", raw.emulation());
            refuse(value, why, "`bhyve -s help` lists them; pcidev_1=EMULATION,CONF takes those that chyves does not know");
        }
        Ok(_) => {}
    }
}

/// Checks `DEVICE[,CONF]` of -l. A device that needs a value ends bhyve if it has none; fwcfg is not a separate device.
fn lpc(value: &str, refuse: &mut impl FnMut(&str, String, &str)) {
    let (device, conf) = value.split_once(',').unwrap_or((value, ""));
    match device.to_ascii_lowercase().as_str() {
        "com1" | "com2" | "com3" | "com4" | "bootrom" | "tpm" if conf.is_empty() => {
            refuse(value, format!("bhyve ends where {device} has no value"), CHECK);
        }
        "com1" | "com2" | "com3" | "com4" | "bootrom" | "tpm" | "pc-testdev" => {}
        "fwcfg" => refuse(value, "bhyve takes fwcfg behind bootrom alone".into(), "set fw_cfg1 instead"),
        _ => refuse(value, "there is no such device behind the LPC bridge".into(), "`bhyve -l help` lists them"),
    }
}

/// A non-zero number with at most one unit, as vm_parse_memsize(3) accepts it.
fn is_memory(value: &str) -> bool {
    let digits = value.trim_end_matches(|c: char| "kKmMgGtT".contains(c));
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    value.len() - digits.len() <= 1 && number && digits.bytes().any(|b| b != b'0')
}

/// Everything in them that the host's bhyve would not accept, or that chyves could not manage.
pub(super) fn check(machine: &Machine, host: &BhyveHost) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut refuse = refusals(&mut found);
    let all = read(&machine.spec().extra, host, &mut refuse);
    let loaded = matches!(machine.spec().boot, Boot::Bhyveload(_) | Boot::GrubBhyve(_));
    let mut domains: Vec<&str> = Vec::new();
    alone(&all, host, &mut refuse);
    for option in &all {
        let value = option.value.unwrap_or_default();
        match option.letter.name {
            's' => slot(machine, value, &mut refuse),
            'm' if loaded => {
                refuse(option.word, "the loader prepares the VM with the memory of the property ram".into(), "set ram instead");
            }
            'n' => domains.push(value),
            _ => {}
        }
    }
    numa(machine, &domains, &mut refuse);
    topology(machine.spec().topology, &all, &mut refuse);
    drop(refuse);
    found
}

/// Refuses a configuration variable that would make bhyve exit without running a VM.
fn key(value: &str, refuse: &mut impl FnMut(&str, String, &str)) {
    match value.split_once('=') {
        Some(("config.dump", _)) => refuse(value, "bhyve would print its configuration and run no guest".into(), CHECK),
        Some(("monitor", _)) => {
            refuse(value, "in monitor mode the process that chyves starts is not the VM's".into(), "remove it from bargs");
        }
        Some((_, text)) if !text.is_empty() => {}
        _ => refuse(value, "-o takes KEY=VALUE, and the value must not be empty".into(), CHECK),
    }
}

/// NUMA domains: only with firmware, at most eight, numbered 0, 1, 2 and so on.
fn numa(machine: &Machine, domains: &[&str], refuse: &mut impl FnMut(&str, String, &str)) {
    let Some(first) = domains.first() else { return };
    if !matches!(machine.spec().boot, Boot::Uefi(_) | Boot::UBoot { .. }) {
        refuse(first, "NUMA domains need a boot ROM".into(), "set loader=uefi, or remove -n from bargs");
    }
    let mut ids = BTreeSet::new();
    for domain in domains {
        let id = domain.split(',').find_map(|word| word.strip_prefix("id=")).and_then(|id| id.parse::<usize>().ok());
        match id {
            Some(id) if id < 8 && ids.insert(id) => {}
            Some(id) if id < 8 => refuse(domain, format!("domain {id} is there already"), CHECK),
            _ => refuse(domain, "a domain has a number: id=0 to id=7".into(), "write -n id=0,size=1G"),
        }
    }
    if let Some(gap) = (0..ids.len()).find(|id| !ids.contains(id)) {
        refuse(
            first,
            format!("there is no domain {gap}, and bhyve stops reading at the first gap"),
            "number the domains 0, 1, 2 and so on",
        );
    }
}

/// Checks the topology that results from chyves' own -c and the user's: the numbers must multiply.
fn topology(own: Topology, all: &[Read<'_>], refuse: &mut impl FnMut(&str, String, &str)) {
    let Topology { cpus, sockets, cores, threads } = own;
    let mut numbers = BTreeMap::from([("cpus", cpus), ("sockets", sockets), ("cores", cores), ("threads", threads)]);
    let mut last = None;
    for option in all.iter().filter(|option| option.letter.name == 'c') {
        let value = option.value.unwrap_or_default();
        last = Some(value);
        for token in value.split(',') {
            let (key, number) = token.split_once('=').unwrap_or(("cpus", token));
            match (numbers.get_mut(key), number.parse()) {
                (Some(slot), Ok(number)) if number > 0 => *slot = number,
                _ => return refuse(value, "it is not a processor topology".into(), "set cpu, cpu_sockets and cpu_threads instead"),
            }
        }
    }
    let of = |key: &str| u64::from(numbers.get(key).copied().unwrap_or_default());
    if let Some(value) = last.filter(|_| of("sockets") * of("cores") * of("threads") != of("cpus")) {
        let why = format!(
            "with chyves' own -c it gives {} processors as {} sockets of {} cores of {} threads",
            of("cpus"),
            of("sockets"),
            of("cores"),
            of("threads")
        );
        refuse(value, why, "state all of cpus, sockets, cores and threads, or set cpu, cpu_sockets and cpu_threads instead");
    }
}

/// A device in the user's arguments must not collide with one of the VM.
fn slot(machine: &Machine, value: &str, refuse: &mut impl FnMut(&str, String, &str)) {
    let (place, rest) = value.split_once(',').unwrap_or((value, ""));
    let emulation = rest.split(',').next().unwrap_or_default();
    match place.parse::<PciPlace>() {
        // Reported already.
        Err(_) => {}
        Ok(place) => {
            if let Some(device) = machine.devices().get(&place) {
                refuse(value, format!("{} is at {place} already", device.word()), PLACE);
            }
            let single = ["lpc", "fbuf", "xhci"].contains(&emulation);
            if single && machine.devices().values().any(|device| device.word() == emulation) {
                refuse(value, format!("a VM has one {emulation} at most, and this one has it already"), PLACE);
            }
            if emulation == "passthru" && !machine.spec().memory_with_extra().wired {
                refuse(value, "passthrough needs wired memory".into(), "add -S to bargs");
            }
        }
    }
}

/// A sentence for each of chyves' own arguments that the user's replace.
pub fn replaced(machine: &Machine, host: &BhyveHost) -> Vec<String> {
    let own: BTreeMap<String, (String, String)> = settings(machine, host)
        .into_iter()
        .flat_map(|setting| {
            let words = setting.words.join(" ");
            setting.tree.into_iter().flatten().map(move |(key, value)| (key, (value, words.clone())))
        })
        .collect();
    let mut notes: Vec<String> = Vec::new();
    let mut note = |text: String| {
        if !notes.contains(&text) {
            notes.push(text);
        }
    };
    for option in read(&machine.spec().extra, host, |_, _, _| {}) {
        let c = option.letter.name;
        let value = option.value.unwrap_or_default();
        let shown = if option.letter.value { format!("-{c} {value}") } else { format!("-{c}") };
        match c {
            'k' => note(format!("bargs: what `{value}` sets replaces chyves' own arguments for the same keys")),
            'n' => note(format!("bargs: the sizes of the NUMA domains replace `-m {}M`", machine.spec().memory.size.mib_up())),
            _ => {
                for (key, value) in keys(&option, host) {
                    if let Some((_, words)) = own.get(&key).filter(|(own, _)| *own != value) {
                        note(format!("bargs: `{shown}` replaces chyves' own `{words}`"));
                    }
                }
            }
        }
    }
    notes
}

/// The keys that an option sets, limited to those that chyves sets as well.
fn keys(option: &Read<'_>, host: &BhyveHost) -> Vec<(String, String)> {
    let value = option.value.unwrap_or_default();
    let one = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    match option.letter.name {
        'c' => value.split(',').map(|token| token.split_once('=').unwrap_or(("cpus", token))).flat_map(|(k, v)| one(k, v)).collect(),
        'm' => one("memory.size", value),
        'U' => one("uuid", value),
        'o' => value.split_once('=').map(|(key, value)| one(key, value)).unwrap_or_default(),
        'l' => {
            let (device, conf) = value.split_once(',').unwrap_or((value, ""));
            let top = if host.release < Release::new(15, 0) { "lpc." } else { "" };
            match device.to_ascii_lowercase().as_str() {
                "bootrom" => one(&format!("{top}bootrom"), conf),
                "tpm" => one("tpm.type", conf),
                port => one(&format!("lpc.{port}.path"), conf),
            }
        }
        _ => option.letter.sets.map(|(key, value)| one(key, value)).unwrap_or_default(),
    }
}
