//! The texts of a VM, from which command lines and configuration files are built.

use crate::device::{Device, FwCfgContent, NetBackend, Nic, SerialEnd, Tpm};
use crate::error::Problem;
use crate::value::printable;
use crate::vmm::machine::{Boot, Spec};

/// No text may contain characters that would end a line or a word of a command line or configuration file.
pub(super) fn check(spec: &Spec, found: &mut Vec<Problem>) {
    let mut all: Vec<(&str, &str)> = Vec::new();
    match &spec.boot {
        Boot::Uefi(firmware) => {
            all.push(("the firmware's path", &firmware.code));
            all.extend(firmware.vars.iter().map(|vars| ("the path of the firmware's variables", vars.as_str())));
        }
        Boot::Bios => {}
        Boot::Bhyveload(loader) => {
            all.extend(loader.disks.iter().map(|disk| ("the loader's disk", disk.as_str())));
            all.extend(loader.flags.iter().map(|flag| ("a flag of bhyveload", flag.as_str())));
        }
        Boot::GrubBhyve(loader) => all.extend(loader.texts()),
        Boot::UBoot { image } => all.push(("the path of U-Boot", image)),
    }
    for (_, device) in &spec.devices {
        all.extend(device.paths().into_iter().map(|path| ("a device's path", path)));
        if let Device::Nic(Nic { backend: NetBackend::Netgraph(node), .. }) = device {
            let words = [Some(&node.path), Some(&node.peerhook), node.socket.as_ref(), node.hook.as_ref()];
            all.extend(words.into_iter().flatten().map(|word| ("a name in netgraph", word.as_str())));
        }
    }
    all.extend(spec.serial.iter().flatten().filter_map(SerialEnd::path).map(|path| ("a serial port's path", path)));
    all.extend(spec.tpm.iter().map(|tpm| match tpm {
        Tpm::Passthru { device: path } | Tpm::Swtpm { socket: path } => ("the TPM's path", path.as_str()),
    }));
    for item in &spec.fw_cfg {
        all.push(("the name of a firmware item", &item.name));
        if !item.name.starts_with("opt/") || item.name.len() > 55 {
            found.push(
                Problem::usage(format!("`{}` is not a name of a firmware item", printable(&item.name, 80)))
                    .hint("begin it with opt/ and the reversed domain, as opt/org.example/key, at most 55 characters"),
            );
        }
        match &item.content {
            FwCfgContent::Text(text) => all.push(("a firmware item", text)),
            FwCfgContent::File(path) => all.push(("the path of a firmware item", path)),
        }
    }
    all.extend(spec.extra.iter().map(|word| ("an argument", word.as_str())));
    for (what, text) in all {
        if text.chars().any(char::is_control) {
            found.push(Problem::usage(format!("{what} has control characters: `{}`", printable(text, 80))).hint("write it without them"));
        } else if text.is_empty() && what != "an argument" {
            found.push(Problem::usage(format!("{what} is empty")).hint("set it, or unset the property"));
        }
    }
}
