//! The examples at the end of each command's help. A test parses them all, and requires one for every command.

use clap::Command;

/// Commands, and typical command lines.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("adopt", &["chyves adopt web01", "chyves adopt web01 --drop-host-settings"]),
    ("clone", &["chyves clone web01 web02", "chyves clone web01@before web02,web03 --linked"]),
    ("cloud-init status", &["chyves cloud-init status all"]),
    ("cloud-init show", &["chyves cloud-init show web01", "chyves cloud-init show web01 network-config"]),
    ("cloud-init set", &["chyves cloud-init set web01 --user-data ./web.yaml"]),
    ("cloud-init reinit", &["chyves cloud-init reinit web01"]),
    ("console", &["chyves console web01", "chyves console web01,web02 --tmux"]),
    (
        "create",
        &["chyves create web01 --image debian-13 --size 20G --ram 2G --start", "chyves create db01 --size 50G --cpu 4 net0.bridge=lan"],
    ),
    ("delete", &["chyves delete web01", "chyves delete web02,web03 --yes"]),
    ("dev errors", &["chyves dev errors | man -l -"]),
    ("dev facts", &["chyves dev facts > host.json"]),
    ("dev properties", &["chyves dev properties | man -l -"]),
    ("dev schema", &["chyves dev schema snapshot-list"]),
    ("dev trace", &["chyves dev trace list"]),
    ("dev unpack", &["chyves dev unpack ./debian.qcow2.xz"]),
    ("disk add", &["chyves disk add web01 20G", "chyves disk add web01 --attach /dev/da1"]),
    ("disk remove", &["chyves disk remove web01 disk1"]),
    ("disk resize", &["chyves disk resize web01 disk0 40G", "chyves disk resize web01 disk0 10G --force"]),
    ("disk sync", &["chyves disk sync web01"]),
    ("disk list", &["chyves disk list web01"]),
    ("disk set", &["chyves disk set web01 disk0 bus=nvme"]),
    ("disk move", &["chyves disk move web01 disk1 disk3"]),
    ("doctor", &["chyves doctor", "chyves doctor --json"]),
    ("eject", &["chyves eject web01"]),
    ("firmware import", &["chyves firmware import ./OVMF_CODE.fd --vars ./OVMF_VARS.fd"]),
    ("firmware fetch", &["chyves firmware fetch https://example.org/OVMF_CODE.fd --checksums https://example.org/SHA256SUMS"]),
    ("firmware catalogue", &["chyves firmware catalogue"]),
    ("firmware list", &["chyves firmware list"]),
    ("firmware info", &["chyves firmware info edk2"]),
    ("firmware verify", &["chyves firmware verify edk2"]),
    ("firmware rename", &["chyves firmware rename edk2 edk2-2026"]),
    ("firmware delete", &["chyves firmware delete edk2"]),
    ("firmware reset", &["chyves firmware reset web01"]),
    ("get", &["chyves get web01 ram", "chyves get all ram,cpu -H -o name,value"]),
    ("image import", &["chyves image import ./debian.qcow2", "chyves image import ./disk.img.xz --name base"]),
    (
        "image fetch",
        &["chyves image fetch debian-13", "chyves image fetch https://example.org/disk.qcow2 --checksums https://example.org/SHA256SUMS"],
    ),
    ("image catalogue", &["chyves image catalogue"]),
    ("image list", &["chyves image list"]),
    ("image info", &["chyves image info debian-13"]),
    ("image verify", &["chyves image verify debian-13"]),
    ("image rename", &["chyves image rename debian-13 base"]),
    ("image delete", &["chyves image delete debian-12"]),
    ("info", &["chyves info web01", "chyves info web01 --json"]),
    ("insert", &["chyves insert web01 rescue.iso"]),
    ("iso import", &["chyves iso import ./rescue.iso"]),
    ("iso fetch", &["chyves iso fetch https://example.org/rescue.iso --checksums https://example.org/SHA256SUMS"]),
    ("iso catalogue", &["chyves iso catalogue"]),
    ("iso list", &["chyves iso list"]),
    ("iso info", &["chyves iso info rescue.iso"]),
    ("iso verify", &["chyves iso verify rescue.iso"]),
    ("iso rename", &["chyves iso rename rescue.iso rescue-2026.iso"]),
    ("iso delete", &["chyves iso delete rescue.iso"]),
    ("list", &["chyves list", "chyves list -o name,state,addresses -s name"]),
    ("move", &["chyves move web01 --pool fast"]),
    ("network list", &["chyves network list"]),
    ("network check", &["chyves network check"]),
    ("network plan", &["chyves network plan"]),
    ("network apply", &["chyves network apply", "chyves network apply --confirm 60"]),
    ("network confirm", &["chyves network confirm"]),
    ("network attach", &["chyves network lan attach em0", "chyves network lan attach em0 vlan=5 --confirm 60"]),
    ("network detach", &["chyves network lan detach"]),
    ("network private", &["chyves network lab private address=10.0.0.1/24 nat=em0 dhcp=yes"]),
    ("network default", &["chyves network lan default"]),
    ("network delete", &["chyves network lab delete"]),
    ("network set", &["chyves network set lan mtu=9000", "chyves network set web01 net0 bridge=lan"]),
    ("network add", &["chyves network add web01 lan"]),
    ("network remove", &["chyves network remove web01 net1"]),
    ("network move", &["chyves network move web01 net0 dmz"]),
    ("network migrate", &["chyves network migrate bridge0 lan"]),
    ("network join", &["chyves network lan join tap3"]),
    ("network unjoin", &["chyves network lan unjoin tap3"]),
    ("network nat", &["chyves network nat lab"]),
    ("pool init", &["chyves pool init tank", "chyves pool init fast/vm"]),
    ("pool list", &["chyves pool list"]),
    ("pool promote", &["chyves pool promote fast"]),
    ("pool offline", &["chyves pool offline backup"]),
    ("pool online", &["chyves pool online backup"]),
    ("pool upgrade", &["chyves pool upgrade tank"]),
    ("pool remove", &["chyves pool remove fast"]),
    ("promote", &["chyves promote web02"]),
    ("receive", &["ssh host1 chyves send web01@move | chyves receive", "chyves receive --name web02 < web01.zfs"]),
    ("reclaim", &["chyves reclaim web01"]),
    ("rename", &["chyves rename web01 www"]),
    ("repair", &["chyves repair", "chyves repair --dry-run"]),
    ("reset", &["chyves reset web01"]),
    ("send", &["chyves send web01@monday > web01.zfs", "chyves send web01@tuesday --from @monday | ssh host2 chyves receive"]),
    ("set", &["chyves set web01 ram=4G cpu=2", "chyves set defaults cpu=2"]),
    ("snapshot create", &["chyves snapshot web01@before", "chyves snapshot all@nightly"]),
    ("snapshot list", &["chyves snapshot list web01"]),
    ("snapshot delete", &["chyves snapshot delete web01@before", "chyves snapshot delete all@nightly"]),
    ("snapshot diff", &["chyves snapshot diff web01@before", "chyves snapshot diff web01@before @after"]),
    ("snapshot rollback", &["chyves snapshot rollback web01@before"]),
    ("start", &["chyves start web01", "chyves start web01 --iso rescue.iso", "chyves start web01 --dry-run"]),
    ("stop", &["chyves stop web01", "chyves stop all --timeout 120 --force"]),
    ("trash list", &["chyves trash list"]),
    ("trash empty", &["chyves trash empty web01"]),
    ("undelete", &["chyves undelete web01", "chyves undelete web01:disk1"]),
    ("unset", &["chyves unset web01 ram,cpu"]),
    ("version", &["chyves version"]),
];

