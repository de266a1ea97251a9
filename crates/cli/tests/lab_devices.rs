//! A FreeBSD host, played by the lab: devices of every sort, what a release does not know, and what keeps a guest from
//! starting. Whatever is refused is refused before anything has been done.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Answer, Host, With, until};

fn host(test: &str, settings: &[&str]) -> Option<Host> {
    let host = Host::freebsd(test, With::Tiny, settings)?;
    host.ok("create web01 --image tiny --ram 64M");
    Some(host)
}

/// A start that is refused, with nothing done for it.
#[track_caller]
fn refused(host: &Host, code: i32) -> Answer {
    let taps = host.sh("ifconfig", &["-l"]);
    let modules = host.sh("kldstat", &[]);
    let answer = host.chyves("start web01").ends(code);
    assert_eq!(host.sh("ifconfig", &["-l"]), taps);
    assert_eq!(host.sh("kldstat", &[]), modules);
    assert!(!host.lab().dev("vmm").exists());
    host.nothing_is_left();
    answer
}

/// The same for one setting, which is taken away again.
#[track_caller]
fn refuses(host: &Host, setting: &str, code: i32) -> Answer {
    host.chyves_words(&["set", "web01", setting]).ends(0);
    let answer = refused(host, code);
    // What a NIC is cannot be unset, since that would remove it.
    match setting.split_once('=').unwrap().0 {
        key @ "net0.backend" => host.chyves_words(&["set", "web01", &format!("{key}=auto")]).ends(0),
        key => host.chyves_words(&["unset", "web01", key]).ends(0),
    };
    answer
}

/// Starts web01, waits for its first word of that number, and lets it power off.
fn runs(host: &Host, ready: u32) -> Answer {
    let started = host.ok("-v start web01");
    let mut console = host.console("web01");
    console.sees(&format!("tiny: ready {ready}"));
    console.types("p");
    until("web01 to be off", || (host.state("web01") == "stopped").then_some(()));
    host.nothing_is_left();
    started
}

/// A device of every sort that can be had on any host, thirty of them with the disk, the NIC, the bridges and the random numbers.
#[test]
fn thirty_devices_at_once() {
    for settings in [&["release=13.5", "cpu=amd"][..], &["release=14.3", "cpu=intel"]] {
        let Some(host) = host("lab_devices::thirty", settings) else { return };
        let folder = host.work();
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::create_dir(folder.join("shared")).unwrap();
        std::fs::write(host.lab().dir().join("devfs/dsp0"), "").unwrap();
        let mut devices = vec!["hda,play=/dev/dsp0".to_owned(), "virtio-scsi,/dev/cam/ctl".to_owned(), "ahci-cd".to_owned()];
        devices.push(format!("virtio-9p,share={}", path("shared")));
        devices.push(format!("virtio-console,port={}", path("port.sock")));
        devices.push("nvme,ram=16".to_owned());
        devices.push("uart,/dev/nmdm-extra.1A".to_owned());
        if settings[0] != "release=13.1" {
            std::fs::write(host.lab().dir().join("devfs/event0"), "").unwrap();
            devices.push("virtio-input,/dev/event0".to_owned());
        }
        for (n, bus) in ["virtio-blk", "ahci-hd", "nvme"].iter().cycle().take(9).enumerate() {
            let disk = path(&format!("disk{n}.raw"));
            std::fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
            devices.push(format!("{bus},{disk},ser=D{n}"));
        }
        let ports: Vec<String> = (0..4)
            .map(|n| {
                let disk = path(&format!("port{n}.raw"));
                std::fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
                format!("hd:{disk}")
            })
            .collect();
        devices.push(format!("ahci,{}", ports.join(",")));
        for n in 0..4 {
            host.sh("ifconfig", &[&format!("tap{n}"), "create"]);
            devices.push(format!("{},tap{n}", if n % 2 == 0 { "virtio-net" } else { "e1000" }));
        }
        while devices.len() < 23 {
            devices.push("virtio-rnd".to_owned());
        }
        for (n, device) in devices.iter().enumerate() {
            host.chyves_words(&["set", "web01", &format!("pcidev_{n}={device}")]).ends(0);
        }
        host.ok("set web01 vnc=on");
        let started = runs(&host, 1);
        let line = started.err.lines().find(|l| l.starts_with("+ ") && l.contains(" bhyve -")).unwrap();
        let places = line.matches(" -s ").count();
        assert!(places >= 28, "{places} on the line: {line}");
        assert!(line.contains(" -k ") && !line.contains("password"), "the display's secret is in a file of its own: {line}");
        runs(&host, 2);
        host.ok("-v start web01 -q");
        // The address of the display is reported.
        let info = host.ok("info web01 --json").json();
        let (at, secret) = (info[0]["vnc"].as_str().unwrap(), info[0]["vnc_secret"].as_str().unwrap());
        assert!(at.starts_with("127.0.0.1:59") && std::fs::metadata(host.open_path(secret)).is_ok(), "{at} {secret}");
        host.ok("stop web01 --now");
    }
}

