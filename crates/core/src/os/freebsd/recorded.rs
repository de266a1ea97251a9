//! Hosts as transcripts of their tools' output, for tests: releases on several processors, and hosts with defects.
//!
//! The commands in a transcript are compared with those that chyves runs, so that a changed command is noticed.

use super::facts::{Printed, read};
use super::{acpidump, bhyve, ifconfig, kldstat, pciconf, sysctl};
use crate::cmd::Cmd;
use crate::os::HostFacts;

macro_rules! transcripts {
    ($($name:literal),* $(,)?) => {
        /// The transcripts by name.
        pub(crate) const ALL: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../../tests-data/freebsd/", $name, ".txt")))),*];
    };
}

transcripts!(
    "13.5-amd",
    "13.5-intel",
    "14.3-amd",
    "14.3-amd-switched-off",
    "14.3-guest",
    "14.3-intel",
    "14.3-intel-restricted",
    "14.3-jail",
    "15.0-amd",
    "15.0-arm64",
    "15.0-intel",
);

/// The output of a host's tools.
pub(crate) fn printed(transcript: &str) -> Printed {
    let mut printed = Printed::default();
    for section in transcript.split("$ ").skip(1) {
        let (command, text) = section.split_once('\n').unwrap();
        let text = Some(text.to_owned());
        let is = |cmd: &Cmd| cmd.to_string() == command;
        match command {
            "cat /var/run/dmesg.boot" => printed.dmesg = text,
            "ls /dev/vmm" => printed.vms = text.map(|names| names.lines().map(str::to_owned).collect()),
            _ if is(&sysctl::command()) => printed.sysctl = text,
            _ if is(&kldstat::command()) => printed.kldstat = text,
            _ if is(&ifconfig::names()) => printed.interfaces = text,
            _ if is(&ifconfig::bridges()) => printed.bridges = text,
            _ if is(&pciconf::command()) => printed.pciconf = text,
            _ if is(&acpidump::command()) => printed.acpidump = text,
            _ if is(&bhyve::emulations()) => printed.emulations = text,
            _ if is(&bhyve::lpc()) => printed.lpc = text,
            _ => {
                let module = command.rsplit(' ').next().unwrap();
                assert!(is(&kldstat::query(module)), "chyves is not running `{command}`");
                printed.built_in.push(module.to_owned());
            }
        }
    }
    printed
}

/// A FreeBSD host without any known facts.
pub(crate) fn unknown() -> HostFacts {
    HostFacts { hypervisor: Some("/usr/sbin/bhyve".into()), ..crate::plan::testing::freebsd() }
}

/// The host of that name, parsed from its transcript.
pub(crate) fn host(name: &str) -> HostFacts {
    let (_, transcript) = ALL.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no transcript of `{name}`"));
    let mut host = unknown();
    read(&printed(transcript), &mut host);
    host
}
