//! `image import` and `image delete`: an image becomes visible under its name only when it is whole.

use super::Plan;
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::value::ImageName;
use crate::world::{IMAGE_SNAPSHOT, World};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Import {
    /// The file, absolute.
    pub source: String,
    /// The name it gets.
    pub name: ImageName,
    /// A random word for the working name.
    pub token: String,
    /// The time, UTC.
    pub now: String,
}

/// Plans an import.
///
/// # Errors
/// The name is taken, or there is no primary pool.
pub fn import(world: &World, request: &Import) -> Result<Plan> {
    let root = world.primary()?;
    if let Some(there) = world.images.iter().find(|i| i.name == request.name) {
        return Err(Problem::not_now(format!("an image is called `{}` already", there.name))
            .on(&there.name)
            .hint(format!("give another name: `chyves image import --name OTHER {}`", crate::value::printable(&request.source, 200)))
            .hint(format!("or `chyves image delete {}` first", there.name)));
    }
    let work = root.images().child(format!("importing-{}", request.token));
    let last = root.images().child(&request.name);
    let folder = root.mountpoint.as_deref().filter(|p| p.starts_with('/')).ok_or_else(|| {
        Problem::not_now(format!("`{}` has no mount point", root.dataset))
            .on(&root.dataset)
            .hint(format!("give it one: zfs set mountpoint=/path {}", root.dataset))
    })?;
    let folder = format!("{folder}/images/{}", work.leaf());
    let mut plan = Plan::default();
    plan.push(Action::CreateDataset { dataset: work.clone(), native: vec![("canmount".into(), "noauto".into())], own: Vec::new() });
    plan.push(Action::Mount { dataset: work.clone() });
    plan.push(Action::ImportImage {
        source: request.source.clone(),
        folder,
        dataset: work.clone(),
        now: request.now.clone(),
        dialect: world.host.dialect,
    });
    plan.push(Action::Unmount { dataset: work.clone() });
    plan.push(Action::Snapshot { snapshot: work.at(&IMAGE_SNAPSHOT.parse()?), own: Vec::new() });
    plan.push(Action::Rename { dialect: world.host.dialect, from: work, to: last });
    Ok(plan)
}

/// What is wanted, and what was seen.
#[derive(Debug, Clone)]
pub struct Delete {
    /// The image.
    pub name: ImageName,
    /// Datasets that are clones of it.
    pub users: Vec<String>,
    /// Its dataset's and its snapshot's GUIDs.
    pub guids: Vec<(String, u64)>,
}

/// Plans the end of an image.
///
/// # Errors
/// There is none of that name, or guests stand on it.
pub fn delete(world: &World, request: &Delete) -> Result<Plan> {
    let image = world.image(&request.name)?;
    if !request.users.is_empty() {
        return Err(Problem::not_now(format!("the image `{}` is in use", image.name))
            .on(&image.name)
            .because(format!("clones of it: {}", request.users.join(", ")))
            .hint("delete those guests first and empty the trash; the image takes little space of its own while they exist"));
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: request.guids.clone() });
    plan.push(Action::DestroySnapshot { snapshot: image.snapshot()? });
    plan.push(Action::DestroyDataset { dataset: image.dataset.clone() });
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing;

    #[test]
    fn an_import_becomes_visible_last() {
        let request = Import {
            source: "/a/debian.qcow2".into(),
            name: "debian".parse().unwrap(),
            token: "k3".into(),
            now: "2026-01-31T12:00:00Z".into(),
        };
        insta::assert_snapshot!(import(&testing::world(Vec::new()), &request).unwrap().script(Os::Linux), @r"
        # make the file system tank/chyves/images/importing-k3
        zfs create -o canmount=noauto tank/chyves/images/importing-k3
        # mount tank/chyves/images/importing-k3
        zfs mount tank/chyves/images/importing-k3
        # read /a/debian.qcow2 into /tank/chyves/images/importing-k3: hash, recognise, convert, write
        # unmount tank/chyves/images/importing-k3
        zfs unmount tank/chyves/images/importing-k3
        # take the snapshot tank/chyves/images/importing-k3@ready
        zfs snapshot -r tank/chyves/images/importing-k3@ready
        # rename tank/chyves/images/importing-k3 to tank/chyves/images/debian
        zfs rename tank/chyves/images/importing-k3 tank/chyves/images/debian
        ");
    }

    #[test]
    fn a_taken_name_and_a_used_image_are_refused() {
        let world = testing::world(Vec::new());
        let request = Import { source: "/a/x".into(), name: "tiny".parse().unwrap(), token: "k".into(), now: String::new() };
        assert!(import(&world, &request).unwrap_err().message.contains("`tiny` already"));
        let used = Delete { name: "tiny".parse().unwrap(), users: vec!["tank/chyves/guests/web".into()], guids: Vec::new() };
        assert!(delete(&world, &used).unwrap_err().causes[0].contains("guests/web"));
    }
}
