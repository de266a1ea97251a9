//! Converts stored values to typed ones. They may have been written by `zfs set`, so each is validated again.

use super::Guest;
use super::spec::{Backend, DiskSpec, NetSpec, Revert, ScreenSpec, Spec};
use crate::error::{Problem, Result};
use crate::launch::Policy;
use crate::property::choices::{Clock, Mouse};
use crate::property::keys::{self, NetKey};
use crate::property::kind::AUTO;
use crate::property::settings::Source;
use crate::value::Mac;
use crate::vmm::Pc;
use std::str::FromStr;

impl Guest {
    /// One effective setting, validated.
    ///
    /// # Errors
    /// The stored value is invalid; the message names the dataset and the property.
    pub fn checked(&self, key: &str) -> Result<Option<String>> {
        Reader { guest: self }.optional(key)
    }

    /// All settings, typed.
    ///
    /// # Errors
    /// A stored value is invalid; the message names the dataset and the property.
    pub fn spec(&self) -> Result<Spec> {
        let read = Reader { guest: self };
        let disks = self.settings.numbers("disk").into_iter().map(|n| read.disk(n)).collect::<Result<_>>()?;
        let nets = self.settings.numbers("net").into_iter().map(|n| read.net(n)).collect::<Result<_>>()?;
        Ok(Spec {
            cpu: (read.parsed(keys::CPU)?, read.parsed(keys::CPU_SOCKETS)?, read.parsed(keys::CPU_THREADS)?),
            ram: read.parsed(keys::RAM)?,
            loader: read.parsed(keys::LOADER)?,
            firmware: Some(read.word(keys::FIRMWARE)?).filter(|name| name != AUTO).map(|name| name.parse()).transpose()?,
            grub_root: Some(read.word(keys::GRUB_ROOT)?).filter(|root| root != AUTO),
            loader_timeout: read.parsed(keys::LOADER_TIMEOUT)?,
            bhyveload_flags: read.words(keys::BHYVELOAD_FLAGS)?,
            serial: read.numbered("com")?,
            tpm: read.optional(keys::TPM)?,
            fw_cfg: read.numbered("fw_cfg")?,
            accel: read.parsed(keys::ACCEL)?,
            confine: read.parsed(keys::CONFINE)?,
            confine_uids: read.parsed(keys::CONFINE_UIDS)?,
            utc: read.parsed::<Clock>(keys::RTC)? == Clock::Utc,
            pc: Pc {
                acpi: read.word(keys::ACPI)? == "yes",
                exit_on_hlt: read.word(keys::VMEXIT_ON_HLT)? == "yes",
                exit_on_pause: read.word(keys::VMEXIT_ON_PAUSE)? == "yes",
                ignore_bad_msr: read.word(keys::IGNORE_BAD_MSR)? == "yes",
            },
            bargs: read.words(keys::BARGS)?,
            qargs: read.words(keys::QARGS)?,
            disks,
            nets,
            pcidevs: read.numbered("pcidev_")?,
            screen: read.screen()?,
            policy: Policy {
                on_reboot: read.parsed(keys::ON_REBOOT)?,
                on_crash: read.parsed(keys::ON_CRASH)?,
                stop_timeout: read.parsed(keys::STOP_TIMEOUT)?,
            },
            console_log_limit: read.parsed(keys::CONSOLE_LOG_LIMIT)?,
            eject: read.parsed(keys::EJECT)?,
            revert: Revert { snapshot: read.optional(keys::REVERT_TO)?.map(|s| s.parse()).transpose()?, at: read.parsed(keys::REVERT_AT)? },
        })
    }
}

/// Reads stored values, which may have been written by `zfs set`, and validates them.
pub(super) struct Reader<'a> {
    pub(super) guest: &'a Guest,
}

