//! Every attack on every file, under every command of its row.

use super::attack::{Attack, Outcome, Target, Use};
use super::canary::{Canary, Other, WORD};
use super::rows::Row;
use super::{is_free, remount, run};
use crate::common::Host;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the attacks are made.
struct Ground<'a> {
    host: &'a Host,
    root: &'a Path,
    dataset: &'a str,
    /// The lock that the commands hold.
    lock: &'a str,
    canary: &'a Canary,
    other: Other,
}

/// Makes each attack on each file of a dataset, and runs every command of its row.
pub fn storm(host: &Host, dataset: &str, rows: &[&Row], lock: &str) {
    let canary = Canary::called(host, &format!("elsewhere-{lock}"));
    let mut turn = 0;
    host.in_dataset(dataset, |root| {
        let ground = Ground { host, root, dataset, lock, canary: &canary, other: Other::new(root) };
        for row in rows {
            if row.is_made {
                fs::write(root.join(row.path), "made for the test").unwrap();
            }
            ground.works(row);
            for attack in Attack::ALL.into_iter().filter(|attack| ground.fits(row, *attack)) {
                let lines = row.commands.iter().filter(|line| !attack.is_variant(row.is) || line.starts_with('!'));
                for line in lines.take(if attack.is_variant(row.is) { 1 } else { usize::MAX }) {
                    let (needs, line) = line.strip_prefix('!').map_or((false, *line), |line| (true, line));
                    // These run the guest where nothing keeps them from it.
                    if line == "start web" && row.is.outcome(attack) != Outcome::Refused {
                        continue;
                    }
                    turn += 1;
                    ground.one(row, attack, &line.replace('#', &turn.to_string()), needs);
                }
            }
        }
        fs::remove_file(root.join("other")).unwrap();
    });
}

impl Ground<'_> {
    /// Without an attack every command of a row succeeds, so that one that fails later fails by the attack.
    fn works(&self, row: &Row) {
        for line in row.commands.iter().map(|line| line.trim_start_matches('!').replace('#', "0")).filter(|line| line != "start web") {
            for line in line.split("; ") {
                run(self.host, line, None, None).ends(0);
                remount(self.host, self.dataset, self.root);
            }
        }
    }

    fn fits(&self, row: &Row, attack: Attack) -> bool {
        let there = fs::symlink_metadata(self.root.join(row.path)).ok();
        let is_folder = there.as_ref().is_some_and(fs::Metadata::is_dir);
        // An image is unmounted by its command, whatever is mounted below it, and whoever still swaps files in it.
        let is_image = self.dataset.contains("/images/");
        match attack {
            Attack::Parent => row.path.contains('/'),
            Attack::HardLink | Attack::Huge => !is_folder,
            Attack::SetUid => !is_folder && there.is_some(),
            Attack::Swapped => !is_folder && there.is_some() && !is_image,
            Attack::Mount => !is_image,
            Attack::Link | Attack::Dangling | Attack::Zero | Attack::Fifo | Attack::Socket | Attack::Character | Attack::Block => true,
        }
    }

    /// One attack under one command. What follows `; ` in the line undoes the command, once the attack is over.
    fn one(&self, row: &Row, attack: Attack, line: &str, needs: bool) {
        let (line, undo) = line.split_once("; ").map_or((line, None), |(line, undo)| (line, Some(undo)));
        let what = format!("{attack:?} as {} under `chyves {line}`", row.path);
        let is_folder = fs::metadata(self.root.join(row.path)).is_ok_and(|meta| meta.is_dir());
        let target = Target { host: self.host, root: self.root, path: row.path, canary: self.canary, is_folder };
        target.lay(attack);
        let end = AtomicBool::new(false);
        let answer = std::thread::scope(|scope| {
            if attack == Attack::Swapped {
                scope.spawn(|| target.swap(&end));
            }
            let answer = run(self.host, line, None, None);
            end.store(true, Ordering::SeqCst);
            answer
        });
        remount(self.host, self.dataset, self.root);
        let text = format!("{}{}", answer.out, answer.err);
        assert!(!text.contains(WORD), "{what}: it shows a file of the host\n{text}");
        let leaf = row.path.rsplit('/').next().unwrap();
        let names: Vec<&str> = (attack == Attack::Parent).then_some(leaf).into_iter().collect();
        self.canary.check(&names, &what);
        self.other.check(&what);
        target.check(attack, &what);
        // Who creates a name again while a command moves it away gets that reported as left.
        let may_be_left = attack == Attack::Swapped && answer.code == 7;
        assert!(may_be_left || [0, 1, 2, 3, 4, 5].contains(&answer.code), "{what}: ended with {}\n{text}", answer.code);
        match row.is.outcome(attack) {
            Outcome::Refused if needs => {
                // Files for loaders, and of images, are opened only when the supervisor starts what uses them.
                let late = matches!(row.is, Use::Parsed | Use::Image) && line.starts_with("start") && answer.code == 1;
                assert!(late || [2, 4, 5].contains(&answer.code), "{what}: ended with {}\n{text}", answer.code);
                let names = row.path.split(['/', '.']).any(|part| text.contains(part));
                assert!(names && answer.err.contains("hint:"), "{what}: it does not say what to do\n{text}");
            }
            Outcome::Used if needs => assert_eq!(answer.code, 0, "{what}: a file that can be used was refused\n{text}"),
            Outcome::Refused | Outcome::Used | Outcome::Either => {}
        }
        assert!(is_free(self.host, self.lock), "{what}: the lock is held");
        target.clear(attack);
        if answer.code == 0 {
            undo.into_iter().flat_map(|undo| undo.split("; ")).for_each(|line| drop(self.host.ok(line)));
        }
        remount(self.host, self.dataset, self.root);
    }
}
