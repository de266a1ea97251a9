//! bhyve's options as data: which letter takes an argument, since which release, on which processor.
//! A new option is a row in `OPTIONS` and an arm in `apply`.

use super::config::{Config, ERROR};
use super::{lpc, slot, topology};
use crate::exit::{Done, USAGE, exit};
use crate::getopt::{Met, walk};
use crate::memsize;
use crate::place::Place;
use crate::release::{FIRST, MAIN, Release, since};

struct Letter {
    letter: char,
    argument: bool,
    since: Release,
    /// Does an arm64 bhyve have it, too?
    arm64: bool,
}

const fn row(letter: char, argument: bool, since: Release, arm64: bool) -> Letter {
    Letter { letter, argument, since, arm64 }
}

const OPTIONS: &[Letter] = &[
    row('a', false, FIRST, false),
    row('A', false, FIRST, false),
    row('C', false, FIRST, true),
    row('c', true, FIRST, true),
    row('D', false, FIRST, true),
    row('e', false, FIRST, false),
    // arm64's getopt lists it, and its switch has no case for it: usage.
    row('f', true, since(14, 0), false),
    row('G', true, FIRST, false),
    row('H', false, FIRST, false),
    row('h', false, FIRST, true),
    row('I', false, FIRST, false),
    row('K', true, since(13, 1), false),
    row('k', true, since(13, 1), true),
    row('l', true, FIRST, false),
    row('M', false, MAIN, false),
    row('m', true, FIRST, true),
    row('n', true, since(15, 0), false),
    row('o', true, since(13, 1), true),
    row('P', false, FIRST, false),
    row('p', true, FIRST, true),
    row('S', false, FIRST, true),
    row('s', true, FIRST, true),
    row('U', true, FIRST, true),
    row('u', false, FIRST, false),
    row('W', false, FIRST, true),
    row('w', false, FIRST, false),
    row('x', false, FIRST, false),
    row('Y', false, FIRST, false),
];

/// Options without an argument that do nothing but set a key.
const FLAGS: &[(char, &str, &str)] = &[
    ('a', "x86.x2apic", "false"),
    ('C', "memory.guest_in_core", "true"),
    ('D', "destroy_on_poweroff", "true"),
    ('e', "x86.strictio", "true"),
    ('H', "x86.vmexit_on_hlt", "true"),
    ('M', "monitor", "true"),
    ('P', "x86.vmexit_on_pause", "true"),
    ('S', "memory.wired", "true"),
    ('u', "rtc.use_localtime", "false"),
    ('W', "virtio_msix", "false"),
    ('w', "x86.strictmsr", "false"),
    ('x', "x86.x2apic", "true"),
    ('Y', "x86.mptable", "false"),
];

/// What a bhyve command line asks for.
pub(crate) enum Asked {
    /// Something was printed, and that was all.
    Answered,
    Run(Config),
}

/// Reads a command line, left to right.
pub(crate) fn parse(place: &Place, args: &[String]) -> Done<Asked> {
    let host = &place.host;
    // arm64 has got two more of them in main.
    let has = |row: &Letter| row.arm64 || !host.arm64() || (host.release >= MAIN && ['G', 'M'].contains(&row.letter));
    let known = OPTIONS.iter().filter(|row| host.release >= row.since && has(row));
    let letters: String = known.map(|row| if row.argument { format!("{}:", row.letter) } else { row.letter.to_string() }).collect();
    let (options, rest) = walk(&letters, &[], args);
    let mut config = Config::default();
    config.set("acpi_tables", if !host.arm64() && host.release >= since(15, 0) { "true" } else { "false" });
    config.set("memory.size", "256M");
    if !host.arm64() {
        config.set("x86.strictmsr", "true");
        config.set("lpc.fwcfg", "bhyve");
    }
    for option in options {
        match option {
            Met::Short('h', _) => {
                eprintln!("{}", usage_text(&letters));
                return Ok(Asked::Answered);
            }
            Met::Short('s', "help") => {
                slot::names(host).for_each(|name| println!("{name}"));
                return Ok(Asked::Answered);
            }
            Met::Short('l', "help") => {
                lpc::names(host).for_each(|name| println!("{name}"));
                return Ok(Asked::Answered);
            }
            Met::Short(letter, value) => apply(place, &mut config, letter, value)?,
            Met::Long(name, _) => return usage(&letters, name),
            Met::Unknown(what) => return usage(&letters, &what),
        }
    }
    match rest {
        [] => {}
        [name] => config.set("name", name),
        _ => return usage(&letters, "more than one VM is named"),
    }
    match config.get("name")? {
        Some(name) if !name.is_empty() => Ok(Asked::Run(config)),
        _ => usage(&letters, "no VM is named"),
    }
}