#[test]
fn what_a_release_does_not_know_is_refused_with_the_release_that_has_it() {
    let Some(host) = host("lab_devices::older", &["release=13.1", "cpu=intel", "ncpu=32"]) else { return };
    let socket = host.work().join("x.sock").display().to_string();
    for (setting, what, since) in [
        ("pcidev_0=virtio-input,/dev/null".to_owned(), "virtio-input", "13.2"),
        ("cpu=17".to_owned(), "more than 16 processors", "13.2"),
        ("disk0.options=bootindex=1".to_owned(), "a boot order", "14.0"),
        ("net0.backend=user".to_owned(), "a user-mode NIC", "15.0"),
        ("pcidev_0=uart,tcp=127.0.0.1:9000".to_owned(), "a serial port by TCP", "15.0"),
        ("pcidev_0=passthru,ppt0".to_owned(), "passthrough by the name of the ppt unit", "15.0"),
        (format!("pcidev_0=fbuf,rfb=unix:{socket}"), "VNC by a UNIX socket", "15.1"),
        ("pcidev_0=virtio-scsi,target=0:/tmp/x".to_owned(), "disks on virtio-scsi", "16.0"),
    ] {
        refuses(&host, &setting, 5).says(what).says(&format!("it came with FreeBSD {since}")).says("FreeBSD 13.1 does not have");
    }
    // Nothing that a newer one knows is refused there: the same settings start.
    host.lab().set(&["release=15.0"]).unwrap();
    for setting in ["cpu=17", "disk0.options=bootindex=1", "pcidev_0=uart,tcp=127.0.0.1:9000"] {
        host.ok(&format!("set web01 {setting}"));
    }
    runs(&host, 1);
}

#[test]
fn bad_settings_each_have_their_own_words() {
    let Some(host) = host("lab_devices::bad", &["release=14.3", "cpu=intel", "ncpu=4"]) else { return };
    // Refused where they are set: nothing is stored.
    host.chyves("set web01 ram=8").ends(2).says("less than 32M").says("did you mean 8G?");
    assert_eq!(host.value("web01", "ram"), "64M");
    let many = format!("ahci{}", ",cd:".repeat(33));
    for (device, words) in [
        ("virtio-blk", "needs the path of a disk"),
        ("virtio-blk,/a,nocach", "`nocach` is not an option of virtio-blk"),
        ("5:0,virtio-rnd", "it begins with a place"),
        ("passthru,2/0", "BUS/SLOT/FUNCTION"),
        ("virtio-net,tap0,mac=nonsense", "`nonsense`"),
        ("lpc", "a second LPC bridge: every guest has one"),
        (&many, "33 drives do not fit on one AHCI controller, which has 32 ports; put the others on a second controller"),
    ] {
        host.chyves_words(&["set", "web01", &format!("pcidev_0={device}")]).ends(2).says(words);
    }
    host.chyves("set web01 tpm=nonsense").ends(2).says("passthru,/dev/tpm0");
    host.chyves("set web01 com2=nonsense").ends(2).says("tcp=ADDRESS:PORT");
    host.chyves("set web01 com5=/dev/nmdm-x.1A").ends(2).says("there is only comN from 2 to 4");
    host.chyves("set web01 fw_cfg0=opt/x").ends(2).says("NAME,string=TEXT");

    // Refused before the start. The limit of processors is known before vmm is there too.
    refuses(&host, "cpu=5", 5).says("5 processors are configured").says("4 at most").says("hw.vmm.maxcpu=5");
    host.sh("kldload", &["-n", "vmm"]);
    refuses(&host, "cpu=5", 5).says("5 processors are configured").says("4 at most").says("cpu=4");
    refuses(&host, "ram=17G", 5).says("17G of memory is needed").says("the host has 16G");
    refuses(&host, "net0.bridge=lan", 5).says("there is no bridge `lan`").says("chyves network lan attach INTERFACE");
    refuses(&host, "pcidev_0=virtio-foo", 5).says("virtio-foo");
    refuses(&host, "pcidev_0=virtio-9p,share=/nowhere", 5).says("`/nowhere` is not there").says("`chyves unset web01 pcidev_0`");
    refuses(&host, "tpm=passthru,/dev/tpm0", 5)
        .says("tpm of `web01` cannot be used: `/dev/tpm0` is not there")
        .says("`chyves unset web01 tpm`");
    refuses(&host, "fw_cfg0=opt/x,file=/nowhere", 5).says("fw_cfg0 of `web01` cannot be used").says("`chyves unset web01 fw_cfg0`");
    refuses(&host, "pcidev_0=virtio-blk,/etc", 5).says("`/etc` is a folder");
    refuses(&host, "loader=bios", 5).says("bhyve has no BIOS");
    // All that is wrong is told at once.
    host.chyves_words(&["set", "web01", "cpu=5", "net0.bridge=lan", "ram=17G"]).ends(0);
    let all = refused(&host, 5).says("3 things keep `web01` from starting");
    all.says("5 processors").says("`lan`").says("17G");
}

