//! Jails: what jail(8) and devfs(8) take, and what a bhyve in one can open.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use common::{bad, blank, good, lab};

#[test]
fn a_bhyve_in_a_jail_opens_what_the_jail_has() {
    let Some(lab) = lab("a_bhyve_in_a_jail", &["release=14.3"]) else { return };
    let (root, conf, fstab) = (lab.dir().join("root"), lab.dir().join("jail.conf"), lab.dir().join("fstab"));
    let disk = blank(&lab, "disk.img");
    let write = |allow: &str| {
        let text = format!(
            "j {{ path = \"{}\"; persist; {allow} mount.fstab = \"{}\"; mount.devfs; devfs_ruleset = 20000; }}",
            root.display(),
            fstab.display()
        );
        std::fs::write(&conf, text).unwrap();
    };
    let create = format!("jail -f {} -c j", conf.display());
    write("allow.vmm;");
    std::fs::write(&fstab, format!("{disk} {}{disk} nullfs rw 0 0\n", root.display())).unwrap();
    bad(&lab, &create, 1, "unknown parameter: allow.vmm");
    good(&lab, "kldload vmm");
    bad(&lab, &create, 1, "jail path");
    std::fs::create_dir_all(root.join("dev")).unwrap();
    bad(&lab, &create, 1, "mount_nullfs");
    let point = root.join(disk.trim_start_matches('/'));
    std::fs::create_dir_all(point.parent().unwrap()).unwrap();
    std::fs::write(&point, "").unwrap();
    write("allow.vmm_ppt;");
    bad(&lab, &create, 1, "unknown parameter: allow.vmm_ppt");
    write("");
    for rule in ["hide", "path vmm unhide", "path vmm/vm unhide"] {
        good(&lab, &format!("devfs rule -s 20000 add {rule}"));
    }
    good(&lab, &create);
    bad(&lab, &create, 1, "already exists");
    let line = |device: &str| format!("jexec j bhyve -s 0,hostbridge -s 4,{device} -s 31,lpc vm");
    bad(&lab, &line("virtio-rnd"), 4, "Operation not permitted");
    // jail(8) reads the file that it is given before anything else, and unmounts by it alone.
    let remove = format!("jail -f {} -r j", conf.display());
    std::fs::rename(&conf, conf.with_extension("gone")).unwrap();
    bad(&lab, &remove, 1, "No such file or directory");
    std::fs::rename(conf.with_extension("gone"), &conf).unwrap();
    // A file that takes the mounted one's name is not what the jail shows.
    std::fs::remove_file(&disk).unwrap();
    blank(&lab, "disk.img");
    let inode = |path: &std::path::Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    assert_ne!(inode(&point), inode(disk.as_ref()));
    std::fs::remove_file(&point).unwrap_err();
    good(&lab, &remove);
    assert_eq!(std::fs::metadata(&point).unwrap().len(), 0);
    write("allow.vmm;");
    good(&lab, &create);
    // The host's VM is none of the jail's.
    good(&lab, "bhyvectl --vm=vm --create");
    bad(&lab, &line("virtio-rnd"), 4, "no bootrom was configured");
    good(&lab, "bhyvectl --vm=vm --destroy");
    good(&lab, "jexec j bhyvectl --vm=vm --create");
    bad(&lab, &line(&format!("virtio-blk,{disk}")), 3, "nothing was loaded");
    bad(&lab, &line("virtio-blk,/etc/passwd"), 4, "No such file or directory");
    bad(&lab, &line("uart,/dev/nmdm1A"), 4, "No such file or directory");
    good(&lab, "devfs rule showsets");
    good(&lab, &remove);
    bad(&lab, &remove, 1, "not found");
    bad(&lab, &line("virtio-rnd"), 1, "jexec: jail \"j\" not found");
    // Single files are mounted since 14.0.
    lab.set(&["release=13.5"]).unwrap();
    bad(&lab, &create, 1, "Not a directory");
}

#[test]
fn a_vm_object_may_be_gone_after_bhyvectl_or_not_at_all() {
    let Some(lab) = lab("a_vm_object_may_be_gone", &["release=14.3", "destroy=late"]) else { return };
    good(&lab, "kldload vmm");
    let node = lab.dev("vmm/vm");
    good(&lab, "bhyvectl --vm=vm --create");
    good(&lab, "bhyvectl --vm=vm --destroy");
    assert!(node.exists());
    common::until("the node to be gone", || !node.exists());
    lab.set(&["destroy=never"]).unwrap();
    good(&lab, "bhyvectl --vm=vm --create");
    good(&lab, "bhyvectl --vm=vm --destroy");
    assert!(node.exists());
}
