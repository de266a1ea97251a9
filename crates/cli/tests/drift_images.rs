//! Facts that chyves has recorded of an image, changed behind its back, against every command on images and those that make
//! guests of them: what a guest was made of stays, a refusal changes nothing, and the state is reported as it is.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::drift::Told::{AsBefore, Says};
use common::drift::{Fact, Tally, share};
use common::{Host, Tree, With};
use std::collections::BTreeMap;

/// `IMAGE` stands for the image.
const LINES: [&str; 12] = [
    "image list",
    "image info IMAGE",
    "image verify IMAGE",
    "doctor",
    "create fresh --image IMAGE --nets 0",
    "create fresh --image IMAGE --size 64K --nets 0",
    "create fresh --image IMAGE --full --nets 0",
    "start web --iso IMAGE --dry-run",
    "image import ./small.img --name IMAGE",
    "image rename IMAGE IMAGE-r",
    "image delete IMAGE",
    "image verify",
];

fn dataset(host: &Host, image: &str) -> String {
    format!("{}/chyves/images/{image}", host.pool)
}

fn set(host: &Host, image: &str, pair: &str) {
    host.sh("zfs", &["set", pair, &dataset(host, image)]);
}

/// The image's file, made longer or shorter, or written to.
fn edit(host: &Host, image: &str, work: impl FnOnce(&std::fs::File)) {
    host.in_dataset(&dataset(host, image), |folder| {
        work(&std::fs::File::options().read(true).write(true).open(folder.join("disk0.raw")).unwrap());
    });
}

/// Imports the image, and makes the guest `web` of it.
fn ground(host: &Host, image: &str) {
    host.ok(&format!("image import ./small.img --name {image}"));
    host.ok(&format!("create web --image {image} --nets 0 loader=bios"));
}

/// Destroys what a case has left.
fn clear(host: &Host) {
    // Clones first; a promoted guest is the origin of its image.
    for _ in 0..3 {
        for part in ["guests", "images", "trash"] {
            let above = format!("{}/chyves/{part}", host.pool);
            let listed = host.sh("zfs", &["list", "-H", "-r", "-d", "1", "-o", "name", "-t", "filesystem", &above]);
            for name in listed.lines().filter(|name| *name != above) {
                let _ = host.command("zfs").args(["destroy", "-r", name]).output().unwrap();
            }
        }
    }
}

/// What a case must leave as it is.
struct Ground {
    image: String,
    tree: Tree,
    guest: Files,
    held: Files,
}

type Files = BTreeMap<String, u64>;

/// The guest's files, without the copy of its settings, in which a rename of its image is written.
fn of_guest(host: &Host) -> Files {
    let mut files = host.files("web");
    files.remove("config.toml");
    files
}

/// The image's files; none where it cannot be mounted, which no command then does.
fn of_image(host: &Host, dataset: &str, tree: &Tree) -> Files {
    if tree[dataset]["canmount"].ends_with("off") { Files::new() } else { host.files_of(dataset) }
}

impl Ground {
    fn new(host: &Host, image: String, fact: &Fact) -> Self {
        clear(host);
        ground(host, &image);
        (fact.change)(host, &image);
        let tree = host.tree();
        Self { guest: of_guest(host), held: of_image(host, &dataset(host, &image), &tree), tree, image }
    }
}

fn matrix(test: &str, facts: &[Fact]) {
    let Some(host) = Host::new(test, With::Image) else { return };
    let (which, of) = share();
    let mut tally = Tally::new(facts.iter().map(|fact| fact.name));
    let mut number = 0;
    for fact in facts {
        let mut standing: Option<Ground> = None;
        let (Says(told, _) | AsBefore(told)) = fact.told;
        for line in LINES {
            number += 1;
            if (number - 1) % of != which - 1 {
                continue;
            }
            let ground = standing.take().unwrap_or_else(|| Ground::new(&host, format!("img{number}"), fact));
            let image = &ground.image;
            let answer = host.chyves(&format!("{} --yes", line.replace("IMAGE", image)));
            tally.tried(fact.name);
            let mut lost = |what: &str| tally.lost(format!("{}: `{}`: {what}: {}{}", fact.name, answer.line, answer.out, answer.err));
            if !(0..=5).contains(&answer.code) {
                lost(&format!("ends with {}", answer.code));
            }
            let after = host.tree();
            if answer.code != 0 && line != "doctor" {
                if after != ground.tree {
                    lost("refused, and changed something");
                }
                if !answer.err.contains("hint:") {
                    lost("refused without a hint");
                }
            }
            if of_guest(&host) != ground.guest {
                lost("the guest's files are others");
            }
            // Only what no guest depends on is destroyed, and only by the command that is asked to.
            let renamed = dataset(&host, &format!("{image}-r"));
            match [dataset(&host, image), renamed].into_iter().find(|name| after.contains_key(name)) {
                Some(name) if of_image(&host, &name, &after) != ground.held => lost("the image's files are others"),
                None if !line.starts_with("image delete") => lost("the image is gone"),
                Some(_) | None => {}
            }
            // A guest has its disk, of the recorded size unless the difference was reported.
            if line.starts_with("create") && answer.code == 0 {
                match host.in_folder("fresh", |folder| std::fs::metadata(folder.join("disk0.raw")).map(|m| m.len())) {
                    Err(_) => lost("the new guest has no disk"),
                    Ok(length) if !answer.err.contains("is recorded") && recorded(&host) != Some(length) => {
                        lost(&format!(
                            "the new guest has a disk of {length} bytes, {:?} are recorded, and nobody was told",
                            recorded(&host)
                        ));
                    }
                    Ok(_) => {}
                }
            }
            if after == ground.tree {
                standing = Some(ground);
            }
        }
        if which == 1 {
            clear(&host);
            ground(&host, "told");
            let first = host.chyves(&told.replace("IMAGE", "told"));
            let _ = host.chyves("delete fresh --yes");
            (fact.change)(&host, "told");
            let now = host.chyves(&told.replace("IMAGE", "told"));
            tally.told(fact.name, fact.told, &first, &now);
        }
    }
    tally.end(LINES.len());
}

