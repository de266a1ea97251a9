//! Selects the firmware that a guest boots with, and plans `firmware reset`, which restores its variables from the
//! template.
//!
//! `firmware` names an image: its file holds the code, and the template of variables, if any, is beside it. Without a
//! name the firmware of the host's packages is used. Every guest has its own copy of the template.
//!
//! Not here: splitting a file into code and variables (chyves-host `import::firmware`), the VM's description
//! ([`super::machine`]).

use super::drives::{self, Loaded};
use super::machine::vars_path;
use super::{Moment, Plan, in_folder, not_template, own_guest, stopped};
use crate::action::Action;
use crate::check::{FirmwareFile, WantedFirmware, unfit_firmware};
use crate::error::{Code, Problem, Result, did_you_mean};
use crate::guest::{Guest, Loader, Spec};
use crate::image::{Image, ImageKind};
use crate::os::HostFacts;
use crate::value::{Dataset, FilePath, ImageName, Size};
use crate::vmm::Vmm;
use crate::world::World;

/// The firmware of one guest on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Firmware {
    /// The image that it is from; `None` for firmware of the host's packages.
    pub(super) image: Option<Loaded>,
    /// The file with the code.
    pub(super) code: FirmwareFile,
    /// The template of its variables; without one the guest has no persistent variables.
    pub(super) template: Option<FirmwareFile>,
}

/// A placeholder firmware, for checks that do not depend on which firmware the guest boots with.
pub(super) fn any(spec: &Spec) -> Option<Firmware> {
    let file = |path: &str| FirmwareFile { path: path.to_owned(), size: None };
    (spec.loader == Loader::Uefi).then(|| Firmware {
        image: None,
        code: file("/firmware/code.fd"),
        template: Some(file("/firmware/vars.fd")),
    })
}

impl Firmware {
    /// The facts about it that the checks need.
    pub(super) fn wanted(&self) -> WantedFirmware {
        WantedFirmware {
            image: self.image.as_ref().map(|loaded| loaded.image.clone()),
            files: std::iter::once(&self.code).chain(&self.template).cloned().collect(),
        }
    }

    /// The step that copies the template to the guest if it has no variables yet.
    pub(super) fn variables(&self, guest: &Guest, folder: &str) -> Option<Action> {
        let template = self.template.as_ref()?;
        let image = self.image.as_ref().and_then(|loaded| loaded.path.rsplit_once('/'));
        let from = match image.and_then(|(mount, _)| template.path.strip_prefix(mount)?.strip_prefix('/').map(|path| (mount, path))) {
            Some((mount, path)) => FilePath::below(mount, path),
            None => FilePath::host(template.path.as_str()),
        };
        Some(Action::CopyVariables { guest: guest.name.clone(), from, to: vars_path(folder) })
    }
}

/// The images that a guest's start needs besides its installation media, by name.
///
/// # Errors
/// A stored value that its property does not allow.
pub fn needed(guest: &Guest) -> Result<Vec<ImageName>> {
    let spec = guest.spec()?;
    Ok(spec.firmware.filter(|_| spec.loader == Loader::Uefi).into_iter().collect())
}

/// The reason why a guest's own firmware is unusable: the image it names does not exist or holds something else. The world
/// must hold the images that are [`needed`].
pub fn missing(world: &World, guest: &Guest) -> Option<Problem> {
    let needed = needed(guest).ok()?;
    needed.iter().find_map(|name| image(world, name).err().map(|problem| of_guest(problem, guest, name)))
}

/// Whether the hypervisor's firmware stores no variables: U-Boot of bhyve on arm64.
fn has_no_variables(host: &HostFacts) -> bool {
    host.vmm == Vmm::Bhyve && host.arch == "arm64"
}

/// The firmware that a guest boots with; `None` if it does not boot by firmware.
///
/// # Errors
/// The image that it names does not exist or holds no firmware, or the host has no firmware installed.
pub(super) fn of(world: &World, guest: &Guest, spec: &Spec) -> Result<Option<Firmware>> {
    let host = &world.host;
    if spec.loader != Loader::Uefi {
        return Ok(None);
    }
    let Some(name) = &spec.firmware else { return packaged(host, guest).map(Some) };
    let image = image(world, name).map_err(|p| of_guest(p, guest, name))?;
    let loaded = drives::loaded(world, image)?;
    let code = FirmwareFile { path: loaded.path.clone(), size: Some(image.size) };
    let own = image
        .vars
        .as_ref()
        .zip(loaded.path.rsplit_once('/'))
        .map(|(vars, (folder, _))| FirmwareFile { path: format!("{folder}/{}", ImageKind::VARS_FILE), size: Some(vars.size) });
    let template = if has_no_variables(host) { None } else { own.or_else(|| fitting(host, image.size)) };
    Ok(Some(Firmware { image: Some(loaded), code, template }))
}

