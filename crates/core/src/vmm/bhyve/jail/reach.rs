//! What a VM's bhyve process opens on the host, and therefore what its jail contains: a table of devices ([`of_device`]),
//! the user's own arguments, firmware and loaders.
//!
//! A device of a type that chyves does not know gets the paths in its text, with a note that these may be incomplete. Not
//! here: how a jail provides them ([`super::Jail`]).

use super::super::{BhyveHost, extra};
use super::{Reach, SINCE};
use crate::device::{AhciPort, Device, FwCfgContent, NetBackend, Raw, ScsiBehind, SerialEnd, Tpm, VncListen};
use crate::value::printable;
use crate::vmm::machine::{Boot, Machine};

/// Nodes in /dev that every bhyve process opens.
const NODES: &[&str] = &["null", "zero", "random", "urandom", "vmm", "vmm.io", "vmmctl"];

/// What exists at a path that a device of unknown type names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A file or a device.
    File,
    /// A folder.
    Folder,
    /// Nothing, so that nothing can be mounted from there.
    Nothing,
}

impl Reach {
    pub(super) fn file(&mut self, path: &str, write: bool) {
        match path.strip_prefix("/dev/") {
            Some(node) => {
                self.nodes.insert(node.to_owned());
            }
            None => *self.files.entry(path.to_owned()).or_default() |= write,
        }
    }

    fn folder(&mut self, path: &str, write: bool) {
        self.file(path, write);
        self.folders.insert(path.to_owned());
    }

    /// The existing paths that a device of unknown type names.
    fn named(&mut self, raw: &Raw, found: impl Fn(&str) -> Found) {
        let opens = raw.opens();
        let mut absent = Vec::new();
        for path in &opens.paths {
            match found(path) {
                Found::Nothing if !path.starts_with("/dev/") => absent.push(printable(path, 100)),
                Found::Folder => self.folder(path, !raw.has_word("ro")),
                Found::File | Found::Nothing => self.file(path, !raw.has_word("ro")),
            }
        }
        let word = raw.emulation();
        if !absent.is_empty() {
            self.unsure.push(format!("the jail does not contain {}, which `{word}` names and which does not exist", absent.join(", ")));
        } else if !opens.all {
            self.unsure.push(format!("what `{word}` opens besides the paths that it names is not known, and the jail does not contain it"));
        }
    }
}

/// What the bhyve process of a VM opens. `found` reports what exists at a path.
///
/// # Errors
/// The reason why this is unknown, or cannot be provided in a jail.
pub fn reach(machine: &Machine, host: &BhyveHost, found: impl Fn(&str) -> Found) -> Result<Reach, String> {
    let spec = machine.spec();
    let mut all = Reach::default();
    if host.release < SINCE {
        return Err(format!("FreeBSD {} mounts no single files into a jail: that came with {SINCE}", host.release));
    }
    for given in extra::given(&spec.extra) {
        match given {
            extra::Given::Device(device) => of_device(&device, &mut all, &found)?,
            extra::Given::Serial(end) => of_serial(&end, &mut all)?,
            extra::Given::Tpm(tpm) => of_tpm(&tpm, &mut all)?,
            extra::Given::File { path, write } => all.file(&path, write),
            extra::Given::Unknown(word) => {
                return Err(format!("`{}` of bargs may name files that the jail would not contain", printable(&word, 60)));
            }
        }
    }
    for device in machine.devices().values() {
        of_device(device, &mut all, &found)?;
    }
    for end in spec.serial.iter().flatten() {
        of_serial(end, &mut all)?;
    }
    all.nodes.insert(host.console.trim_start_matches("/dev/").to_owned());
    spec.tpm.iter().try_for_each(|tpm| of_tpm(tpm, &mut all))?;
    for item in &spec.fw_cfg {
        if let FwCfgContent::File(path) = &item.content {
            all.file(path, false);
        }
    }
    of_boot(&spec.boot, &mut all)?;
    let names = ["vmm", "vmm.io"].map(|folder| format!("{folder}/{}", spec.name));
    all.nodes.extend([names[0].clone(), format!("{}.*", names[1])]);
    all.nodes.extend(NODES.iter().map(|&node| node.to_owned()));
    Ok(all)
}

