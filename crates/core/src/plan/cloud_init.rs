//! `cloud-init`: user-supplied texts, and re-initialisation of an instance.
//!
//! Not here: the settings `ci.…` ([`super::set`]), and the seed, which is generated at each start ([`super::start`]).

use super::{Plan, in_folder, keep_copy, own_guest, set};
use crate::action::Action;
use crate::cloudinit::format::{self, Format};
use crate::cloudinit::reader::Reader;
use crate::cloudinit::{FOLDER, Text, documents, settings, yaml};
use crate::error::{Code, Problem, Result};
use crate::guest::Guest;
use crate::guest::written::Change;
use crate::property::settings::Own;
use crate::property::{VALUE_LIMIT, keys};
use crate::value::{FilePath, PublicKey};
use crate::world::World;

/// Checks that a text is complete and of a format that some cloud-init reader supports.
///
/// # Errors
/// Its first line matches no supported format, or the rest does not parse.
pub fn check_text(text: Text, content: &str, name: &str) -> Result<()> {
    let shown = crate::value::printable(name, 200);
    let refuse = |cause: String, hint: &str| {
        Err(Problem::usage(format!("cannot use `{shown}` as {}", text.file())).on(text.file()).because(cause).hint(hint))
    };
    let format = match text {
        Text::AuthorizedKeys => return Ok(()),
        Text::NetworkConfig => None,
        Text::UserData | Text::VendorData => match Format::of(content) {
            Some(format) => Some(format),
            None => {
                return refuse(
                    "its first line is none that cloud-init knows, which would ignore it".into(),
                    "begin it with `#cloud-config`, `#!/bin/sh` or the like",
                );
            }
        },
    };
    let is_yaml = matches!(format, None | Some(Format::CloudConfig | Format::Archive));
    let parsed = if is_yaml { yaml::parse(format::content(content)) } else { Ok(None) };
    let expected = match (format, parsed) {
        (_, Err(bad)) => return refuse(format!("it is not YAML: {bad}"), "correct that line"),
        (None, Ok(None)) => "it is empty",
        (None | Some(Format::CloudConfig), Ok(Some(node))) if node.pairs().is_none() => "it is not a mapping of keys to values",
        (Some(Format::Archive), Ok(node)) if node.as_ref().is_none_or(|node| node.items().is_none()) => "it is not a list of texts",
        _ => return Ok(()),
    };
    refuse(expected.into(), "see cloud-init's documentation of that format")
}

/// Checks that the cloud-init reader of a guest with these settings supports the texts.
///
/// # Errors
/// It would ignore one of them.
pub(super) fn check_for(reader: Reader, texts: &[(Text, String)]) -> Result<()> {
    texts.iter().filter(|(_, content)| !content.is_empty()).try_for_each(|(text, content)| documents::check_text(reader, *text, content))
}

/// The steps that write texts into a guest's folder, which is mounted.
pub(super) fn texts_in(folder: &str, texts: &[(Text, String)]) -> Vec<Action> {
    if texts.is_empty() {
        return Vec::new();
    }
    let folder = FilePath::below(folder, FOLDER);
    let write = |(text, content): &(Text, String)| Action::WriteFile { path: folder.join(text.file()), text: content.clone() };
    std::iter::once(Action::MakeFolder { path: folder.clone() }).chain(texts.iter().map(write)).collect()
}

/// Plans to store texts with a guest; an empty text removes the stored one.
///
/// # Errors
/// The guest belongs to another host, is a template, or does not use cloud-init texts.
pub fn texts(guest: &Guest, texts: &[(Text, String)]) -> Result<Plan> {
    changeable(guest)?;
    check_for(Reader::of(guest)?, texts)?;
    let mut notes = later(guest);
    notes.extend(remark(guest, texts));
    Ok(Plan { steps: in_folder(guest, texts_in(guest.folder()?, texts)), notes })
}

/// What some version of the guest's reader ignores in these texts. Invalid settings are reported elsewhere.
pub(super) fn remark(guest: &Guest, texts: &[(Text, String)]) -> Option<String> {
    settings::of(guest).ok().flatten().and_then(|seed| documents::remark(&seed, texts)).map(|remark| format!("{}: {remark}", guest.name))
}

