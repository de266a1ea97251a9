//! `-c`: how many vCPUs in how many sockets, cores and threads. The numbers must multiply.

use super::config::{Config, ERROR};
use crate::exit::{Done, USAGE, exit};

/// The numbers as a guest sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) cpus: u32,
    pub(crate) sockets: u32,
    pub(crate) cores: u32,
    pub(crate) threads: u32,
}

/// Takes the argument of `-c` into the configuration.
pub(crate) fn parse(config: &mut Config, text: &str) -> Done {
    if text.is_empty() {
        config.set("cpus", "1");
        return Ok(());
    }
    for token in text.split(',') {
        match token.split_once('=') {
            None => config.set("cpus", token),
            Some((key @ ("cpus" | "sockets" | "cores" | "threads"), value)) => config.set(key, value),
            Some(_) => return exit(USAGE, format!("invalid cpu topology '{text}'")),
        }
    }
    Ok(())
}

/// The numbers that the configuration comes to.
pub(crate) fn resolve(config: &Config) -> Done<Topology> {
    let number = |key: &str| match config.get(key)? {
        None => Ok(None),
        Some(text) => match strtol(&text).filter(|number| (1..=65535).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => exit(ERROR, format!("Invalid value for {key}: '{text}'")),
        },
    };
    let cpus = number("cpus")?;
    let cores = number("cores")?.unwrap_or(1);
    let threads = number("threads")?.unwrap_or(1);
    // The default of the sockets is the vCPUs, so that cpus=8,cores=4 does not fit.
    let sockets = number("sockets")?.or(cpus).unwrap_or(1);
    let product = u64::from(sockets) * u64::from(cores) * u64::from(threads);
    match (cpus, u32::try_from(product)) {
        (Some(cpus), _) if u64::from(cpus) != product => {
            exit(ERROR, format!("Topology ({sockets} sockets, {cores} cores, {threads} threads) does not match {cpus} vCPUs"))
        }
        (_, Ok(cpus)) if cpus <= 65535 => Ok(Topology { cpus, sockets, cores, threads }),
        _ => exit(ERROR, format!("Computed number of vCPUs too high: {product}")),
    }
}

/// The memory of the NUMA domains together, which replaces `-m`; none without domains. Their numbers count 0, 1, 2 and so on.
pub(crate) fn domains(config: &Config, rom: bool) -> Done<Option<u64>> {
    let mut sum = None;
    for id in 0..8 {
        if config.below(&format!("domains.{id}.")).is_empty() {
            break;
        }
        if !rom {
            return exit(ERROR, "bhyve: NUMA domains need a boot ROM");
        }
        if let Some(size) = config.get(&format!("domains.{id}.size"))?.and_then(|size| crate::memsize::parse(&size)) {
            *sum.get_or_insert(0) += size;
        }
    }
    Ok(sum)
}

/// strtol(3) in base 0, without anything behind.
fn strtol(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if text.starts_with('0') && text.len() > 1 => u32::from_str_radix(&text[1..], 8).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Done<Topology> {
        let mut config = Config::default();
        parse(&mut config, text)?;
        resolve(&config)
    }

    #[test]
    fn what_multiplies_is_taken() {
        for (text, numbers) in [
            ("", [1, 1, 1, 1]),
            ("4", [4, 4, 1, 1]),
            ("sockets=1,cores=4", [4, 1, 4, 1]),
            ("cores=4", [4, 1, 4, 1]),
            ("threads=2,cpus=8,cores=2,sockets=2", [8, 2, 2, 2]),
            ("0x4", [4, 4, 1, 1]),
            ("010", [8, 8, 1, 1]),
            ("2,3", [3, 3, 1, 1]),
            ("+4", [4, 4, 1, 1]),
        ] {
            let Topology { cpus, sockets, cores, threads } = of(text).unwrap();
            assert_eq!([cpus, sockets, cores, threads], numbers, "{text}");
        }
    }

    #[test]
    fn what_does_not_is_refused() {
        for (text, status) in
            [("cpus=8,cores=4", 4), ("8,sockets=8,cores=4", 4), ("dies=2", 64), ("0", 4), ("4x", 4), ("cores=", 4), ("65536", 4)]
        {
            assert_eq!(of(text).unwrap_err().status, status, "{text}");
        }
    }
}
