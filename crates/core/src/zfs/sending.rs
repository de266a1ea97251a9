//! The commands that produce a guest's stream.
//!
//! Not here: parsing the beginning of a stream (`stream`), running the commands (chyves-host `apply`).

use crate::cmd::Cmd;
use crate::value::{Dataset, SnapshotName, SnapshotRef};
use serde::{Deserialize, Serialize};

/// How a stream is produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sending {
    /// From a snapshot.
    Snapshot {
        /// The snapshot.
        snapshot: SnapshotRef,
        /// The base of an incremental stream.
        base: Option<SnapshotName>,
        /// With the volumes below, and therefore with all earlier snapshots.
        volumes: bool,
        /// Encrypted, as the data is stored in the pool (`--raw`).
        raw: bool,
    },
    /// From a snapshot of a clone with volumes: `zfs send` would send each dataset as an increment from its origin, and the
    /// receiver would need the same origin. Instead, each dataset is sent separately, inside the envelope of a complete
    /// stream of all of them.
    Standalone {
        /// The snapshot of the file system.
        snapshot: SnapshotRef,
        /// The base of an incremental stream.
        base: Option<SnapshotName>,
        /// The volumes below, which have a snapshot with that name, and whether each has the base.
        volumes: Vec<(Dataset, bool)>,
        /// Encrypted, as the data is stored in the pool (`--raw`).
        raw: bool,
    },
    /// The remainder of an interrupted stream, by its resume token.
    Rest(String),
}

impl Sending {
    /// The commands with outputs that form the stream, in order.
    pub fn cmds(&self) -> Vec<Cmd> {
        self.parts().into_iter().map(|args| Cmd::new("zfs", ["send"]).args(args)).collect()
    }

    /// The commands that estimate the size of the stream, to be added up, if this `zfs` supports it.
    pub fn estimates(&self) -> Vec<Cmd> {
        self.parts().into_iter().map(|args| Cmd::new("zfs", ["send", "-n", "-P"]).args(args)).collect()
    }

    /// The command that produces the stream's envelope; nothing else of its output is used.
    pub fn envelope(&self) -> Option<Cmd> {
        match self {
            Self::Standalone { snapshot, raw, .. } => Some(Cmd::new("zfs", ["send"]).args(of(snapshot, &["-R"], None, *raw))),
            Self::Snapshot { .. } | Self::Rest(_) => None,
        }
    }

    fn parts(&self) -> Vec<Vec<String>> {
        match self {
            Self::Snapshot { snapshot, base, volumes, raw } => {
                vec![of(snapshot, &[if *volumes { "-R" } else { "-p" }], base.as_ref(), *raw)]
            }
            Self::Standalone { snapshot, base, volumes, raw } => {
                let below = volumes.iter().map(|(v, has)| of(&v.at(&snapshot.name), &[], base.as_ref().filter(|_| *has), *raw));
                std::iter::once(of(snapshot, &[], base.as_ref(), *raw)).chain(below).collect()
            }
            Self::Rest(token) => vec![vec!["-t".to_owned(), token.clone()]],
        }
    }
}

fn of(snapshot: &SnapshotRef, options: &[&str], base: Option<&SnapshotName>, raw: bool) -> Vec<String> {
    let options = options.iter().copied().chain(raw.then_some("-w")).map(str::to_owned);
    options.chain(base.into_iter().flat_map(|base| ["-i".to_owned(), format!("@{base}")])).chain([snapshot.to_string()]).collect()
}

/// The size in the output of one of [`Sending::estimates`].
pub fn estimated(output: &str) -> Option<u64> {
    output.lines().rev().find_map(|line| line.strip_prefix("size")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(cmds: &[Cmd]) -> Vec<String> {
        cmds.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn streams_are_made_by_zfs() {
        let snapshot: SnapshotRef = "t/web@b".parse().unwrap();
        let mut sending = Sending::Snapshot { snapshot: snapshot.clone(), base: Some("a".parse().unwrap()), volumes: false, raw: false };
        assert_eq!(texts(&sending.cmds()), ["zfs send -p -i @a t/web@b"]);
        sending = Sending::Snapshot { snapshot, base: None, volumes: true, raw: true };
        assert_eq!(texts(&sending.estimates()), ["zfs send -n -P -R -w t/web@b"]);
        assert_eq!(sending.envelope(), None);
        assert_eq!(texts(&Sending::Rest("1-a".into()).cmds()), ["zfs send -t 1-a"]);
        assert_eq!(estimated("full\tt/web@b\t4711\nsize\t4711\n"), Some(4711));
        assert_eq!(estimated("nonsense"), None);
    }

    #[test]
    fn a_clone_is_sent_without_its_origin() {
        let volumes = vec![("t/web/disk1".parse().unwrap(), true), ("t/web/disk2".parse().unwrap(), false)];
        let whole = Sending::Standalone { snapshot: "t/web@b".parse().unwrap(), base: None, volumes: volumes.clone(), raw: true };
        assert_eq!(whole.envelope().unwrap().to_string(), "zfs send -R -w t/web@b");
        assert_eq!(texts(&whole.cmds()), ["zfs send -w t/web@b", "zfs send -w t/web/disk1@b", "zfs send -w t/web/disk2@b"]);
        assert_eq!(texts(&whole.estimates())[1], "zfs send -n -P -w t/web/disk1@b");
        let base = Some("a".parse().unwrap());
        let more = Sending::Standalone { snapshot: "t/web@b".parse().unwrap(), base, volumes, raw: false };
        assert_eq!(more.envelope().unwrap().to_string(), "zfs send -R t/web@b", "one of an increment wants the same origin");
        assert_eq!(texts(&more.cmds()), ["zfs send -i @a t/web@b", "zfs send -i @a t/web/disk1@b", "zfs send t/web/disk2@b"]);
    }
}
