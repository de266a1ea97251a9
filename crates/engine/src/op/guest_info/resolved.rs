//! The actual values of settings that are `auto`.

use chyves_core::cloudinit::reader::Reader;
use chyves_core::cloudinit::settings::is_wanted;
use chyves_core::error::Result;
use chyves_core::guest::{Accel, Guest, Loader, Spec};
use chyves_core::launch::Launch;
use chyves_core::os::HostFacts;
use chyves_core::property::keys;
use chyves_core::vmm::Vmm;

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Name of the field.
    pub(super) field: &'static str,
    /// The actual value.
    pub(super) value: String,
    /// Whether the value was chosen automatically.
    pub(super) auto: bool,
}

/// Firmware, acceleration and the reader of the seed, if the guest has them. The acceleration of a guest that is off is known
/// only at its start.
pub(super) fn of(guest: &Guest, spec: &Spec, host: &HostFacts, launch: Option<&Launch>) -> Result<Vec<Resolved>> {
    let mut all = Vec::new();
    if spec.loader == Loader::Uefi {
        let packaged = host.uefi.as_ref().map(|(code, _)| code).or(host.state.uboot.as_ref());
        let value = spec.firmware.as_ref().map(ToString::to_string).or_else(|| packaged.cloned());
        all.extend(value.map(|value| Resolved { field: "firmware", value, auto: spec.firmware.is_none() }));
    }
    let accelerator = launch.filter(|launch| launch.vmm == Vmm::Qemu).and_then(|launch| {
        let at = launch.hypervisor.args.iter().position(|arg| arg == "-accel")?;
        launch.hypervisor.args.get(at + 1)?.split(',').next().map(str::to_owned)
    });
    all.extend(accelerator.map(|value| Resolved { field: "accel", value, auto: spec.accel == Accel::Auto }));
    if is_wanted(guest)? {
        let auto = guest.checked(keys::CI_READER)?.is_none_or(|word| word == chyves_core::cloudinit::reader::AUTO);
        all.push(Resolved { field: "ci_reader", value: Reader::of(guest)?.to_string(), auto });
    }
    Ok(all)
}
