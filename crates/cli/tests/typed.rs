//! What a new user types and means: lists with commas, words in another place, keys from files, devices that are not there.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};

#[test]
fn several_images_are_named_as_several_guests_are() {
    let Some(host) = Host::new("typed::images", With::Image) else { return };
    std::fs::write(host.work().join("d.raw"), vec![7; 64 << 10]).unwrap();
    for name in ["a", "b"] {
        host.ok(&format!("image import d.raw --name {name}"));
    }
    host.ok("image info a,b").says("images/a").says("images/b");
    host.ok("image verify a,b").says("a: ").says("b: ");
    host.chyves("image delete a,none,b,a -y").ends(6).says("1 of 3 images").says("`none`");
    host.ok("image list").is_silent_of("a  ").is_silent_of("b  ");
    // A name in the file's place, and the other way round.
    host.chyves("image import a d.raw").ends(2).says("`chyves image import d.raw --name a`");
    host.chyves("image delete ,").ends(2);
}

#[test]
fn a_word_in_another_place_is_named_with_its_option() {
    let Some(host) = Host::new("typed::places", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    host.chyves("receive web02").ends(2).says("unexpected argument `web02`").says("`chyves receive --name web02 < FILE`");
    host.chyves(&format!("move web {}", host.pool)).ends(2).says(&format!("`chyves move web --pool {}`", host.pool));
    host.chyves("start web --frob").ends(2).says("usage: chyves start").says("`chyves help start`");
    host.chyves("image import").ends(2).says("`chyves help image import`");
    host.chyves("web restore").ends(2).says("unknown command `restore`").says("snapshot rollback");
    host.chyves("web frobnicate").ends(2).says("unknown command `frobnicate`");
    host.chyves("web").ends(2).says("`web` is a guest (stopped)").says("`chyves start web`");
    host.chyves("we").ends(2).says("guests whose names begin with `we`: web;");
    for line in ["ssh web", "web ssh"] {
        host.chyves(line).ends(2).says("unknown command `ssh`").says("`chyves info web` shows the addresses");
    }
    host.chyves("upgrade").ends(2).says("`chyves pool upgrade POOL`");
    host.chyves("trash rm web").ends(2).says("`trash` has no verb `rm`").says("`chyves trash empty GUEST`");
    host.chyves("pool rm nope").ends(3).says("nope");
    host.chyves("network rm web net7").ends(3).says("net7");
    host.chyves("network delete web net0").ends(2).says("`chyves network remove web net0`");
    host.chyves("set web fwcfg_0=opt/a,string=b").ends(2).says("did you mean `fw_cfg0`?");
    host.chyves("set web net0.modl=x").ends(2).says("did you mean `net0.model`?");
    // Guests by name, in both orders.
    host.ok("create other --size 1M");
    host.ok("list web").says("web").is_silent_of("other");
    // What a dataset uses may still change for a moment.
    common::until("the same list", || (host.ok("web list").out == host.ok("list web").out).then_some(()));
    assert_eq!(host.ok("list other,web -H -o name").out, "other\nweb\n");
    host.chyves("list web nope").ends(6).says("web").says("no guest is called `nope`");
    host.chyves("list imagse").ends(3).says("did you mean `images`?");
    host.ok("snapshot web@before");
    host.ok("snapshot rollback web before -y");
}

#[test]
fn a_device_that_is_not_there_is_not_added_by_a_setting() {
    let Some(host) = Host::new("typed::devices", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    let before = host.ok("get web all").out;
    for (setting, hint) in [
        ("net7.mtu=1400", "`chyves network add web`"),
        ("disk7.bus=nvme", "`chyves disk add web SIZE`"),
        ("ci.net7.address=192.0.2.2/24", "`chyves network add web`"),
    ] {
        host.chyves(&format!("set web {setting}")).ends(2).says("`web` has no ").says(hint);
        host.chyves(&format!("create web02 --size 1M {setting}")).ends(2).says("`web02` has no ").says("--nets 2");
    }
    host.chyves("unset web net0.backend").ends(2).says("`chyves network remove web net0`");
    assert_eq!(host.ok("get web all").out, before);
    host.ok("set web net1.backend=user net1.mtu=1400");
    host.ok("set web net1.mtu=1300");
}

#[test]
fn keys_come_from_a_file_or_a_pipe_for_a_guest_that_is_there() {
    let Some(host) = Host::new("typed::keys", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    for name in ["one", "two"] {
        host.sh("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", name]);
    }
    host.ok("cloud-init set web --ssh-key one.pub").says("SSH keys added");
    host.ok("cloud-init set web -k one.pub").says("already");
    let program = common::PROGRAM;
    host.sh("sh", &["-c", &format!("{program} cloud-init set web --ssh-key - <two.pub")]);
    let text = |name: &str| std::fs::read_to_string(host.work().join(name)).unwrap().trim().to_owned();
    assert_eq!(host.value("web", "ci.key0"), text("one.pub"));
    assert_eq!(host.value("web", "ci.key1"), text("two.pub"));
    host.ok("cloud-init show web user-data").says(&text("one.pub")).says(&text("two.pub"));
    host.chyves("set web ci.key0=@one.pub").ends(2).says("`chyves cloud-init set GUEST --ssh-key FILE`");
}

#[test]
fn a_group_is_no_name_for_a_guest_and_is_shown() {
    let Some(host) = Host::new("typed::groups", With::Image) else { return };
    host.sh("zfs", &["create", &format!("{}/chyves/guests/prod", host.pool)]);
    host.ok("set global group_levels=1");
    host.chyves("create prod --size 1M").ends(4).says("a group of guests is called `prod`");
    host.chyves("create prod --size 1M -n").ends(4).says("a group of guests");
    host.ok("create web --size 1M");
    let (from, to) = (host.dataset("web"), format!("{}/chyves/guests/prod/web", host.pool));
    // zfs-fuse lets go of a file system some time after it is unmounted.
    common::until("the rename", || host.command("zfs").args(["rename", &from, &to]).status().unwrap().success().then_some(()));
    host.ok("info web").shows("group", "prod");
}

#[test]
fn a_disk_grows_by_so_much() {
    let Some(host) = Host::new("typed::grow", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web --size 8M");
    host.ok("disk resize web disk0 +4M").says("disk0 grown by 4M to 12M");
    assert_eq!(host.value("web", "disk0.size"), "12M");
    // By what it has, whatever is recorded.
    host.in_folder("web", |folder| std::fs::File::options().write(true).open(folder.join("disk0.raw")).unwrap().set_len(20 << 20).unwrap());
    host.ok("get web disk0.size").says("actual size 20M, recorded 12M").says("`chyves disk sync web disk0`");
    // Of a guest that is not mounted nothing else is known without mounting it.
    host.ok("list -o disk0.size -H").says("12M");
    host.sh("zfs", &["mount", &host.dataset("web")]);
    host.ok("list -o disk0.size").says("20M (recorded: 12M)");
    assert_eq!(host.ok("list web -o disk0.size --json").json()[0]["disk0.size"], 20 << 20);
    host.sh("zfs", &["unmount", &host.dataset("web")]);
    host.ok("disk resize web disk0 +4M");
    assert_eq!(host.value("web", "disk0.size"), "24M");
    host.chyves("disk resize web disk0 lots").ends(2).says("+1G");
}

#[test]
fn a_size_is_no_name_of_a_guest() {
    let Some(host) = Host::new("typed::sizes", With::Image) else { return };
    host.chyves("create web05 20M").ends(2).says("`20M`: that is a size").says("`chyves create web05 --size 20M`");
    host.chyves("create web05 4G --image small").ends(2).says("`chyves create web05 --size 4G --image small`");
    host.chyves("create web05,1.5T").ends(2).says("--size 1.5T");
    host.chyves("create web05 20M --size 20M").ends(2).says("a size is given already");
    host.ok("list").is_silent_of("web05");
    // A number alone, or with other letters, is a name.
    host.ok("create 2024 8bit --size 1M");
}

#[test]
fn an_attached_file_that_is_gone_is_shown_with_its_cure() {
    let Some(host) = Host::new("typed::gone", With::Image) else { return };
    host.ok("create web --size 1M loader=bios");
    let file = host.work().join("ext.raw");
    std::fs::write(&file, vec![0; 1 << 20]).unwrap();
    host.ok(&format!("disk add web --attach {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    let missing = format!("`{}` is missing", file.display());
    let (cure, lost) = ("connect, mount or restore what it is on", "`chyves disk remove web disk1 --lost`");
    host.ok("info web").says("its source is missing").says(cure).says(lost);
    host.ok("disk list web").says("disk1 of web is missing").says(cure).says(lost);
    host.chyves("doctor").says(&missing).says(cure).says(lost);
    host.chyves("start web -n").ends(5).says("is not there").says(lost);
    host.ok("disk remove web disk1 --lost");
    host.ok("info web").is_silent_of("missing");
}

#[test]
fn a_password_file_and_a_serial_port_are_checked_where_they_are_set() {
    use std::os::unix::fs::PermissionsExt;
    let Some(host) = Host::new("typed::ends", With::Image) else { return };
    host.ok("create web --image small loader=bios ci.user=ann");
    let file = host.work().join("hash");
    let set = |verb: &str| format!("{verb} ci.password_file={}", file.display());
    host.ok(&set("set web")).says("warning").says("there is no file").says("openssl passwd -6");
    host.ok("unset web ci.password_file");
    std::fs::write(&file, "$6$salt$hash\n").unwrap();
    let chmod = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    chmod(0o644);
    for verb in ["set web", "set defaults", "create other --size 1M ci.user=ann"] {
        host.chyves(&set(verb)).ends(2).says("can be read by others").says("chmod 600");
    }
    chmod(0o600);
    host.ok(&set("set web")).is_silent_of("warning");
    for device in ["/dev/zero", "/dev/null", "/dev/urandom"] {
        host.chyves(&format!("set web com2={device}")).ends(2).says("it is no terminal").says("tcp=");
    }
    host.chyves("create other --size 1M com2=/dev/null").ends(2).says("it is no terminal");
    host.ok("set web com2=/dev/tty0");
    // Set by another program, it is refused by the start.
    host.sh("zfs", &["set", "chyves:com2=/dev/zero", &host.dataset("web")]);
    host.chyves("start web -n").ends(5).says("com2 of `web` cannot be used: `/dev/zero` is no terminal").says("`chyves unset web com2`");
}

#[test]
fn a_planned_start_is_folded_only_on_a_terminal() {
    let Some(host) = Host::new("typed::folded", With::Image) else { return };
    host.ok("create web --image small loader=bios accel=tcg");
    let program = common::PROGRAM;
    let plain = host.ok("start web -n").out;
    let line = plain.lines().find(|line| line.starts_with("qemu") || line.contains("/qemu-system")).expect("a command line").to_owned();
    assert!(line.contains(" -name ") && !plain.contains("\\\n"), "{plain}");
    let on_terminal = host.command("script").args(["-qec", &format!("{program} start web -n"), "/dev/null"]).output().unwrap();
    let text = String::from_utf8(on_terminal.stdout).unwrap().replace('\r', "");
    assert!(text.contains(" \\\n    -name "), "{text}");
    // Joined, it is the same command.
    assert_eq!(text.replace(" \\\n    -", " -"), plain);
}