impl Reader<'_> {
    pub(super) fn optional(&self, key: &str) -> Result<Option<String>> {
        let known = crate::property::find(key)?;
        let setting = self.guest.settings.get(&known);
        let Some(value) = setting.value else { return Ok(None) };
        crate::property::check(&known, &value).map(Some).map_err(|problem| {
            let on = match &setting.source {
                Source::Inherited(from) => from.clone(),
                Source::Local | Source::Received | Source::Default | Source::None => self.guest.dataset.clone(),
            };
            problem
                .within(format!("the setting `{}` of `{}` is wrong", known.key, self.guest.name))
                .on(&on)
                .hint(format!("it is stored on {on}; {}", super::cure::cure(self.guest, &known)))
        })
    }

    pub(super) fn word(&self, key: &str) -> Result<String> {
        let known = crate::property::find(key)?;
        self.optional(key)?.ok_or_else(|| {
            Problem::not_now(format!("`{}` has no `{key}`", self.guest.name))
                .on(&self.guest.dataset)
                .hint(super::cure::cure(self.guest, &known))
        })
    }

    pub(super) fn parsed<T: FromStr>(&self, key: &str) -> Result<T> {
        let text = self.word(key)?;
        text.parse().map_err(|_| Problem::bug(format!("`{key}` allows `{text}`, which its reader does not")).on(key))
    }

    fn words(&self, key: &str) -> Result<Vec<String>> {
        let Some(text) = self.optional(key)? else { return Ok(Vec::new()) };
        crate::cmd::split_words(&text).map_err(|why| Problem::usage(format!("`{key}` cannot be split: {why}")).on(key))
    }

    /// The values of a numbered key, by number.
    fn numbered(&self, key: &str) -> Result<Vec<(u16, String)>> {
        self.guest.settings.numbers(key).into_iter().map(|n| Ok((n, self.word(&format!("{key}{n}"))?))).collect()
    }

    fn disk(&self, number: u16) -> Result<DiskSpec> {
        let record = super::disk_records::record(self.guest, number);
        record.invalid.into_iter().next().map_or(Ok(record.disk), |(_, problem)| Err(problem))
    }

    /// The back end that the settings of a NIC imply, at whichever level they are set: an explicit setting is never
    /// ignored.
    fn named_backend(&self, number: u16) -> Option<Backend> {
        let is_set = |key: &str| {
            let found = crate::property::find(key).map(|known| self.guest.settings.get(&known).source);
            !matches!(found, Err(_) | Ok(Source::Default | Source::None))
        };
        let has = |part| is_set(&keys::net(number, part));
        if has(NetKey::Bridge) || has(NetKey::Tap) || has(NetKey::Vlan) || is_set(keys::BRIDGE) {
            return Some(Backend::Bridge);
        }
        has(NetKey::Netgraph).then_some(Backend::Netgraph).or_else(|| has(NetKey::Vale).then_some(Backend::Vale))
    }

    fn net(&self, number: u16) -> Result<NetSpec> {
        let key = |part| keys::net(number, part);
        let bridge = match self.optional(&key(NetKey::Bridge))? {
            Some(own) => own,
            None => self.word(keys::BRIDGE)?,
        };
        Ok(NetSpec {
            number,
            backend: self.parsed(&key(NetKey::Backend))?,
            named: self.named_backend(number),
            model: self.parsed(&key(NetKey::Model))?,
            bridge: bridge.parse()?,
            mac: match self.optional(&key(NetKey::Mac))? {
                Some(mac) => mac.parse()?,
                None => Mac::derived(self.guest.uuid, number),
            },
            mtu: self.optional(&key(NetKey::Mtu))?.and_then(|m| m.parse().ok()),
            pci: self.optional(&key(NetKey::Pci))?,
            vlan: self.optional(&key(NetKey::Vlan))?.and_then(|v| v.parse().ok()),
            tap: self.optional(&key(NetKey::Tap))?.map(|t| t.parse()).transpose()?,
            vale: self.word(&key(NetKey::Vale))?,
            netgraph: self.optional(&key(NetKey::Netgraph))?,
            queues: self.parsed(&key(NetKey::Queues))?,
            optional: self.word(&key(NetKey::Optional))? == "yes",
        })
    }

    fn screen(&self) -> Result<Option<ScreenSpec>> {
        if self.word(keys::VNC)? != "on" {
            return Ok(None);
        }
        let size = self.word(keys::VNC_RESOLUTION)?;
        Ok(Some(ScreenSpec {
            address: self.parsed(keys::VNC_ADDRESS)?,
            port: self.parsed(keys::VNC_PORT)?,
            size: crate::property::kind::resolution(&size).unwrap_or((1024, 768)),
            tablet: self.parsed::<Mouse>(keys::VNC_MOUSE)? == Mouse::Usb3,
        }))
    }
}
