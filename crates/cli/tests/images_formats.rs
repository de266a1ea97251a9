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
    let convert = |from: &str, to: &str| host.sh("qemu-img", &["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", from, to]);
    convert("disk.img", "box-disk1.vmdk");
    std::fs::write(host.work().join("data.img"), vec![7u8; 1 << 20]).unwrap();
    convert("data.img", "box-disk2.vmdk");
    let manifest = |files: &[&str]| {
        let line = |file: &&str| format!("SHA256({file})= {}\n", sha256(&host, file));
        std::fs::write(host.work().join("box.mf"), files.iter().map(line).collect::<String>()).unwrap();
    };
    manifest(&["box.ovf", "box-disk1.vmdk"]);
    host.sh("tar", &["-cf", "box.ova", "box.ovf", "box.mf", "box-disk1.vmdk"]);
    host.ok("image import box.ova").says("ram=768M cpu=2").says("match the manifest");
    assert_eq!(listed(&host, "box")["sha256"], sum);
    // Two disks: the first, and the one that is named; the manifest may come last.
    manifest(&["box.ovf", "box-disk1.vmdk", "box-disk2.vmdk"]);
    host.sh("tar", &["-cf", "two.ova", "box.ovf", "box-disk1.vmdk", "box-disk2.vmdk", "box.mf"]);
    host.ok("image import two.ova").says("2 disks: box-disk1.vmdk was imported").says("--member box-disk2.vmdk");
    assert_eq!(listed(&host, "two")["sha256"], sum);
    host.ok("image import two.ova --member box-disk2.vmdk --name data").says("box-disk2.vmdk was imported");
    assert_eq!(listed(&host, "data")["sha256"], sha256(&host, "data.img"));
    let before = host.tree();
    host.chyves("image import two.ova --member box-disk3.vmdk --name x")
        .ends(3)
        .says("it holds box-disk1.vmdk, box-disk2.vmdk")
        .says("hint:");
    // A disk that is not that of the manifest, though nobody takes it, and one that is missing.
    host.sh("sh", &["-c", "cp box-disk2.vmdk kept; printf x | dd of=box-disk2.vmdk bs=1 seek=5000 conv=notrunc status=none"]);
    host.sh("tar", &["-cf", "bad.ova", "box.ovf", "box.mf", "box-disk1.vmdk", "box-disk2.vmdk"]);
    host.chyves("image import bad.ova").ends(1).says("does not match its manifest").says("box-disk2.vmdk is");
    host.sh("tar", &["-cf", "less.ova", "box.ovf", "box.mf", "box-disk1.vmdk"]);
    host.chyves("image import less.ova").ends(1).says("lists box-disk2.vmdk, which is not in the archive");
    assert_eq!(host.tree(), before);
    // Of any archive with several files one can be named.
    host.sh("tar", &["-cf", "several.tar", "disk.img", "data.img"]);
    host.chyves("image import several.tar").ends(2).says("more than one file").says("--member FILE");
    host.ok("image import several.tar --member data.img");
    assert_eq!(listed(&host, "several")["sha256"], sha256(&host, "data.img"));
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
    let mut udf = vec![0u8; 257 * 2048];
    udf[256 * 2048] = 2;
    udf[32_769..32_774].copy_from_slice(b"BEA01");
    udf[34_817..34_822].copy_from_slice(b"NSR02");
    std::fs::write(host.work().join("cut-udf.iso"), &udf[..64 << 10]).unwrap();
    std::fs::write(host.work().join("udf.iso"), udf).unwrap();
    host.ok("image import udf.iso");
    host.chyves("image import cut-udf.iso").ends(1).says("incomplete");
    assert_eq!(listed(&host, "udf")["kind"], "iso");
    let volume = |blocks: u32| {
        let mut bytes = vec![0u8; 128 << 10];
        bytes[32_768] = 1;
        bytes[32_769..32_775].copy_from_slice(b"CD001\x01");
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
    // What looks like both is imported as an ISO, with the way to the other.
    let mut both = volume(64);
    both[510..512].copy_from_slice(b"\x55\xaa");
    (both[450], both[455], both[458]) = (0xa5, 8, 8);
    std::fs::write(host.work().join("both.img"), &both).unwrap();
    host.ok("image import both.img").says("partition table").says("--kind raw");
    assert_eq!(listed(&host, "both")["kind"], "iso");
    // A boot sector, and the signature of an ISO without a descriptor.
    both[32_768..36_864].fill(0);
    both[32_769..32_774].copy_from_slice(b"CD001");
    std::fs::write(host.work().join("bare.img"), both).unwrap();
    host.ok("image import bare.img");
    assert_eq!(listed(&host, "bare")["kind"], "disk");
    let wide: Vec<u8> = "\u{feff}<html>no</html>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(host.work().join("wide.img"), wide).unwrap();
    host.chyves("image import wide.img").ends(2).says("a web page");
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
        ("snappy", b"\xff\x06\0\0sNaPpY"),
        ("cd", b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0"),
    ] {
        write(name, &padded(magic));
    }
    let mut program = padded(b"MZ");
    program[0x3c] = 0x80;
    program[0x80..0x84].copy_from_slice(b"PE\0\0");
    write("program", &program);
    write("latin1", &"nicht gefunden: Pr\u{fc}fung der Gr\u{f6}\u{df}e\n".chars().map(|c| c as u8).collect::<Vec<u8>>());
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
        ("snappy", "snappy-compressed"),
        ("cd", "raw sectors of 2352 bytes"),
        ("program", "a program of Windows or UEFI"),
        ("latin1", "plain text"),
    ] {
        host.chyves(&format!("image import {name}")).ends(2).says(says).says("hint:");
        assert_eq!(host.tree(), before, "{name}");
    }
    host.ok("image import qed --kind raw");
    host.ok("image import text --kind raw").says("not a multiple of 512");
    host.nothing_is_left();
}

