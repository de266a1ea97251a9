//! Guests that are encrypted, on a ZFS that can: what goes without their key, and what is refused for want of it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::stream::{done, receive, send};
use common::volume::disk;
use common::{Host, With};

#[test]
fn an_encrypted_guest_is_named_for_the_key_that_it_needs() {
    let Some(host) = Host::new("volumes::encrypted", With::Volumes) else { return };
    let key = format!("file://{}", host.dir().join("key").display());
    std::fs::write(host.dir().join("key"), "known to few\n").unwrap();
    let location = format!("keylocation={key}");
    let secret = host.second_pool_with(&["-O", "encryption=on", "-O", "keyformat=passphrase", "-O", "pbkdf2iters=100000", "-O", &location]);
    host.ok(&format!("pool init {secret}"));
    host.ok(&format!("create web --pool {secret} --disk zvol --size 8M loader=bios notes=open"));
    let volume = format!("{secret}/chyves/guests/web/disk0");
    assert_eq!(host.zfs_get("encryptionroot", &volume), secret);
    let hidden = b"which nobody reads";
    host.write_volume(&volume, 5_000_000, hidden);
    host.ok("snapshot web@one");
    host.sh("zfs", &["unmount", &secret]);
    common::until("the key to be let go", || {
        host.command("zfs").args(["unload-key", &secret]).output().unwrap().status.success().then_some(())
    });

    // What needs no key goes; a stream is what lies on the pool, with the settings in clear.
    host.ok("list -H -o name,state").says("web\tstopped");
    host.ok("info web").says(&format!("the key of {secret}; zfs load-key {secret}"));
    assert_eq!(host.ok("info web --json").json()[0]["locked"], secret);
    host.ok("snapshot web@two");
    host.ok("rename web site");
    host.ok("rename site web");
    done(send(&host, "send web@one", "1"));
    let stream = std::fs::read(host.work().join("1")).unwrap();
    let has = |word: &[u8]| stream.windows(word.len()).any(|bytes| bytes == word);
    assert!(!has(hidden) && has(b"chyves:notes"));
    host.ok("delete web");
    host.ok("undelete web");

    // What reads or writes it is refused before anything is done.
    let before = host.tree_on(&secret);
    for line in [
        "start web",
        "set web notes=other",
        "clone web linked",
        "clone web@one linked",
        "clone web full -i",
        "clone web@one full -i",
        &format!("move web --pool {}", host.pool),
        "snapshot rollback web@one --yes",
        "snapshot rollback web@two --in-place",
        "snapshot diff web@one",
        "disk resize web disk0 16M",
        "disk add web 8M --kind zvol",
    ] {
        host.chyves(line).ends(4).says("`web` is locked").says(&format!("zfs load-key {secret}"));
    }
    host.chyves(&format!("create db --pool {secret} --size 8M")).ends(4).says(&format!("zfs load-key {secret}"));
    assert_eq!(host.tree_on(&secret), before);

    // It arrives locked wherever it is received, with a key of its own.
    done(receive(&host, "receive --name copy", "1"));
    let copy = host.dataset("copy");
    host.ok("info copy").says("foreign").says(&format!("zfs load-key {copy}"));
    let before = host.tree();
    host.chyves("adopt copy --new-identity").ends(4).says("`copy` is locked").says(&format!("zfs load-key {copy}"));
    assert_eq!(host.tree(), before);
    host.sh("zfs", &["load-key", "-L", &key, &copy]);
    host.ok("adopt copy --new-identity");
    host.ok("info copy").is_silent_of("load-key");
    assert_eq!(host.read_volume(&disk(&host, "copy", 0), 5_000_000, hidden.len()), hidden);
    host.sh("zfs", &["load-key", &secret]);
    host.ok("set web notes=other");
    host.ok("snapshot rollback web@one --yes");
    assert_eq!((host.read_volume(&volume, 5_000_000, hidden.len()), host.value("web", "notes")), (hidden.to_vec(), "open".to_owned()));
}

#[test]
fn a_guest_that_has_its_key_from_above_stays_until_it_has_its_own() {
    let Some(host) = Host::new("volumes::key-above", With::Volumes) else { return };
    let key = format!("keylocation=file://{}", host.dir().join("key").display());
    std::fs::write(host.dir().join("key"), "known to few\n").unwrap();
    let guests = format!("{}/chyves/guests", host.pool);
    let encrypted = ["-o", "encryption=on", "-o", "keyformat=passphrase", "-o", "pbkdf2iters=100000", "-o", &key];
    host.destroy(&guests);
    host.sh("zfs", &[&["create"], &encrypted[..], &[&guests]].concat());
    for name in ["web", "db"] {
        host.ok(&format!("create {name} --disk zvol --size 8M loader=bios"));
    }
    host.write_volume(&disk(&host, "web", 0), 5_000_000, b"kept");
    assert_eq!(host.zfs_get("encryptionroot", &disk(&host, "web", 0)), guests);
    let before = host.tree();
    host.chyves("delete web").ends(1).says("outside of its encryption root").says("zfs change-key").says("chyves delete GUEST --now");
    assert_eq!(host.tree(), before);
    host.ok("rename web site");
    host.ok("rename site web");
    host.ok("delete db --now --yes");
    host.sh("zfs", &["change-key", "-o", "keyformat=passphrase", "-o", &key, &host.dataset("web")]);
    host.ok("delete web");
    host.ok("undelete web");
    assert_eq!(host.read_volume(&disk(&host, "web", 0), 5_000_000, 4), b"kept");
}