/// Adds examples to the help of a command and of its verbs.
pub(super) fn with_examples(command: Command) -> Command {
    command.mut_subcommands(|verb| {
        let name = verb.get_name().to_owned();
        added(verb, &name).mut_subcommands(|below| {
            let path = format!("{name} {}", below.get_name());
            added(below, &path)
        })
    })
}

fn added(command: Command, path: &str) -> Command {
    let lines = EXAMPLES.iter().find(|(known, _)| *known == path).map(|(_, lines)| *lines).unwrap_or_default();
    // A command's own text is kept.
    if lines.is_empty() || command.get_after_help().is_some() {
        return command;
    }
    command.after_help(format!("Example{}:\n  {}", if lines.len() == 1 { "" } else { "s" }, lines.join("\n  ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{parse, whole};
    use crate::words;

    #[test]
    fn every_command_ends_its_help_with_examples() {
        let whole = whole();
        let verbs = whole.get_subcommands().filter(|c| !c.is_hide_set());
        let lacks = |command: &Command| command.get_subcommands().next().is_none() && command.get_after_help().is_none();
        for verb in verbs {
            assert!(!lacks(verb), "`{}` has no example", verb.get_name());
            for below in verb.get_subcommands().filter(|c| !c.is_hide_set()) {
                assert!(!lacks(below), "`{} {}` has no example", verb.get_name(), below.get_name());
            }
        }
    }

    #[test]
    fn every_example_is_a_command_line() {
        for (path, lines) in EXAMPLES {
            for line in *lines {
                // Pipes and redirections are the shell's.
                let own = line.split('|').map(str::trim).find(|part| part.starts_with("chyves")).unwrap();
                let own = own.split(['<', '>']).next().unwrap().trim();
                let argv = words::canonical(own.split(' ').map(str::to_owned).collect()).unwrap_or_else(|p| panic!("{line}: {p:?}"));
                assert!(argv[1..].join(" ").starts_with(path), "`{line}` is no example of `{path}`, but {argv:?}");
                if let Err(error) = parse(&argv) {
                    panic!("{line}: {error}");
                }
            }
        }
    }
}
