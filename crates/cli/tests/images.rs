//! Images come in whatever they are packed in, are checked, and are looked after.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;
mod loopback;

use common::images::{direct, disk, listed, sha256, with_env};
use common::{Host, PROGRAM, With};
use loopback::{Reply, Server};
use std::fmt::Write as _;

const ZIP: &str = "import sys,zipfile
z=zipfile.ZipFile(sys.argv[1],'w',zipfile.ZIP_DEFLATED)
for f in sys.argv[2:]: z.write(f.split('=')[0], f.split('=')[-1])
z.close()";

#[test]
fn every_packing_and_format_gives_the_same_image() {
    let Some(host) = Host::new("images::formats", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    std::fs::write(host.work().join("disk.img"), disk()).unwrap();
    let sum = sha256(&host, "disk.img");
    host.sh("gzip", &["-k", "disk.img"]);
    host.sh("xz", &["-k", "-0", "--block-size=1MiB", "disk.img"]);
    host.sh("zstd", &["-q", "-k", "disk.img"]);
    host.sh("bzip2", &["-k", "disk.img"]);
    host.sh("tar", &["-cf", "disk.tar", "./disk.img"]);
    host.sh("tar", &["-czSf", "sparse.tar.gz", "disk.img"]);
    host.sh("tar", &["-cJf", "disk.tar.xz", "disk.img"]);
    host.sh("python3", &["-c", ZIP, "disk.zip", "disk.img"]);
    host.sh("sh", &["-c", "cat disk.img.gz disk.img.gz > /dev/null; head -c 1000000 disk.img | zstd -q > two.zst; tail -c +1000001 disk.img | zstd -q >> two.zst"]);
    for format in ["qcow2", "vmdk", "vdi", "vhdx"] {
        host.sh("qemu-img", &["convert", "-O", format, "disk.img", &format!("disk.{format}")]);
    }
    // VHD counts in cylinders unless it is told not to; only the footer of the fixed one tells what it is.
    for (kind, file) in [("fixed", "fixed.vhd"), ("dynamic", "grows.vhd")] {
        let options = format!("subformat={kind},force_size=on");
        host.sh("qemu-img", &["convert", "-O", "vpc", "-o", &options, "disk.img", file]);
    }
    host.sh("xz", &["-k", "-0", "disk.qcow2"]);
    for (index, (file, format)) in [
        ("disk.img", "raw"),
        ("disk.img.gz", "raw.gz"),
        ("disk.img.xz", "raw.xz"),
        ("disk.img.zst", "raw.zst"),
        ("two.zst", "raw.zst"),
        ("disk.img.bz2", "raw.bz2"),
        ("disk.tar", "raw.tar"),
        ("sparse.tar.gz", "raw.tar.gz"),
        ("disk.tar.xz", "raw.tar.xz"),
        ("disk.zip", "raw.zip"),
        ("disk.qcow2", "qcow2"),
        ("disk.vmdk", "vmdk"),
        ("disk.vdi", "vdi"),
        ("disk.vhdx", "vhdx"),
        ("disk.qcow2.xz", "qcow2.xz"),
        ("fixed.vhd", "vhd"),
        ("grows.vhd", "vhd"),
    ]
    .into_iter()
    .enumerate()
    {
        // The name says nothing of what it is.
        let (plain, name) = (format!("file{index}"), format!("image{index}"));
        std::fs::rename(host.work().join(file), host.work().join(&plain)).unwrap();
        host.ok(&format!("image import {plain} --name {name}")).says("not checked against any hash");
        let image = listed(&host, &name);
        assert_eq!((&image["sha256"], &image["format"], &image["kind"]), (&sum.clone().into(), &format.into(), &"disk".into()), "{file}");
        assert!(image["used"].as_u64().unwrap() < 2 << 20, "holes of {file} are no holes: {image}");
    }
    // The same on standard input, where nothing can be read twice.
    for (from, name) in [("file3", "piped-zstd"), ("file9", "piped-zip"), ("file10", "piped-qcow2"), ("file0", "piped-raw")] {
        host.sh("sh", &["-c", &format!("cat {from} | {PROGRAM} image import - --name {name}")]);
        assert_eq!(listed(&host, name)["sha256"], sum.clone(), "{from}");
    }
    host.ok("image verify").says("image0: is what was imported").says("piped-raw: is what was imported");
    host.nothing_is_left();
}

#[test]
fn what_is_no_image_is_refused_and_leaves_nothing() {
    let Some(host) = Host::new("images::bad", With::Image) else { return };
    let disk = disk();
    let write = |name: &str, bytes: &[u8]| std::fs::write(host.work().join(name), bytes).unwrap();
    let read = |name: &str| std::fs::read(host.work().join(name)).unwrap();
    write("disk.img", &disk);
    write("other.img", b"another file");
    for (tool, ending) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst"), ("bzip2", "bz2")] {
        let args = if tool == "zstd" { vec!["-q", "-k", "disk.img"] } else { vec!["-k", "disk.img"] };
        host.sh(tool, &args);
        let whole = read(&format!("disk.img.{ending}"));
        write(&format!("cut-{ending}"), &whole[..whole.len() - 9]);
        write(&format!("half-{ending}"), &whole[..whole.len() / 2]);
        let mut poisoned = whole;
        // In the middle of what does not compress, so that nothing but a checksum can tell.
        poisoned[100_000] ^= 0x55;
        write(&format!("poisoned-{ending}"), &poisoned);
    }
    host.sh("tar", &["-cf", "two.tar", "disk.img", "other.img"]);
    host.sh("tar", &["-cPf", "out.tar", "--transform=s,^,../,", "disk.img"]);
    host.sh("tar", &["-cPf", "root.tar", "--transform=s,^,/etc/,", "disk.img"]);
    host.sh("ln", &["-s", "/etc/passwd", "link"]);
    host.sh("tar", &["-cf", "link.tar", "link"]);
    host.sh("mkdir", &["empty"]);
    host.sh("tar", &["-cf", "none.tar", "empty"]);
    let tar = {
        host.sh("tar", &["-cf", "one.tar", "disk.img"]);
        read("one.tar")
    };
    write("cut-tar", &tar[..tar.len() / 2]);
    host.sh("python3", &["-c", ZIP, "two.zip", "disk.img", "other.img"]);
    host.sh("python3", &["-c", ZIP, "out.zip", "disk.img=../disk.img"]);
    host.sh("python3", &["-c", ZIP, "one.zip", "disk.img"]);
    let mut zip = read("one.zip");
    write("cut-zip", &zip[..zip.len() / 2]);
    zip[100_000] ^= 0x55;
    write("poisoned-zip", &zip);
    host.sh("sh", &["-c", "head -c 64M /dev/zero | gzip > bomb.gz; gzip < bomb.gz | gzip | gzip | gzip > five"]);
    host.sh("qemu-img", &["create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", "back.qcow2", "1M"]);
    host.sh("qemu-img", &["create", "-q", "-f", "qcow2", "large.qcow2", "1T"]);
    write("cut-qcow2", &disk[..0].iter().chain(b"QFI\xfb\0\0\0\x03 and nothing more").copied().collect::<Vec<_>>());
    write("page", b"\n<!DOCTYPE html>\n<html><body>not found</body></html>");
    write("nothing", b"");
    let before = host.tree();
    for (line, code, says) in [
        ("cut-gz", 1, "it is truncated"),
        ("cut-xz", 1, "it is truncated"),
        ("cut-zst", 1, "it is truncated"),
        ("cut-bz2", 1, "it is truncated"),
        ("half-gz", 1, "it is truncated"),
        ("half-xz", 1, "it is truncated"),
        ("half-zst", 1, "it is truncated"),
        ("half-bz2", 1, "it is truncated"),
        ("poisoned-gz", 1, "is damaged (gz)"),
        ("poisoned-xz", 1, "is damaged (xz)"),
        ("poisoned-zst", 1, "is damaged (zst)"),
        ("poisoned-bz2", 1, "is damaged (bz2)"),
        ("two.tar", 2, "more than one file: `disk.img` and `other.img`"),
        ("out.tar", 2, "`../disk.img` in it points outside of its folder"),
        ("root.tar", 2, "points outside of its folder"),
        ("link.tar", 2, "is a link or a device"),
        ("none.tar", 2, "it holds no file"),
        ("cut-tar", 1, "it is truncated"),
        ("two.zip", 2, "more than one file"),
        ("out.zip", 2, "points outside of its folder"),
        ("cut-zip", 1, "is damaged (zip)"),
        ("poisoned-zip", 1, "is damaged (zip)"),
        ("bomb.gz --max-size 63M", 1, "decompresses to more than 63M"),
        ("five", 2, "more than 4 layers"),
        ("large.qcow2 --max-size 1G", 1, "--max-size SIZE"),
        ("large.qcow2", 1, "decompresses to more than 256G"),
        ("back.qcow2", 2, "depends on another file"),
        ("cut-qcow2", 1, "is damaged or incomplete (qcow2)"),
        ("page", 2, "is a web page"),
        ("nothing", 2, "is empty"),
        ("missing", 3, "there is no file"),
        ("empty", 2, "is not a regular file"),
        ("disk.img --name small", 4, "an image is called `small` already"),
        ("disk.img --hash sha256:12", 2, "is not a hash"),
        ("disk.img --name importing-x", 2, "incomplete images"),
        ("-", 2, "--name"),
        ("gopher://localhost/x", 2, "not an address that can be read"),
        ("disk.img --key disk.img", 2, "holds no public key"),
    ] {
        let answer = host.chyves(&format!("image import {line}")).ends(code);
        assert!(answer.err.contains(says), "{line} does not say `{says}`:\n{}", answer.err);
        assert!(answer.err.contains("hint:"), "{line} does not say what to do:\n{}", answer.err);
        assert_eq!(host.tree(), before, "{line}");
    }
    // A wrong hash is told with the right one, and the limit is only a limit.
    let zeros = "0".repeat(64);
    host.chyves(&format!("image import disk.img --hash {zeros}")).ends(1).says(&zeros).says(&sha256(&host, "disk.img"));
    host.chyves(&format!("image import disk.img.gz --hash md5:{}", &zeros[..32])).ends(1).says("md5");
    assert_eq!(host.tree(), before);
    host.ok("image import bomb.gz --max-size 64M");
    for (tool, kind) in [("md5sum", "md5"), ("sha1sum", "sha1"), ("sha512sum", "sha512")] {
        let hash = host.sh(tool, &["disk.img.xz"]).split(' ').next().unwrap().to_owned();
        host.ok(&format!("image import disk.img.xz --name by-{kind} --hash {kind}:{hash}")).says(&format!("checked: {kind}:"));
    }
    host.nothing_is_left();
}