fn of_boot(boot: &Boot, all: &mut Reach) -> Result<(), String> {
    match boot {
        Boot::Uefi(firmware) => {
            all.file(&firmware.code, false);
            firmware.vars.iter().for_each(|vars| all.file(vars, true));
        }
        Boot::UBoot { image } => all.file(image, false),
        Boot::Bhyveload(loader) if loader.flags.iter().any(|flag| flag.contains('/')) => {
            return Err("bhyveload_flags may name files that the jail would not contain".to_owned());
        }
        Boot::Bhyveload(loader) => loader.disks.iter().for_each(|disk| all.file(disk, true)),
        Boot::GrubBhyve(loader) if crate::vmm::grub::is_own(loader.recipe.os) => {
            return Err("the device.map of os=custom may name files that the jail would not contain".to_owned());
        }
        Boot::GrubBhyve(loader) => {
            loader.disks.iter().for_each(|disk| all.file(disk, true));
            loader.medium.iter().for_each(|medium| all.file(&medium.path, false));
        }
        Boot::Bios => {}
    }
    Ok(())
}

/// The table: what each emulation opens, or the reason why it cannot run in a jail.
fn of_device(device: &Device, all: &mut Reach, found: impl Fn(&str) -> Found) -> Result<(), String> {
    match device {
        Device::Disk(disk) => all.file(&disk.backing.path, !disk.options.ro),
        Device::Optical(drive) => drive.medium.iter().for_each(|medium| all.file(&medium.path, false)),
        Device::Ahci(controller) => {
            for port in controller.ports() {
                match port {
                    AhciPort::Disk { backing, options, .. } => all.file(&backing.path, !options.ro),
                    AhciPort::Optical(drive) => drive.medium.iter().for_each(|medium| all.file(&medium.path, false)),
                }
            }
        }
        Device::Scsi(controller) => match &controller.behind {
            ScsiBehind::Ctl { device, .. } => all.file(device.as_deref().unwrap_or("/dev/cam/ctl"), true),
            ScsiBehind::Targets(targets) => targets.iter().for_each(|target| all.file(&target.backing.path, true)),
        },
        Device::Nic(nic) => match &nic.backend {
            NetBackend::Tap(tap) => {
                all.nodes.insert(tap.to_string());
            }
            NetBackend::Vale(_) | NetBackend::Netmap(_) => {
                all.nodes.insert("netmap".to_owned());
            }
            NetBackend::Netgraph(_) => return Err("a jail has no sockets of netgraph".to_owned()),
            NetBackend::User(_) => {}
        },
        Device::Share(share) => all.folder(&share.path, !share.ro),
        Device::Console(_) => return Err("bhyve makes the sockets of a virtio-console outside of the jail".to_owned()),
        Device::Input(input) => all.file(&input.path, false),
        Device::Hda(sound) => sound.play.iter().chain(&sound.rec).for_each(|path| all.file(path, true)),
        Device::Passthru(_) => return Err("passthrough needs /dev/pci and memory of the host, which defeats a jail".to_owned()),
        Device::FrameBuffer(display) => {
            if let VncListen::Unix(_) = display.listen {
                return Err("the socket of VNC is outside of the jail".to_owned());
            }
        }
        Device::Uart(uart) => of_serial(&uart.end, all)?,
        Device::Raw(raw) => all.named(raw, found),
        Device::HostBridge(_) | Device::Lpc | Device::RamDisk(_) | Device::Rng | Device::Tablet | Device::Filler => {}
    }
    Ok(())
}

fn of_serial(end: &SerialEnd, all: &mut Reach) -> Result<(), String> {
    match end {
        SerialEnd::Device(path) => all.file(path, true),
        SerialEnd::Socket(path) => return Err(format!("the socket {path} is outside of the jail")),
        SerialEnd::Console | SerialEnd::Tcp(_) | SerialEnd::Stdio => {}
    }
    Ok(())
}

