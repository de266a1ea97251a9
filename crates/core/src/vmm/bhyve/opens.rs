//! The files that a VM's bhyve process opens by path, so that the supervisor can verify that they are the ones that were
//! checked.
//!
//! Not here: nodes in /dev other than disks, which only root can rename.

use crate::device::FwCfgContent;
use crate::launch::{Opened, Opens};
use crate::vmm::machine::{Boot, Machine};

/// All of them, each once.
pub fn of(machine: &Machine) -> Vec<Opens> {
    let mut all: Vec<Opens> = Vec::new();
    let mut add = |path: &str, write: bool, stays: bool| {
        let what = Opened::File { path: path.to_owned(), write, device: path.starts_with("/dev/"), beneath: None };
        match all.iter_mut().find(|other| other.path() == path) {
            Some(other) => other.stays |= stays,
            None => all.push(Opens { what, stays }),
        }
    };
    for device in machine.devices().values() {
        device.media().into_iter().for_each(|(path, ro)| add(path, !ro, true));
    }
    let spec = machine.spec();
    match &spec.boot {
        Boot::Uefi(firmware) => {
            // The ROM is read into the guest's memory and closed; the variables stay mapped.
            add(&firmware.code, false, false);
            firmware.vars.iter().for_each(|vars| add(vars, true, true));
        }
        Boot::UBoot { image } => add(image, false, false),
        Boot::Bhyveload(_) | Boot::GrubBhyve(_) | Boot::Bios => {}
    }
    for item in &spec.fw_cfg {
        if let FwCfgContent::File(path) = &item.content {
            add(path, false, false);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::FwCfg;
    use crate::vmm::fixture::{built, usual};
    use crate::vmm::machine::Uefi;

    #[test]
    fn disks_media_and_firmware_are_among_them_and_what_is_closed_again_is_marked() {
        let mut spec = usual();
        spec.boot = Boot::Uefi(Uefi { code: "/fw/code.fd".into(), vars: Some("/tank/vars.fd".into()) });
        spec.fw_cfg = vec![FwCfg { name: "opt/a".into(), content: FwCfgContent::File("/etc/item".into()) }];
        let all: Vec<(String, bool)> = of(&built(spec)).iter().map(|one| (one.path().to_owned(), one.stays)).collect();
        for wanted in [("/fw/code.fd", false), ("/tank/vars.fd", true), ("/etc/item", false)] {
            assert!(all.contains(&(wanted.0.to_owned(), wanted.1)), "{wanted:?}: {all:?}");
        }
        assert!(all.iter().filter(|(_, stays)| *stays).count() > 1, "{all:?}");
    }
}