/// The firmware of the host's packages.
fn packaged(host: &HostFacts, guest: &Guest) -> Result<Firmware> {
    let file = |path: &String| FirmwareFile { path: path.clone(), size: None };
    let missing = |what: &str, line: &str| Code::NoFirmware.problem(format!("this host has no {what}")).on(&guest.name).hint(line);
    if has_no_variables(host) {
        let code = host.state.uboot.as_ref().ok_or_else(|| missing("U-Boot for guests", "pkg install u-boot-bhyve-arm64"))?;
        return Ok(Firmware { image: None, code: file(code), template: None });
    }
    let (code, vars) = host.uefi.as_ref().ok_or_else(|| {
        let line = match host.vmm {
            Vmm::Bhyve => "pkg install edk2-bhyve",
            Vmm::Qemu => "apt-get install ovmf",
        };
        missing("UEFI firmware", line).hint(format!("or boot another way: `chyves set {} loader=LOADER`", guest.name))
    })?;
    Ok(Firmware { image: None, code: file(code), template: Some(file(vars)) })
}

/// The packages' template of variables, for firmware code that has none of its own. It fits if the packages' code has the
/// same length, because the variables are then at the same address.
fn fitting(host: &HostFacts, code: Size) -> Option<FirmwareFile> {
    let (packaged, vars) = host.uefi.as_ref()?;
    let seen = |path: &String| host.state.files.get(path).copied().flatten();
    (seen(packaged)?.size == code).then(|| FirmwareFile { path: vars.clone(), size: None })
}

/// The firmware image of that name, which a guest of this host can boot with.
///
/// # Errors
/// As [`image`], or the hypervisor does not accept its size.
pub fn usable<'w>(world: &'w World, name: &ImageName) -> Result<&'w Image> {
    let found = image(world, name)?;
    let vars = found.vars.as_ref().map(|vars| vars.size).filter(|_| !has_no_variables(&world.host));
    let sizes: Vec<Size> = std::iter::once(found.size).chain(vars).collect();
    match unfit_firmware(world.host.vmm, &sizes) {
        None => Ok(found),
        Some(why) => Err(Problem::usage(format!("no guest can boot with the firmware `{name}`"))
            .on(name)
            .because(why)
            .hint("`chyves firmware list` shows others; `chyves firmware import FILE --name NAME` adds one")),
    }
}

/// The firmware image of that name.
///
/// # Errors
/// There is none, or it holds something else; the message lists the existing ones.
pub fn image<'w>(world: &'w World, name: &ImageName) -> Result<&'w Image> {
    let all = || world.images.iter().filter(|i| i.kind == ImageKind::Firmware).map(|i| i.name.as_str());
    let problem = match world.images.iter().find(|i| i.name == *name) {
        Some(image) if image.kind == ImageKind::Firmware => return Ok(image),
        Some(image) => Problem::usage(format!("the image `{name}` holds no firmware")).because(format!("it is {}", image.kind.phrase())),
        None => Code::NoSuchImage.problem(format!("no firmware image is called `{name}`")).hint_if(did_you_mean(name.as_str(), all())),
    };
    Err(problem.on(name).hint(format!("`chyves firmware list` shows what there is; `chyves firmware import FILE --name {name}` adds it")))
}

fn of_guest(problem: Problem, guest: &Guest, name: &ImageName) -> Problem {
    problem
        .within(format!("`{}` boots with the firmware `{name}`, which is not available", guest.name))
        .on(&guest.name)
        .hint(format!("or let it boot with that of the packages: `chyves set {} firmware=auto`", guest.name))
}

/// Plans to restore a guest's variables from the template. The former ones are kept beside them.
///
/// # Errors
/// The guest is running, is a template, boots without variables, or its firmware is unavailable.
pub fn reset(world: &World, guest: &Guest, moment: &Moment) -> Result<Plan> {
    own_guest(guest)?;
    stopped(guest, "reset the firmware of")?;
    not_template(guest, "reset the firmware of")?;
    let spec = guest.spec()?;
    let Some(firmware) = of(world, guest, &spec)? else {
        return Err(Problem::usage(format!("`{}` boots without UEFI firmware", guest.name))
            .on(&guest.name)
            .because(format!("its loader is {}", guest.settings.value("loader").unwrap_or_default()))
            .hint(format!("`chyves set {} loader=uefi` gives it one", guest.name)));
    };
    let folder = guest.folder()?;
    let Some(fresh) = firmware.variables(guest, folder) else {
        return Err(Problem::not_now(format!("the firmware of `{}` keeps no variables", guest.name))
            .on(&guest.name)
            .because(format!("there is no template of variables for `{}`", firmware.code.path))
            .hint("import it together with one: `chyves firmware import CODE --vars VARS`"));
    };
    let stamp: String = moment.now.chars().filter(char::is_ascii_alphanumeric).collect();
    let token = moment.uuids.first().map(|u| u.simple().to_string()).unwrap_or_default();
    let kept = FilePath::below(folder, format!("uefi-vars-{stamp}-{}.fd", token.get(..6).unwrap_or_default()));
    let mut plan = Plan::default();
    plan.steps.extend(firmware.image.as_ref().map(|image| Action::Borrow { dataset: image.dataset.clone() }));
    plan.steps.extend(in_folder(guest, vec![Action::SetAside { from: vars_path(folder), to: kept }, fresh]));
    Ok(plan)
}

/// The datasets of the images that a plan mounts beside the guest's own file system.
pub fn images(plan: &Plan) -> Vec<Dataset> {
    let borrowed = |step: &Action| if let Action::Borrow { dataset } = step { Some(dataset.clone()) } else { None };
    plan.steps.iter().filter_map(borrowed).collect()
}

#[cfg(test)]
mod tests;