fn apply(place: &Place, config: &mut Config, letter: char, value: &str) -> Done {
    if let Some((_, key, value)) = FLAGS.iter().find(|(flag, _, _)| *flag == letter) {
        config.set(*key, *value);
        return Ok(());
    }
    match letter {
        // Since 15.0 the tables are always built, and -A does nothing.
        'A' if place.host.release < since(15, 0) => config.set("acpi_tables", "true"),
        'c' => topology::parse(config, value)?,
        'f' => firmware_item(place, config, value)?,
        'G' => debugger(place.host.release, config, value)?,
        'K' => config.set("keyboard.layout", value),
        'k' => {
            let text = std::fs::read_to_string(place.resolve(value));
            let Ok(text) = text else { return exit(ERROR, format!("Failed to open configuration file {value}")) };
            config.read_file(value, &text)?;
        }
        'l' => lpc::parse(place, config, value)?,
        'm' => config.set("memory.size", value),
        'n' => domain(config, value)?,
        'o' if !config.assign(value)? => return exit(USAGE, format!("invalid configuration option '{value}'")),
        'p' => pin(place.host.release, config, value)?,
        's' => slot::parse(place, config, value)?,
        'U' => config.set("uuid", value),
        _ => {}
    }
    Ok(())
}

/// `-f [name=]name,string=data` or `-f name,file=path`.
fn firmware_item(place: &Place, config: &mut Config, value: &str) -> Done {
    // Split at the first comma only: what the value holds is its own.
    let value = value.strip_prefix("name=").unwrap_or(value);
    match value.split_once(',').and_then(|(name, item)| Some((name, item.split_once('=')?))).filter(|(name, _)| name.len() < 56) {
        Some((name, ("string", data))) => config.set(format!("lab.fw_cfg.{name}"), format!("string={data}")),
        Some((name, ("file", path))) if place.resolve(path).is_file() => {
            config.set(format!("lab.fw_cfg.{name}"), format!("file={}", place.resolve(path).display()));
        }
        _ => return exit(USAGE, format!("invalid fwcfg item '{value}'")),
    }
    Ok(())
}

/// `-G [w][address:]port`.
fn debugger(release: Release, config: &mut Config, value: &str) -> Done {
    let (wait, place) = value.strip_prefix('w').map_or((false, value), |rest| (true, rest));
    let (address, port) = place.rsplit_once(':').map_or((None, place), |(address, port)| (Some(address), port));
    if port.parse::<u16>().is_err() || (address.is_some() && release < since(13, 1)) {
        return exit(ERROR, format!("Invalid gdb port '{value}'"));
    }
    if wait {
        config.set("gdb.wait", "true");
    }
    config.set("gdb.address", address.unwrap_or("localhost"));
    config.set("gdb.port", port);
    Ok(())
}

/// `-n id=N[,size=S][,cpus=LIST][,domain_policy=P]`; a list of processors may hold commas of its own.
fn domain(config: &mut Config, value: &str) -> Done {
    let bad = || exit(USAGE, format!("invalid NUMA configuration '{value}'"));
    let mut id = None;
    let mut keys: Vec<(&str, String)> = Vec::new();
    for token in value.split(',') {
        match token.split_once('=') {
            Some(("id", number)) => id = number.parse::<u8>().ok().filter(|id| *id < 8),
            Some(("size", size)) if memsize::parse(size).is_none() => return bad(),
            Some((key @ ("size" | "cpus" | "domain_policy"), value)) => keys.push((key, value.to_owned())),
            Some(_) => return bad(),
            None => match keys.last_mut().filter(|(key, _)| *key == "cpus") {
                Some((_, list)) => list.push_str(&format!(",{token}")),
                None => return bad(),
            },
        }
    }
    let Some(id) = id else { return bad() };
    for (key, value) in keys {
        config.set(format!("domains.{id}.{key}"), value);
    }
    Ok(())
}

/// `-p vcpu:hostcpu`; ranges since main.
fn pin(release: Release, config: &mut Config, value: &str) -> Done {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number < 1024);
    let range = |text: &str| match text.split_once('-') {
        Some((from, to)) if release >= MAIN => Some((number(from)?, number(to)?)).filter(|(from, to)| from <= to),
        // Before, as sscanf reads it: what stands behind the numbers is not looked at.
        _ => number(text).map(|number| (number, number)),
    };
    let value = if release >= MAIN { value } else { leading(value) };
    let Some((guest, host)) = value.split_once(':').and_then(|(guest, host)| Some((range(guest)?, range(host)?))) else {
        return exit(USAGE, format!("invalid vcpu pinning '{value}'"));
    };
    if guest.1 - guest.0 != host.1 - host.0 && guest != (guest.0, guest.0) {
        return exit(USAGE, format!("invalid vcpu pinning '{value}'"));
    }
    let list = if host.0 == host.1 { host.0.to_string() } else { format!("{}-{}", host.0, host.1) };
    for vcpu in guest.0..=guest.1 {
        let key = format!("vcpu.{vcpu}.cpuset");
        // Several -p of one vCPU add up.
        let known = config.get(&key)?.map_or(String::new(), |known| format!("{known},"));
        config.set(key, format!("{known}{list}"));
    }
    Ok(())
}

/// The `N:N` that a text begins with.
fn leading(text: &str) -> &str {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let first = digits(text);
    match text[first..].strip_prefix(':') {
        Some(rest) => &text[..first + 1 + digits(rest)],
        None => text,
    }
}

fn usage_text(letters: &str) -> String {
    format!("Usage: bhyve [-{}] [options] <vm>\n       -s: <slot,driver,configinfo> PCI slot config", letters.replace(':', ""))
}

fn usage<T>(letters: &str, what: &str) -> Done<T> {
    exit(1, format!("bhyve: {what}\n{}", usage_text(letters)))
}
