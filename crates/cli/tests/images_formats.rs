//! What an image is: foreign formats and text are refused, sparse archives and appliances are read, a cut ISO is seen.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;
mod loopback;

use common::images::{direct, disk, listed, sha256};
use common::{Host, With};
use loopback::{Reply, Server};

const OVF: &str = r#"<?xml version="1.0"?><Envelope><VirtualSystem><VirtualHardwareSection>
<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>768</rasd:VirtualQuantity></Item>
<Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>"#;

#[test]
fn sparse_archives_appliances_and_odd_discs_are_what_they_were() {
    let Some(host) = Host::new("images::sparse", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    std::fs::write(host.work().join("disk.img"), disk()).unwrap();
    let sum = sha256(&host, "disk.img");
    for version in ["0.0", "0.1", "1.0"] {
        host.sh("tar", &["--format=posix", &format!("--sparse-version={version}"), "-cSf", "sparse.tar", "disk.img"]);
        host.ok(&format!("image import sparse.tar --name sparse-{version}"));
        assert_eq!(listed(&host, &format!("sparse-{version}"))["sha256"], sum, "{version}");
    }
    // An appliance.
    std::fs::write(host.work().join("box.ovf"), OVF).unwrap();
    std::fs::write(host.work().join("box.mf"), "SHA256(box.ovf)= 00\n").unwrap();
    host.sh("qemu-img", &["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.img", "box-disk1.vmdk"]);
    host.sh("tar", &["-cf", "box.ova", "box.ovf", "box.mf", "box-disk1.vmdk"]);
    host.ok("image import box.ova").says("ram=768M cpu=2");
    assert_eq!(listed(&host, "box")["sha256"], sum);
    // A VHD that is larger than its geometry.
    let mut odd = disk();
    odd.resize((4 << 20) + 512 * 7, 9);
    std::fs::write(host.work().join("odd.img"), odd).unwrap();
    for kind in ["fixed", "dynamic"] {
        let options = format!("subformat={kind},force_size=on");
        host.sh("qemu-img", &["convert", "-O", "vpc", "-o", &options, "odd.img", "odd.vhd"]);
        host.ok(&format!("image import odd.vhd --name odd-{kind}"));
        assert_eq!(listed(&host, &format!("odd-{kind}"))["sha256"], sha256(&host, "odd.img"), "{kind}");
    }
    // What macOS and Windows put into archives is no second image.
    host.sh("sh", &["-c", "touch .DS_Store Thumbs.db; tar -cf shadows.tar .DS_Store Thumbs.db disk.img"]);
    host.ok("image import shadows.tar");
    // A disc of UDF alone, and a disk that was once written with an ISO.
    let mut udf = vec![0u8; 64 << 10];
    udf[32_769..32_774].copy_from_slice(b"BEA01");
    udf[34_817..34_822].copy_from_slice(b"NSR02");
    std::fs::write(host.work().join("udf.iso"), udf).unwrap();
    host.ok("image import udf.iso");
    assert_eq!(listed(&host, "udf")["kind"], "iso");
    let volume = |blocks: u32| {
        let mut bytes = vec![0u8; 128 << 10];
        bytes[32_768] = 1;
        bytes[32_769..32_774].copy_from_slice(b"CD001");
        bytes[32_848..32_852].copy_from_slice(&blocks.to_le_bytes());
        bytes[32_852..32_856].copy_from_slice(&blocks.to_be_bytes());
        bytes[32_896..32_898].copy_from_slice(&2048u16.to_le_bytes());
        bytes
    };
    let mut stale = volume(64);
    stale[510..512].copy_from_slice(b"\x55\xaa");
    stale[450] = 0xa5;
    stale[454..458].copy_from_slice(&2048u32.to_le_bytes());
    stale[458..462].copy_from_slice(&4_000_000u32.to_le_bytes());
    std::fs::write(host.work().join("stale.img"), stale).unwrap();
    host.ok("image import stale.img");
    assert_eq!(listed(&host, "stale")["kind"], "disk");
    std::fs::write(host.work().join("whole.iso"), volume(64)).unwrap();
    std::fs::write(host.work().join("cut.iso"), volume(65)).unwrap();
    host.ok("image import whole.iso");
    host.chyves("image import cut.iso").ends(1).says("incomplete").says("volume descriptor");
    host.nothing_is_left();
}

#[test]
fn what_is_no_image_does_not_become_a_raw_disk() {
    let Some(host) = Host::new("images::foreign", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let write = |name: &str, bytes: &[u8]| std::fs::write(host.work().join(name), bytes).unwrap();
    let padded = |magic: &[u8]| [magic, &[0u8; 4096]].concat();
    let mut dmg = vec![1u8; 4096];
    dmg[3584..3592].copy_from_slice(b"koly\0\0\0\x04");
    write("dmg", &dmg);
    write("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n");
    write("json", b"{\"error\": \"not found\"}\n");
    write("text", b"404 not found\n");
    for (name, magic) in [
        ("lz4", &b"\x04\x22\x4d\x18"[..]),
        ("lzma", b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("qed", b"QED\0"),
        ("parallels", b"WithoutFreeSpace"),
        ("cowd", b"COWD"),
        ("wim", b"MSWIM\0\0\0"),
        ("android", b"\x3a\xff\x26\xed"),
    ] {
        write(name, &padded(magic));
    }
    let before = host.tree();
    for (name, says) in [
        ("dmg", "a DMG image"),
        ("lfs", "a pointer of Git LFS"),
        ("json", "JSON text"),
        ("text", "plain text"),
        ("lz4", "lz4-compressed"),
        ("lzma", "lzma-compressed"),
        ("qed", "a QED image"),
        ("parallels", "a Parallels image"),
        ("cowd", "a COWD image"),
        ("wim", "a WIM image"),
        ("android", "an Android sparse image"),
    ] {
        host.chyves(&format!("image import {name}")).ends(2).says(says).says("hint:");
        assert_eq!(host.tree(), before, "{name}");
    }
    host.ok("image import qed --kind raw");
    host.ok("image import text --kind raw").says("not a multiple of 512");
    // Three different things can be wrong with what is compressed.
    std::fs::write(host.work().join("disk.img"), disk()).unwrap();
    host.sh("sh", &["-c", "gzip -k disk.img; (cat disk.img.gz; echo more and more) >trailing.gz; xz -k -0 disk.img; (cat disk.img.xz; echo more and more) >trailing.xz"]);
    host.chyves("image import trailing.gz").ends(1).says("trailing bytes");
    host.chyves("image import trailing.xz").ends(1).says("trailing bytes");
    host.nothing_is_left();
}

/// In both commands that take the content of a disk image.
#[test]
fn an_image_that_needs_another_file_and_a_foreign_format_are_refused_as_such() {
    let Some(host) = Host::new("images::needs", With::Image) else { return };
    host.ok("create web --size 1M");
    let write = |name: &str, magic: &[u8]| std::fs::write(host.work().join(name), [magic, &[0u8; 4096]].concat()).unwrap();
    host.sh("qemu-img", &["create", "-q", "-f", "qcow2", "-o", "data_file=content.raw,data_file_raw=on", "outside.qcow2", "2M"]);
    std::fs::write(host.work().join("base.img"), disk()).unwrap();
    host.sh("qemu-img", &["create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", "overlay.qcow2"]);
    write("qed", b"QED\0");
    write("parallels", b"WithoutFreeSpace");
    write("cowd", b"COWD");
    write("lz4", b"\x04\x22\x4d\x18");
    write("wim", b"MSWIM\0\0\0");
    write("android", b"\x3a\xff\x26\xed");
    let before = host.tree();
    for (name, says) in [
        ("outside.qcow2", "data_file"),
        ("overlay.qcow2", "a backing file"),
        ("qed", "a QED image"),
        ("parallels", "a Parallels image"),
        ("cowd", "a COWD image"),
        ("lz4", "lz4-compressed"),
        ("wim", "a WIM image"),
        ("android", "an Android sparse image"),
    ] {
        for line in [format!("image import {name}"), format!("disk add web --import {name}")] {
            host.chyves(&line).ends(2).says(says).says("hint:");
            assert_eq!(host.tree(), before, "{line}");
        }
    }
}

#[test]
fn servers_redirect_compress_and_are_busy() {
    let Some(host) = Host::new("images::servers", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let server = Server::new();
    server.gives("/c/disk.img", Reply::File(disk()));
    server.gives("/a/b/x.img", Reply::Redirect("../../c/./disk.img".into()));
    server.gives("/f%20o/%C3%BC.img", Reply::File(disk()));
    server.gives("/packed.img", Reply::Packed(disk()));
    let busy = Server::new();
    busy.gives("/busy.img", Reply::Busy(disk()));
    let run = |line: &str| direct(&host, line);
    run(&format!("image fetch {} --name dots", server.address("/a/b/x.img"))).ends(0);
    let odd = server.address("/f o/ü.img");
    let output = host.command(common::PROGRAM).args(["image", "fetch", &odd, "--name", "letters"]).env("no_proxy", "*").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    run(&format!("image fetch {}", server.address("/packed.img"))).ends(1).says("compresses");
    run(&format!("image fetch {} --name busy", busy.address("/busy.img"))).ends(0);
    host.nothing_is_left();
}