/// Plans to add public SSH keys to the ones that a guest has. The world must hold the guest's stored texts.
///
/// # Errors
/// The guest belongs to another host, is a template, or has settings that no start could use.
pub fn add_keys(world: &World, guest: &Guest, keys: &[PublicKey]) -> Result<Plan> {
    own_and_no_template(guest)?;
    let numbers = guest.settings.numbers_that_hold("ci.key");
    let of_texts = world.texts.get(&guest.dataset).into_iter().flatten();
    let mut file: String = of_texts.filter(|(text, _)| *text == Text::AuthorizedKeys).map(|(_, content)| content.as_str()).collect();
    let mut have: Vec<String> = numbers.iter().filter_map(|n| guest.settings.value(&keys::ci_key(*n))).collect();
    have.extend(file.lines().map(str::to_owned));
    let mut next = numbers.last().map_or(0, |last| last + 1);
    let (mut set, mut is_long) = (Vec::new(), false);
    for key in keys.iter().map(ToString::to_string) {
        if have.contains(&key) {
            continue;
        }
        // Not every ZFS stores a longer property value; a file in the guest's file system has no such limit.
        if key.len() > VALUE_LIMIT {
            if !file.is_empty() && !file.ends_with('\n') {
                file.push('\n');
            }
            file.push_str(&format!("{key}\n"));
            is_long = true;
        } else {
            set.push((keys::ci_key(next), key.clone()));
            next += 1;
        }
        have.push(key);
    }
    if set.is_empty() && !is_long {
        return Ok(Plan::nothing(format!("{} has these keys already", guest.name)));
    }
    // Adding a key enables cloud-init, because the key would have no effect otherwise.
    if !settings::is_wanted(guest)? {
        set.push((keys::CI_ENABLED.to_owned(), "yes".to_owned()));
    }
    let mut plan = if set.is_empty() {
        Plan { steps: Vec::new(), notes: later(guest) }
    } else {
        set::guest(world, guest, &set::Request { set, unset: Vec::new() })?
    };
    if is_long {
        plan.steps.extend(in_folder(guest, texts_in(guest.folder()?, &[(Text::AuthorizedKeys, file)])));
    }
    Ok(plan)
}

/// Plans that cloud-init in the guest treats it as a new instance at its next start.
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
    plan.push(set::change(world, &guest.dataset, before, &Change::kept([(keys::CI_GENERATION.into(), next.to_string())], Vec::new())));
    plan.steps.extend(keep_copy(guest, &after)?);
    Ok(plan)
}

fn own_and_no_template(guest: &Guest) -> Result<()> {
    own_guest(guest)?;
    if guest.is_template() {
        return Err(Code::GuestTemplate
            .problem(format!("`{}` is a template", guest.name))
            .on(&guest.name)
            .hint(format!("`chyves set {} template=no` first; a clone of it has a new identity anyway", guest.name)));
    }
    Ok(())
}

fn changeable(guest: &Guest) -> Result<()> {
    own_and_no_template(guest)?;
    if !settings::is_wanted(guest)? {
        return Err(Problem::not_now(format!("`{}` is not set up by cloud-init", guest.name))
            .on(&guest.name)
            .hint(format!("`chyves set {} ci.enabled=yes` enables it", guest.name)));
    }
    Ok(())
}

fn later(guest: &Guest) -> Vec<String> {
    let alive = guest.state.is_alive();
    alive.then(|| format!("{} is {}; its next start or reboot rebuilds the seed", guest.name, guest.state.word())).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing;

    #[test]
    fn a_script_that_an_older_nuageinit_ignores_is_reported() {
        let script = [(Text::UserData, "#!/bin/sh\ndate\n".to_owned())];
        for (more, is_reported) in [(("ci.user", "ann"), true), (("ci.reader", "nuageinit"), false)] {
            let guest = testing::guest("web01", &[("ci.enabled", "yes"), ("os", "freebsd"), more]);
            let notes = texts(&guest, &script).unwrap().notes;
            assert_eq!(notes.iter().any(|note| note.contains("14.3")), is_reported, "{notes:?}");
        }
    }

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
    fn keys_are_added_to_those_that_a_guest_has() {
        let key = |comment: &str| format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBzVmkfIFEK5vyKHmSPxDhJ/dJHIGWAOPbvqLFxFuFbX {comment}");
        let guest = testing::guest("web01", &[("ci.enabled", "yes"), ("ci.key0", &key("a")), ("ci.key2", &key("c"))]);
        let world = testing::world(vec![guest.clone()]);
        let long = key(&"x".repeat(VALUE_LIMIT));
        let add = |keys: &[String]| {
            let keys: Vec<PublicKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
            add_keys(&world, &guest, &keys).unwrap()
        };
        assert!(add(&[key("a"), key("c")]).steps.is_empty());
        let bare = testing::guest("web02", &[]);
        let script = add_keys(&world, &bare, &[key("a").parse().unwrap()]).unwrap().script(Os::Linux);
        assert!(script.contains("ci.enabled=yes") && script.contains("ci.key0="), "{script}");
        let script = add(&[key("a"), key("new"), key("new"), long]).script(Os::Linux);
        assert!(script.contains("ci.key3=") && !script.contains("ci.key4="), "{script}");
        assert!(script.contains("authorized_keys"), "{script}");
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