#[test]
fn a_disk_that_somebody_else_writes_to_is_refused() {
    let Some(host) = host("lab_devices::held", &["release=14.3"]) else { return };
    let disk = host.work().join("data.raw");
    std::fs::File::create(&disk).unwrap().set_len(1 << 20).unwrap();
    host.chyves_words(&["set", "web01", &format!("pcidev_0=virtio-blk,{}", disk.display())]).ends(0);
    let mut other = host.command("sleep").arg("1000").stdin(std::fs::File::options().write(true).open(&disk).unwrap()).spawn().unwrap();
    let held = until("the other to hold it", || Some(host.chyves("start web01 --dry-run")).filter(|a| a.code != 0));
    held.ends(5).says("is held open by sleep 1000").says("two writers destroy a disk");
    let sleeper = host.processes().into_iter().find(|p| p.line == "sleep 1000").unwrap();
    host.kill(sleeper.pid);
    other.wait().unwrap();
    until("the other to be gone", || Some(host.chyves("start web01 --dry-run")).filter(|a| a.code == 0));
    runs(&host, 1);
}

#[test]
fn a_path_with_a_comma_goes_into_a_file_that_only_root_reads() {
    use std::os::unix::fs::PermissionsExt;
    let Some(host) = host("lab_devices::comma", &["release=13.5"]) else { return };
    let disk = host.work().join("a,b%c.raw");
    std::fs::copy(host.work().join("tiny.img"), &disk).unwrap();
    host.ok("create other --size 1M --ram 64M");
    host.ok("disk remove other disk0 --yes");
    host.chyves_words(&["disk", "add", "other", "--attach", disk.to_str().unwrap()]).ends(0);
    let started = host.ok("-v start other");
    let line = started.err.lines().find(|l| l.starts_with("+ ") && l.contains("bhyve -")).unwrap();
    assert!(line.contains(" -k ") && !line.contains("a,b"), "{line}");
    let conf = host.run_dir().join(host.value("other", "uuid")).join("bhyve.conf");
    assert_eq!(std::fs::metadata(&conf).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&conf).unwrap();
    assert!(text.contains("/a,b%c.raw\n"), "{text}");
    let mut console = host.console("other");
    console.sees("tiny: ready 1");
    console.types("p");
    until("other to be off", || (host.state("other") == "stopped").then_some(()));
    host.nothing_is_left();
}