#[test]
fn lists_of_checksums_and_their_signatures_decide() {
    let Some(host) = Host::new("images::lists", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let server = Server::new();
    let disk = disk();
    let write = |name: &str, bytes: &str| std::fs::write(host.work().join(name), bytes).unwrap();
    std::fs::write(host.work().join("disk.img"), &disk).unwrap();
    server.gives("/disk.img", Reply::File(disk));
    let sum = sha256(&host, "disk.img");
    write("GNU", &format!("{}  other.img\n{sum} *disk.img\n", "0".repeat(64)));
    write("BSD", &host.sh("sha512sum", &["--tag", "disk.img"]));
    let sums = host.sh("sha256sum", &["disk.img"]);
    server.gives("/SHA256SUMS", Reply::Plain(sums.into_bytes()));
    host.ok("image import disk.img --name gnu --checksums GNU").says(&format!("checked: sha256:{sum}"));
    host.ok("image import disk.img --name bsd --checksums BSD").says("checked: sha512:");
    let fetch = format!("image fetch {} --checksums {}", server.address("/disk.img"), server.address("/SHA256SUMS"));
    direct(&host, &fetch).ends(0).says("/SHA256SUMS");
    // OpenPGP: in the list, and beside it.
    let home = host.work().join("gnupg");
    std::fs::create_dir(&home).unwrap();
    host.sh("chmod", &["700", "gnupg"]);
    let home = home.to_str().unwrap();
    let gpg = |args: &[&str]| {
        host.sh("gpg", &[&["--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""], args].concat())
    };
    gpg(&["--quick-gen-key", "maker@example.org", "ed25519", "sign", "never"]);
    gpg(&["--armor", "--output", "key.asc", "--export"]);
    gpg(&["--output", "key.gpg", "--export"]);
    gpg(&["--clearsign", "--output", "SIGNED", "GNU"]);
    gpg(&["--detach-sign", "--output", "detached", "GNU"]);
    host.command("gpgconf").args(["--homedir", home, "--kill", "all"]).output().unwrap();
    host.ok("image import disk.img --name inside --checksums SIGNED --key key.asc").says("signed by the OpenPGP key");
    host.ok("image import disk.img --name beside --checksums GNU --signature detached --key key.gpg").says("signed by");
    let before = host.tree();
    let signed = std::fs::read_to_string(host.work().join("SIGNED")).unwrap();
    write("FORGED", &signed.replace(&"0".repeat(64), &"1".repeat(64)));
    write("OTHER", "SHA256 (disk.img) = 00\n");
    for (options, code, says) in [
        ("--checksums FORGED --key key.asc", 1, "is not valid"),
        ("--checksums GNU --key key.asc", 3, "none of these is beside it: GNU.asc"),
        ("--checksums BSD --signature detached --key key.gpg", 1, "is not valid"),
        ("--checksums OTHER", 1, "no checksums at all"),
    ] {
        host.chyves(&format!("image import disk.img --name x {options}")).ends(code).says(says).says("hint:");
        assert_eq!(host.tree(), before, "{options}");
    }
    host.nothing_is_left();
}

#[test]
fn the_catalogue_is_data_and_anybody_s_own_comes_first() {
    let Some(host) = Host::new("images::catalogue", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let server = Server::new();
    let disk = disk();
    std::fs::write(host.work().join("mine-1.2.img"), &disk).unwrap();
    let sums = host.sh("sha256sum", &["mine-1.2.img"]);
    server.gives("/1.2/mine-1.2.img", Reply::File(disk));
    server.gives("/1.2/SHA256SUMS", Reply::Plain(sums.into_bytes()));
    let tables = host.work().join("tables");
    std::fs::create_dir(&tables).unwrap();
    let table = r#"[{"name": "mine-{version}", "title": "My own {version}", "kind": "disk", "versions": [{"version": "1.2"}],
        "address": "ADDRESS/{version}/mine-{version}.img", "checksums": "ADDRESS/{version}/SHA256SUMS",
        "settings": {"os": "linux", "ram": "96M", "disk0.bus": "ahci-hd"}}]"#;
    std::fs::write(tables.join("mine.json"), table.replace("ADDRESS", &server.address(""))).unwrap();
    let env = [("CHYVES_CATALOGUE", tables.to_str().unwrap())];
    let known = with_env(&host, "image catalogue -H -o name,kind", &env).ends(0);
    assert!(known.out.starts_with("mine-1.2\tdisk\n"), "{}", known.out);
    known.says("debian-12\tdisk").says("windows-11\tiso");
    with_env(&host, "iso catalogue", &env).ends(0).is_silent_of("debian-12").says("openbsd");
    with_env(&host, "image fetch mine-1.2", &env).ends(0).says("checked: sha256:").says("/1.2/SHA256SUMS");
    let dataset = format!("{}/chyves/images/mine-1.2", host.pool);
    assert_eq!(host.zfs_get("chyves:wants.ram", &dataset), "96M");
    assert_eq!(host.zfs_get("chyves:wants.disk0.bus", &dataset), "ahci-hd");
    host.ok("image info mine-1.2").says("disk0.bus=ahci-hd os=linux ram=96M");
    // A guest is made from it as from any other.
    host.ok("create web --image mine-1.2");
    let before = host.tree();
    for (line, code, says) in [
        ("image fetch mine-1", 3, "did you mean `mine-1.2`?"),
        ("image fetch windows-11", 2, "chyves iso import FILE --like windows-11"),
        ("image fetch mine-1.2", 4, "already"),
        ("image import mine-1.2.img --name x --like nothing", 3, "nothing in the catalogue"),
    ] {
        let answer = with_env(&host, line, &env).ends(code);
        assert!(answer.err.contains(says), "{line} does not say `{says}`:\n{}", answer.err);
        assert_eq!(host.tree(), before, "{line}");
    }
    host.ok("image import mine-1.2.img --name by-hand --like windows-11");
    host.ok("image info by-hand").says("os=windows");
    // What a vendor changed without its list is not taken.
    server.gives("/1.2/SHA256SUMS", Reply::Plain(format!("{}  mine-1.2.img\n", "0".repeat(64)).into_bytes()));
    let before = host.tree();
    with_env(&host, "image fetch mine-1.2 --name again", &env).ends(1).says("does not match");
    assert_eq!(host.tree(), before);
    // Whatever fails, nothing that could be pasted fetches the address without its checksums.
    let (half, n) = (common::images::disk()[..1 << 20].to_vec(), 3 << 20);
    for (reply, code) in [
        (Reply::Status(404), 3),
        (Reply::Status(500), 1),
        (Reply::Short(half, n), 1),
        (Reply::Redirect("ftp://127.0.0.1/x".into()), 1),
        (Reply::Redirect(server.address("/1.2/mine-1.2.img")), 1),
        (Reply::Packed(common::images::disk()), 1),
        (Reply::Page, 2),
    ] {
        server.gives("/1.2/SHA256SUMS", Reply::Plain(format!("{}  mine-1.2.img\n", "0".repeat(64)).into_bytes()));
        server.gives("/1.2/mine-1.2.img", reply.clone());
        let answer = with_env(&host, "image fetch mine-1.2 --name again --retries 0", &env).ends(code);
        let unchecked = answer
            .err
            .split("chyves image fetch ")
            .skip(1)
            .any(|rest| rest.starts_with(['h', '\'', 'A']) || (rest.starts_with("ftp") && !rest.contains("--hash")));
        assert!(!unchecked && answer.err.contains("hint:"), "{reply:?}:\n{}", answer.err);
    }
    std::fs::write(tables.join("wrong.json"), "[{}]").unwrap();
    with_env(&host, "image catalogue", &env).ends(2).says("wrong.json");
}

#[test]
fn three_nouns_share_one_store_and_tell_who_uses_what() {
    let Some(host) = Host::new("images::nouns", With::Image) else { return };
    let write = |name: &str, length: usize, offset: usize, magic: &[u8]| {
        let mut bytes = vec![0u8; length];
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        std::fs::write(host.work().join(name), bytes).unwrap();
    };
    // A volume of one block of 2048 bytes.
    let mut descriptor = [0u8; 136];
    descriptor[..7].copy_from_slice(b"\x01CD001\x01");
    (descriptor[80], descriptor[129]) = (1, 8);
    write("disc", 65_536, 32_768, &descriptor);
    write("code", 65_536, 40, b"_FVH");
    std::fs::write(host.work().join("blob"), [0x90u8; 4096]).unwrap();
    host.ok("iso import disc");
    host.ok("firmware import code");
    host.ok("firmware import blob");
    for (line, code, says) in [
        ("iso import small.img --name x", 2, "by its content it is a disk"),
        ("firmware import disc --name x", 2, "by its content it is an ISO"),
        ("iso info small", 3, "is not of the kind"),
        ("iso delete code --yes", 3, "is not of the kind"),
        ("firmware rename disc x", 3, "is not of the kind"),
        ("firmware verify disc", 3, "is not of the kind"),
        ("image info nope", 3, "no image is called"),
        ("image rename small disc", 4, "already"),
        ("image rename small fetching-x", 2, "incomplete images"),
    ] {
        let answer = host.chyves(line).ends(code);
        assert!(answer.err.contains(says), "{line} does not say `{says}`:\n{}", answer.err);
    }
    let names = |noun: &str| host.ok(&format!("{noun} list -H -o name")).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!((names("image"), names("iso"), names("firmware")), ("blob code disc small".into(), "disc".into(), "blob code".into()));
    host.ok("create web --image small loader=bios");
    host.ok("image info small").says("guests/web");
    let info = host.ok("image info small --json").json();
    assert_eq!(info[0]["clones"][0], host.dataset("web"));
    host.chyves("image delete small --yes").ends(4).says("guests/web");
    host.ok("image rename small tiny").says("renamed to tiny");
    assert_eq!(host.value("web", "image"), "tiny");
    host.ok("image info tiny").says("guests/web");
    host.ok("image verify tiny").says("is what was imported");
    // A guest is started from the image under its new name, and from what was made before.
    host.ok("create two --image tiny loader=bios");
    host.ok("start web --dry-run");
    // Somebody wrote to an image's file behind our back.
    let disc = format!("{}/chyves/images/disc", host.pool);
    host.sh("zfs", &["mount", &disc]);
    let file = host.open_path(host.mount_point().join("chyves/images/disc/image.iso"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    host.chyves("image verify").ends(1).says("the image `disc` is not what was imported").says("tiny: is what was imported");
    // What is listed is what is destroyed, and all of it is looked at before: a clone of any snapshot keeps it.
    host.sh("zfs", &["snapshot", &format!("{disc}@zrepl_1")]);
    let copy = format!("{}/copy", host.pool);
    host.sh("zfs", &["clone", &format!("{disc}@zrepl_1"), &copy]);
    let before = host.tree();
    host.chyves("iso delete disc --yes").ends(4).says("in use").says(&copy);
    assert_eq!(host.tree(), before);
    host.destroy(&copy);
    // One that a destruction left half can still be destroyed.
    host.sh("zfs", &["destroy", &format!("{disc}@ready")]);
    host.ok("image info disc").says("no snapshot @ready, from which guests are made");
    host.ok("iso delete disc --yes").says(&format!("destroys {disc}@zrepl_1"));
    let mut screen = String::new();
    write!(screen, "{}", host.ok("image list -H -o name").out).unwrap();
    assert_eq!(screen.split_whitespace().collect::<Vec<_>>(), ["blob", "code", "tiny"]);
    host.nothing_is_left();
}
