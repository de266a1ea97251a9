//! `cloud-init`: the user's own texts, and an instance that is to be set up anew.
//!
//! Not here: the settings `ci.…` ([`super::set`]), and the seed, which each start makes ([`super::start`]).

use super::{Plan, in_folder, keep_copy, own_guest, set};
use crate::action::Action;
use crate::cloudinit::{FOLDER, Text, mime, settings};
use crate::error::{Problem, Result};
use crate::guest::Guest;
use crate::property::keys;
use crate::property::settings::Own;
use crate::world::World;

/// Makes sure that a text is one that cloud-init will not overlook.
///
/// # Errors
/// Its first line says nothing that cloud-init knows.
pub fn check_text(text: Text, content: &str, name: &str) -> Result<()> {
    match text {
        Text::UserData | Text::VendorData if !mime::is_known(content) => {
            Err(Problem::usage(format!("cloud-init would overlook `{}`", crate::value::printable(name, 200)))
                .on(text.file())
                .because("its first line says nothing that cloud-init knows")
                .hint("begin it with `#cloud-config`, `#!/bin/sh` or the like"))
        }
        Text::UserData | Text::VendorData | Text::NetworkConfig | Text::AuthorizedKeys => Ok(()),
    }
}

/// The steps that put texts into a guest's folder, which is mounted.
pub(super) fn texts_in(folder: &str, texts: &[(Text, String)]) -> Vec<Action> {
    if texts.is_empty() {
        return Vec::new();
    }
    let folder = format!("{folder}/{FOLDER}");
    let write = |(text, content): &(Text, String)| Action::WriteFile { path: format!("{folder}/{}", text.file()), text: content.clone() };
    std::iter::once(Action::MakeFolder { path: folder.clone() }).chain(texts.iter().map(write)).collect()
}

/// Plans to keep texts with a guest; an empty one takes away what was there.
///
/// # Errors
/// Another host's guest, a template, or one that has no use for them.
pub fn texts(guest: &Guest, texts: &[(Text, String)]) -> Result<Plan> {
    changeable(guest)?;
    Ok(Plan { steps: in_folder(guest, texts_in(guest.folder()?, texts)), notes: later(guest) })
}

/// Plans that a guest takes itself for a new machine.
///
/// # Errors
/// As [`texts`].
pub fn reinit(world: &World, guest: &Guest) -> Result<Plan> {
    changeable(guest)?;
    let next = settings::generation(guest)?.checked_add(1).ok_or_else(|| Problem::bug("no more generations"))?;
    let before = guest.settings.own_values();
    let mut after = before.clone();
    after.insert(keys::CI_GENERATION.into(), Own { value: next.to_string(), received: false });
    let mut plan = Plan { steps: Vec::new(), notes: later(guest) };
    plan.push(set::change(world, &guest.dataset, before, vec![(keys::CI_GENERATION.into(), next.to_string())], Vec::new()));
    plan.steps.extend(keep_copy(guest, &after)?);
    Ok(plan)
}

fn changeable(guest: &Guest) -> Result<()> {
    own_guest(guest)?;
    if guest.is_template() {
        return Err(Problem::not_now(format!("`{}` is a template", guest.name))
            .on(&guest.name)
            .hint(format!("`chyves set {} template=no` first; a clone of it is a new machine anyway", guest.name)));
    }
    if !settings::is_wanted(guest)? {
        return Err(Problem::not_now(format!("`{}` is not set up by cloud-init", guest.name))
            .on(&guest.name)
            .hint(format!("`chyves set {} ci.enabled=yes` lets it be", guest.name)));
    }
    Ok(())
}

fn later(guest: &Guest) -> Vec<String> {
    let alive = guest.state.is_alive();
    alive.then(|| format!("{} is {}; its next start or reboot makes the seed anew", guest.name, guest.state.word())).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing;

    #[test]
    fn a_reinit_is_another_generation() {
        let guest = testing::guest("web01", &[("ci.enabled", "yes"), ("ci.generation", "4")]);
        let world = testing::world(vec![guest.clone()]);
        insta::assert_snapshot!(reinit(&world, &guest).unwrap().script(Os::Linux));
    }

    #[test]
    fn texts_lie_in_the_guest_s_own_file_system() {
        let guest = testing::guest("web01", &[("ci.enabled", "yes")]);
        let own = [(Text::UserData, "#!/bin/sh\n".to_owned()), (Text::VendorData, String::new())];
        insta::assert_snapshot!(texts(&guest, &own).unwrap().script(Os::Linux));
    }

    #[test]
    fn what_would_be_overlooked_is_refused() {
        assert!(check_text(Text::UserData, "packages: [nginx]\n", "u").unwrap_err().hints[0].contains("#cloud-config"));
        assert!(check_text(Text::UserData, "#cloud-config\n", "u").is_ok());
        assert!(check_text(Text::NetworkConfig, "version: 2\n", "n").is_ok());
        let why = |settings: &[(&str, &str)]| texts(&testing::guest("web01", settings), &[]).unwrap_err();
        assert!(why(&[]).hints[0].contains("ci.enabled=yes"));
        assert!(why(&[("ci.enabled", "yes"), ("template", "yes")]).message.contains("template"));
    }
}