/// Three different things can be wrong with what is compressed or archived, and each has a message of its own, whatever decodes it.
#[test]
fn unsupported_trailing_and_damaged_are_three_messages_of_every_decoder() {
    let Some(host) = Host::new("images::faults", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    // Content that no decoder can shorten to nothing, so that a change in the middle hits data.
    let mut seed = 1u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    std::fs::write(host.work().join("disk.img"), (0..64 << 10).map(|_| noise()).collect::<Vec<u8>>()).unwrap();
    host.sh("sh", &["-c", "gzip -k disk.img; bzip2 -k disk.img; xz -k -0 disk.img; zstd -q -k disk.img; tar cf disk.img.tar disk.img"]);
    host.sh("python3", &["-c", "import zipfile as z; z.ZipFile('disk.img.zip', 'w', z.ZIP_DEFLATED).write('disk.img')"]);
    let read = |name: &str| std::fs::read(host.work().join(name)).unwrap();
    let import = |name: &str, bytes: &[u8]| {
        std::fs::write(host.work().join(name), bytes).unwrap();
        host.chyves(&format!("image import {name} --name {}", name.replace('.', "-")))
    };
    for (packing, zeros_pad) in [("gz", true), ("bz2", true), ("xz", true), ("zst", false), ("tar", true), ("zip", false)] {
        let whole = read(&format!("disk.img.{packing}"));
        let with = |tail: &[u8]| [whole.as_slice(), tail].concat();
        // However short: less than a header of another member, too.
        for tail in [&b"x"[..], b"more and more and more"].iter().take(if packing == "gz" { 2 } else { 1 }) {
            let answer = import(&format!("trailing.{packing}"), &with(tail));
            answer.ends(1).says("has trailing bytes").is_silent_of("damaged").is_silent_of("not supported");
        }
        // Zeros fill a block of a tape or a disk.
        let padded = import(&format!("padded.{packing}"), &with(&[0; 2048]));
        if zeros_pad {
            padded.ends(0);
        } else {
            padded.ends(1).says("has trailing bytes");
        }
        let truncated = [whole.len() / 2].into_iter().chain(matches!(packing, "gz" | "xz" | "bz2" | "zip").then_some(whole.len() - 3));
        for length in truncated {
            let answer = import(&format!("truncated.{packing}"), &whole[..length]);
            answer.ends(1).says("is damaged").says("truncated").is_silent_of("trailing").is_silent_of("not supported");
        }
        let mut corrupt = whole.clone();
        // What a tar archive has of its files has no checksum; its headers have one.
        let at = if packing == "tar" { 100 } else { whole.len() / 2 };
        corrupt[at] ^= 0x55;
        let answer = import(&format!("corrupt.{packing}"), &corrupt);
        answer.ends(1).says("is damaged").says("corrupt").is_silent_of("trailing").is_silent_of("not supported");
    }
    // Members one after the other are one file, as their own programs read them.
    for packing in ["gz", "bz2", "xz", "zst"] {
        let whole = read(&format!("disk.img.{packing}"));
        import(&format!("two.{packing}"), &[whole.as_slice(), &whole].concat()).ends(0).says("disk of 128K");
    }
    // A method, a dictionary, a window or a check that is not read here: what is in it may be intact.
    host.sh("python3", &["-c", "import zipfile as z; z.ZipFile('method.zip', 'w', z.ZIP_BZIP2).write('disk.img')"]);
    // A window of 2^31 bytes: the magic, the frame's descriptor, the window's, and an empty block.
    std::fs::write(host.work().join("window.zst"), b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00").unwrap();
    // Flags of a version to come, with the right checksum of them.
    let flags =
        "import zlib, struct; f = b'\\x01\\x00'; open('flags.xz', 'wb').write(b'\\xfd7zXZ\\0' + f + struct.pack('<I', zlib.crc32(f)))";
    host.sh("python3", &["-c", flags]);
    for name in ["method.zip", "window.zst", "flags.xz"] {
        let answer = host.chyves(&format!("image import {name}"));
        answer.ends(1).says("is not supported").says("may be intact").is_silent_of("damaged").is_silent_of("trailing");
    }
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
    // A name that the address does not tell: what the server says, or where it is; nothing of it is a path.
    server.gives(
        "/download?id=7",
        Reply::Named(disk(), "attachment; filename=\"../../box one.img\"; filename*=UTF-8''..%2Fbox-1.img".into()),
    );
    server.gives("/get", Reply::Redirect("/mirror/fedora-9.qcow2.img".into()));
    server.gives("/mirror/fedora-9.qcow2.img", Reply::File(disk()));
    run(&format!("image fetch {}", server.address("/download?id=7"))).ends(0);
    assert_eq!(listed(&host, "box-1")["file"], "box-1.img");
    run(&format!("image fetch {}", server.address("/get"))).ends(0);
    assert_eq!(listed(&host, "fedora-9")["file"], "fedora-9.qcow2.img");
    // The list has it under the name that its server gives it.
    std::fs::write(host.work().join("box-1.img"), disk()).unwrap();
    host.sh("sh", &["-c", "sha256sum box-1.img > SUMS"]);
    run(&format!("image fetch {} --name listed --checksums SUMS", server.address("/download?id=7"))).ends(0).says("checked: sha256:");
    // Two mirrors that differ: what came from one is no beginning of the other, and a mixture is reported as one.
    let hash = sha256(&host, "box-1.img");
    let mut other = disk();
    other[3 << 20] ^= 1;
    server.gives("/mixed.img", Reply::Mixed(disk(), other));
    run(&format!("image fetch {} --hash {hash}", server.address("/mixed.img"))).ends(1).says("in 2 pieces").says("different files");
    server.gives("/changes.img", Reply::CutsAndChanges(disk(), 1000));
    run(&format!("image fetch {}", server.address("/changes.img")))
        .ends(1)
        .says("version \"")
        .says("mirrors behind one address may differ");
    run(&format!("image fetch {} --name busy", busy.address("/busy.img"))).ends(0);
    host.nothing_is_left();
}