fn of_tpm(tpm: &Tpm, all: &mut Reach) -> Result<(), String> {
    match tpm {
        Tpm::Passthru { device } => all.file(device, true),
        Tpm::Swtpm { .. } => return Err("the socket of swtpm is outside of the jail".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Owner, PciPlace, parse_pcidev};
    use crate::vmm::fixture::{bare, built, freebsd, with};
    use crate::vmm::machine::Spec;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    fn here(path: &str) -> Found {
        match path {
            "/tank/folder" => Found::Folder,
            "/tank/absent" => Found::Nothing,
            _ => Found::File,
        }
    }

    fn device(text: &str) -> Reach {
        let device = parse_pcidev(text, Owner { guest: Uuid::nil(), number: 1 }).unwrap();
        reach(&built(with(vec![(PciPlace::on(5, 0), device)])), &freebsd("14.3"), here).unwrap()
    }

    fn bargs(words: &str) -> Result<Reach, String> {
        let extra = crate::cmd::split_words(words).unwrap();
        reach(&built(Spec { extra, ..bare() }), &freebsd("14.3"), here)
    }

    /// The files in addition to those that every such VM has.
    fn files(all: &Reach) -> BTreeMap<String, bool> {
        let usual = bargs("").unwrap();
        all.files.iter().filter(|(path, _)| !usual.files.contains_key(*path)).map(|(path, write)| (path.clone(), *write)).collect()
    }

    #[test]
    fn what_has_no_type_keeps_the_jail_and_what_it_may_lack_is_said() {
        for text in ["dummy", "hostbridge,vendor=0x8086"] {
            let all = device(text);
            assert!(files(&all).is_empty() && all.unsure.is_empty(), "{text}: {all:?}");
        }
        let ngd = device("virtio-net,ngd3");
        assert!(ngd.nodes.contains("ngd3") && ngd.unsure.is_empty(), "{ngd:?}");
        let new = device("virtio-new,/tank/a,log=/tank/folder,ro,/dev/new0");
        assert_eq!(files(&new), BTreeMap::from([("/tank/a".to_owned(), false), ("/tank/folder".to_owned(), false)]));
        assert!(new.folders.contains("/tank/folder") && new.nodes.contains("new0"), "{new:?}");
        assert_eq!(new.unsure, ["what `virtio-new` opens besides the paths that it names is not known, and the jail does not contain it"]);
        let absent = device("virtio-new,/tank/absent");
        assert!(files(&absent).is_empty() && absent.unsure[0].contains("/tank/absent, which `virtio-new` names"), "{absent:?}");
    }

    #[test]
    fn a_shared_folder_is_a_folder() {
        let all = device("virtio-9p,share=/tank/folder");
        assert!(all.folders.contains("/tank/folder") && all.files["/tank/folder"], "{all:?}");
    }

    #[test]
    fn what_the_users_arguments_name_is_contained() {
        let words = "-s 9,virtio-blk,/tank/a,ro -s 10,hda,play=/dev/dsp0 -l com2,/dev/nmdm7A -f opt/x,file=/etc/x -K us -S -G 1234";
        let all = bargs(words).unwrap();
        assert_eq!(files(&all), BTreeMap::from([("/etc/x".to_owned(), false), ("/tank/a".to_owned(), false)]));
        assert!(["dsp0", "nmdm7A"].iter().all(|node| all.nodes.contains(*node)) && all.unsure.is_empty(), "{all:?}");
        let own = files(&bargs("-l bootrom,/tank/rom,/tank/vars -K /tank/layout").unwrap());
        assert_eq!(own.values().collect::<Vec<_>>(), [&false, &false, &true]);
        for words in ["-k /etc/my.conf", "-o pci.0.9.0.path=/tank/a"] {
            assert!(bargs(words).unwrap_err().contains("of bargs may name files that the jail would not contain"), "{words}");
        }
        assert!(bargs("-s 9,passthru,2/0/0 -S").unwrap_err().contains("passthrough needs /dev/pci"));
    }
}