#[test]
fn passthrough_wants_an_iommu_and_a_device_of_its_own() {
    for settings in [&["release=14.3", "cpu=intel"][..], &["release=15.0", "cpu=amd", "amdvi=on", "patch=1"]] {
        let Some(host) = host("lab_devices::passthru", settings) else { return };
        let listed = host.sh("pciconf", &["-l"]);
        let free = listed.lines().find(|l| l.starts_with("em0@")).unwrap().split('@').nth(1).unwrap();
        let numbers: Vec<&str> = free.split(':').take(4).map(|n| n.trim_start_matches("pci")).collect();
        let (address, selector) = (numbers[1..].join("/"), format!("pci{}", numbers.join(":")));
        host.ok(&format!("set web01 pcidev_0=passthru,{address}"));
        // vmm first: ppt comes with it.
        host.sh("kldload", &["-n", "vmm"]);
        host.chyves("start web01")
            .ends(5)
            .says("belongs to the driver")
            .says(&format!("devctl set driver -f {selector} ppt"))
            .says("pptdevs=");
        host.sh("devctl", &["set", "driver", "-f", &selector, "ppt"]);
        let started = host.ok("-v start web01");
        assert!(started.err.contains(" -S ") && started.err.contains(&format!("passthru,{address}")), "{}", started.err);
        // Another guest can't have it.
        host.ok(&format!("create web02 --image tiny --ram 64M pcidev_0=passthru,{address}"));
        host.chyves("start web02").ends(5).says("is used by `web01`").says("chyves stop web01");
        let mut console = host.console("web01");
        console.sees("tiny: ready 1");
        console.types("p");
        until("web01 to be off", || (host.state("web01") == "stopped").then_some(()));
    }
    let Some(host) = host("lab_devices::no_iommu", &["release=14.3", "iommu=off"]) else { return };
    host.ok("set web01 pcidev_0=passthru,2/0/0");
    host.chyves("start web01").ends(5).says("the host has no IOMMU");
    let Some(host) = self::host("lab_devices::amdvi", &["release=14.3", "cpu=amd", "amdvi=off"]) else { return };
    host.sh("kldload", &["-n", "vmm"]);
    host.ok("set web01 pcidev_0=passthru,2/0/0");
    host.chyves("start web01").ends(5).says("hw.vmm.amdvi.enable=1");
}

#[test]
fn what_the_host_lacks_is_told_with_the_line_to_add() {
    let Some(host) = host("lab_devices::lacks", &["release=14.3"]) else { return };
    host.lab().set(&["securelevel=1"]).unwrap();
    refused(&host, 5).says("kern.securelevel is 1").says("kld_list=");
    host.lab().set(&["securelevel=-1"]).unwrap();
    host.ok("set web01 load_kernel_modules=no");
    refused(&host, 5).says("load_kernel_modules of `web01` is no").says("kldload -n");
    host.ok("unset web01 load_kernel_modules");
    let Some(host) = self::host("lab_devices::old", &["release=14.3", "cpu=none"]) else { return };
    refused(&host, 5).says("has no VT-x or SVM with nested paging, which bhyve needs");
    let Some(host) = self::host("lab_devices::restricted", &["release=14.3", "ug=off"]) else { return };
    host.ok("set web01 cpu=2");
    refused(&host, 5).says("boots by bhyveload alone").says("a guest has one processor, not 2").says("loader=bhyveload");
}

#[test]
fn ports_a_tpm_firmware_items_and_other_networks() {
    let Some(host) = host("lab_devices::beyond", &["release=15.0", "cpu=amd"]) else { return };
    std::fs::write(host.lab().dir().join("devfs/tpm0"), "").unwrap();
    host.ok("set web01 com2=/dev/nmdm-web01.2A com3=tcp=127.0.0.1:7003 tpm=passthru,/dev/tpm0 fw_cfg0=opt/chyves,string=yes");
    host.sh("kldload", &["-n", "netmap", "ng_socket"]);
    let lines = r"printf '%s\n' 'mkpeer . bridge made link0' 'name .:made lan' 'msg lan: setpersistent'";
    host.sh("sh", &["-ec", &format!("{lines} | ngctl -f -")]);
    for (n, backend) in ["vale0:web1", "netgraph,path=lan:,peerhook=link2", "slirp,hostfwd=tcp::2222-:22"].iter().enumerate() {
        host.ok(&format!("set web01 pcidev_{n}=virtio-net,{backend}"));
    }
    let started = runs(&host, 1);
    for word in
        ["-l com2,/dev/nmdm-web01.2A", "-l com3,tcp=127.0.0.1:7003", "-l tpm,passthru,/dev/tpm0", "-f opt/chyves,string=yes", "fwcfg=qemu"]
    {
        assert!(started.err.contains(word), "{word}: {}", started.err);
    }
    // Two guests at one terminal would each read a part of what is typed there.
    host.ok("-v start web01");
    host.ok("create db01 --size 1M --ram 64M com2=/dev/nmdm-web01.2A");
    host.chyves("start db01").ends(5).says("com2 of `db01` cannot be at /dev/nmdm-web01.2A: `web01` is there");
    // One that crashed has let go of it, though it is still told of.
    host.kill(host.pids("web01").0);
    until("web01 to be crashed", || (host.state("web01") == "crashed").then_some(()));
    host.ok("-v start db01");
    host.ok("stop db01 --now");
    host.ok("reclaim");
    // On an older host each is refused with the release that has it.
    host.lab().set(&["release=13.5"]).unwrap();
    let refusal = refused(&host, 5);
    refusal.says("a serial port by TCP").says("a TPM").says("firmware items").says("a user-mode NIC");
}