/// The recorded size of the new guest's disk.
fn recorded(host: &Host) -> Option<u64> {
    let size: chyves_core::value::Size = host.zfs_get("chyves:disk0.size", &host.dataset("fresh")).parse().ok()?;
    Some(size.get())
}

#[test]
fn the_content_of_an_image() {
    matrix(
        "drift_images::content",
        &[
            Fact {
                name: "image: its recorded SHA-256 is another one",
                change: |host, image| set(host, image, &format!("chyves:image.sha256={}", "0".repeat(64))),
                told: Says("image verify IMAGE", "its SHA-256 was 0000"),
            },
            Fact {
                name: "image: its recorded SHA-256 is none",
                change: |host, image| set(host, image, "chyves:image.sha256=x"),
                told: Says("doctor", "cannot be verified"),
            },
            Fact {
                name: "image: its file was written to",
                change: |host, image| {
                    edit(host, image, |file| std::os::unix::fs::FileExt::write_all_at(file, b"of-somebody-else", 100).unwrap());
                },
                told: Says("image verify IMAGE", "is not what was imported"),
            },
            Fact {
                name: "image: its file is longer",
                change: |host, image| edit(host, image, |file| file.set_len(1 << 20).unwrap()),
                told: Says("image verify IMAGE", "has 1048576 bytes, not"),
            },
            Fact {
                name: "image: its file is gone",
                change: |host, image| {
                    host.in_dataset(&dataset(host, image), |folder| std::fs::remove_file(folder.join("disk0.raw")).unwrap())
                },
                told: Says("image verify IMAGE", "has lost its file"),
            },
            Fact {
                name: "image: its recorded size is smaller",
                change: |host, image| set(host, image, "chyves:image.size=4K"),
                told: Says("create fresh --image IMAGE --nets 0", "is recorded"),
            },
            Fact {
                name: "image: its recorded size is none",
                change: |host, image| set(host, image, "chyves:image.size=large"),
                told: Says("image list", "its chyves:image.size is `large`"),
            },
        ],
    );
}

#[test]
fn the_dataset_of_an_image() {
    matrix(
        "drift_images::dataset",
        &[
            Fact {
                name: "image: its kind is another one",
                change: |host, image| set(host, image, "chyves:image.kind=iso"),
                told: Says("image verify IMAGE", "image.iso"),
            },
            Fact {
                name: "image: its kind is none",
                change: |host, image| drop(host.sh("zfs", &["inherit", "chyves:image.kind", &dataset(host, image)])),
                told: Says("create fresh --image IMAGE", "its chyves:image.kind is not set"),
            },
            Fact {
                name: "image: its snapshot has another name",
                change: |host, image| {
                    let at = format!("{}@ready", dataset(host, image));
                    host.sh("zfs", &["rename", &at, &at.replace("@ready", "@other")]);
                },
                told: Says("doctor", "has no snapshot @ready"),
            },
            Fact {
                name: "image: its guest was promoted",
                change: |host, _| drop(host.sh("zfs", &["promote", &host.dataset("web")])),
                told: Says("image info IMAGE", "a clone of it was promoted"),
            },
            Fact {
                name: "image: its mount point is another one",
                change: |host, image| {
                    let to = format!("mountpoint={}", host.mount_point().join("elsewhere").display());
                    set(host, image, &to);
                },
                told: Says("doctor", "would be mounted outside"),
            },
            Fact {
                name: "image: it is not mounted",
                change: |host, image| set(host, image, "canmount=off"),
                told: Says("image info IMAGE", "zfs set canmount=noauto"),
            },
            Fact {
                name: "image: it is read-only",
                change: |host, image| set(host, image, "readonly=on"),
                told: AsBefore("image verify IMAGE"),
            },
            Fact {
                name: "image: the address that it is from is another one",
                change: |host, image| set(host, image, "chyves:image.source=https://example.org/other.img"),
                told: Says("image info IMAGE", "https://example.org/other.img"),
            },
        ],
    );
}
