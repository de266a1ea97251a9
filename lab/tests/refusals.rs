//! What bhyve refuses, as data: every row is a command line with the release and processor it is given to, and either the
//! refusal (exit status and text) or that it is taken.
//!
//! The VM `vm` is there and nothing was loaded into it: a line that is taken, and has no boot ROM, ends with 3 once everything
//! has been checked.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use common::{blank, good, lab, run};

enum Answer {
    Taken,
    Refused(i32, &'static str),
}
use Answer::{Refused, Taken};

struct Row {
    /// Settings of the host, blanks between.
    host: &'static str,
    /// Options, with {disk}, {rom} and {dir}.
    line: &'static str,
    answer: Answer,
}

const fn row(host: &'static str, line: &'static str, answer: Answer) -> Row {
    Row { host, line, answer }
}

const LPC: &str = "-s 0,hostbridge -s 31,lpc";

/// Runs all rows, and tells of all that are wrong at once.
fn check(test: &str, rows: &[Row]) {
    let Some(lab) = lab(test, &["nics=em0"]) else { return };
    good(&lab, "kldload vmm nmdm");
    good(&lab, "ifconfig tap create");
    let disk = blank(&lab, "disk.img");
    let mut wrong = Vec::new();
    for row in rows {
        let settings: Vec<&str> = DEFAULTS.split(' ').chain(row.host.split(' ').filter(|word| !word.is_empty())).collect();
        lab.set(&settings).unwrap();
        let line =
            row.line.replace("{disk}", &disk).replace("{rom}", &common::rom(&lab)).replace("{dir}", &lab.dir().display().to_string());
        good(&lab, "bhyvectl --vm=vm --create");
        let ran = run(&lab, &format!("bhyve {line}"));
        let (status, text) = match row.answer {
            Taken => (3, "nothing was loaded"),
            Refused(status, text) => (status, text),
        };
        if ran.status != status || !ran.err.contains(text) {
            wrong.push(format!("[{}] {}\n    {status} {text:?} expected, got {ran:?}", row.host, row.line));
        }
        good(&lab, "bhyvectl --vm=vm --destroy");
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    println!("{} rows", rows.len());
}

const DEFAULTS: &str = "release=14.3 cpu=intel ncpu=8 ug=on iommu=on amdvi=off netmap=on physmem=16G";

#[test]
fn options_and_releases() {
    check(
        "options_and_releases",
        &[
            row("", "", Refused(1, "no VM is named")),
            row("", "one two", Refused(1, "more than one")),
            row("", "-Z vm", Refused(1, "illegal option -- Z")),
            row("", "-c", Refused(1, "requires an argument -- c")),
            row("", "-r file vm", Refused(1, "illegal option -- r")),
            row("release=13.0", "-o name=vm", Refused(1, "illegal option -- o")),
            row("release=13.0", "-k file vm", Refused(1, "illegal option -- k")),
            row("release=13.0", "-K us vm", Refused(1, "illegal option -- K")),
            row("release=13.1", "-K us vm", Taken),
            row("release=13.5", "-f opt/a,string=b vm", Refused(1, "illegal option -- f")),
            row("release=14.0", "-f opt/a,string=b vm", Taken),
            row("", "-f opt/a vm", Refused(64, "invalid fwcfg item")),
            row("", "-f opt/a,file=/nowhere vm", Refused(64, "invalid fwcfg item")),
            row("release=14.4", "-n id=0,size=1G vm", Refused(1, "illegal option -- n")),
            row("release=15.0", "-n id=0,size=1G,cpus=0-1,3 vm", Refused(4, "need a boot ROM")),
            row("release=15.0", "-n 0,1G vm", Refused(64, "invalid NUMA")),
            row("release=15.0", "-n id=8 vm", Refused(64, "invalid NUMA")),
            // The last counts.
            row("", "-m abc -m 512M vm", Taken),
            row("", "-f opt/a,string={\"a\":1,\"b\":2} vm", Taken),
            row("", "-f opt/a,string=a,b -f name=opt/b,string=c vm", Taken),
            row("release=15.1", "-M vm", Refused(1, "illegal option -- M")),
            row("", "-a -A -C -D -e -H -I -P -S -u -W -w -x -Y vm", Taken),
            row("", "-aACDeHIPSuWwxY vm", Taken),
            row("", "-m 1Q vm", Refused(64, "invalid memsize '1Q'")),
            row("", "-o memory.size=1Q vm", Refused(64, "invalid memsize '1Q'")),
            row("", "-m 32G vm", Refused(4, "Unable to setup memory (12)")),
            row("", "-o x= vm", Refused(64, "invalid configuration option 'x='")),
            row("", "-o x vm", Refused(64, "invalid configuration option 'x'")),
            row("", "-o acpi_tables=maybe vm", Refused(4, "Invalid boolean value")),
            row("", "-o nothing.knows.this=1 vm", Taken),
            row("", "-k /nowhere vm", Refused(4, "Failed to open configuration file")),
            row("", "-p 0:1 -p 0:2 -p 9:1 vm", Taken),
            row("", "-p 0 vm", Refused(64, "invalid vcpu pinning")),
            row("release=15.1", "-p 0-1:2-3 vm", Refused(64, "invalid vcpu pinning")),
            row("release=16.0", "-p 0-1:2-3 vm", Taken),
            row("", "-U 11111111-2222-3333-4444-555555555555 vm", Taken),
            row("", "-U 1234 vm", Refused(4, "invalid UUID")),
            row("", "-G 127.0.0.1:1234 vm", Taken),
            row("", "-G w1234 vm", Taken),
            row("", "-G here vm", Refused(4, "Invalid gdb port")),
            row("release=13.0", "-G 127.0.0.1:1234 vm", Refused(4, "Invalid gdb port")),
        ],
    );
}

#[test]
fn processors() {
    check(
        "processors",
        &[
            row("", "-c 4 vm", Taken),
            row("", "-c cpus=8,sockets=2,cores=4 vm", Taken),
            row("", "-c cpus=8,cores=4 vm", Refused(4, "Topology (8 sockets, 4 cores, 1 threads) does not match 8 vCPUs")),
            row("", "-c cpus=4,dies=2 vm", Refused(64, "invalid cpu topology 'cpus=4,dies=2'")),
            row("", "-c cores=no vm", Refused(4, "Invalid value for cores: 'no'")),
            row("", "-c 9 vm", Refused(4, "9 vCPUs requested but only 8 available")),
            row("maxcpu=16", "-c 16 vm", Taken),
            row("release=13.1 maxcpu=32", "-c 17 vm", Refused(4, "17 vCPUs requested but only 16 available")),
            row("ug=off", "-c 2 vm", Refused(4, "2 vCPUs requested but only 1 available")),
            row("ug=off", "-s 31,lpc -l bootrom,{rom} vm", Refused(4, "unrestricted guest capability not available")),
            row("cpu=amd ug=off", "-c 2 vm", Taken),
        ],
    );
}

#[test]
fn places_and_names() {
    check(
        "places_and_names",
        &[
            row("", "-s 0,hostbridge -s 31,lpc -s 255:31:7,virtio-rnd vm", Taken),
            row("", "-s 3,virtio-rnd -s 0:3:0,virtio-rnd vm", Refused(4, "pci slot 0:3:0 already occupied!")),
            row("", "-s 3:1,virtio-rnd -s 3,virtio-rnd -s 3:7,virtio-rnd vm", Taken),
            row("", "-s 32:0,ahci vm", Refused(4, "Invalid PCI slot info field \"32:0,ahci\"")),
            row("", "-s 3:8,ahci vm", Refused(4, "Invalid PCI slot info field")),
            row("", "-s 256:0:0,ahci vm", Refused(4, "Invalid PCI slot info field")),
            row("", "-s 3 vm", Refused(4, "Invalid PCI slot info field \"3\"")),
            row("", "-s x,ahci vm", Refused(4, "Invalid PCI slot info field")),
            row("", "-s 3,virtio-foo vm", Refused(4, "pci slot 0:3:0: unknown device \"virtio-foo\"")),
            row("", "-o pci.0.3.0.device=virtio-foo vm", Refused(4, "unknown device \"virtio-foo\"")),
            row("", "-s 30,lpc -s 31,lpc vm", Refused(4, "Only one LPC bridge is allowed.")),
            row("", "-s 1:0:0,lpc vm", Refused(4, "LPC bridge can be present only on bus 0.")),
            row("", "-s 1,fbuf -s 2,fbuf,tcp=5905 vm", Refused(4, "Only one frame buffer device is allowed.")),
            row("release=13.1", "-s 3,virtio-input,/dev/null vm", Refused(4, "unknown device \"virtio-input\"")),
            row("release=13.2", "-s 3,virtio-input,/dev/null vm", Taken),
            row("", "-s 3,virtio-input,/dev/input/event9 vm", Refused(4, "unable to open /dev/input/event9")),
            row("", "-s 3,amd_hostbridge -s 4,dummy -s 5,hda -s 6,virtio-rnd vm", Taken),
            row("", "-s 4,pci-dummy vm", Refused(4, "unknown device \"pci-dummy\"")),
            row("", "-s 5,hda,play=/dev/dsp9 vm", Refused(134, "fail to open /dev/dsp9")),
            row("", "-s 5,xhci,tablet -s 6,xhci,tablet vm", Refused(4, "already defined")),
        ],
    );
}

#[test]
fn boot_roms_and_lpc() {
    check(
        "boot_roms_and_lpc",
        &[
            row("", "vm2", Refused(4, "bhyve: no bootrom was configured")),
            row("", "-s 31,lpc -l bootrom,/nowhere vm", Refused(4, "Error opening bootrom \"/nowhere\": No such file or directory")),
            row("", "-s 31,lpc -l bootrom,{dir}/host vm", Refused(4, "is not a multiple of the page size")),
            row("", "-s 31,lpc -l bootrom,{rom},/nowhere vm", Refused(4, "Error opening bootrom variable file")),
            row("", "-s 31,lpc -l bootrom,{rom},{dir}/host vm", Refused(4, "Invalid bootrom and variable aggregate size")),
            // Up to 14 the ROM is loaded by the LPC bridge: without one the processor finds nothing.
            row("release=14.3", "-l bootrom,{rom} vm", Refused(3, "nothing was loaded")),
            row("", "-l bootrom vm", Refused(4, "invalid bootrom option")),
            row("", "-l bootrom,{rom},vars,more vm", Refused(64, "invalid lpc device configuration")),
            row("", "-l bootrom,{rom},fwcfg=other vm", Refused(64, "invalid lpc device configuration")),
            row("release=13.5", "-l bootrom,{rom},fwcfg=qemu vm", Refused(64, "invalid lpc device configuration")),
            row("", "-l com5,stdio vm", Refused(64, "invalid lpc device configuration 'com5,stdio'")),
            row("", "-s 31,lpc -l COM2,/dev/nmdm1A vm", Taken),
            row("", "-s 31,lpc -l com1,stdio -l com2,stdio vm", Refused(4, "stdio is used by another device")),
            row("", "-s 31,lpc -l com1,{disk} vm", Refused(4, "Inappropriate ioctl for device")),
            row("", "-s 31,lpc -l com1,/dev/null vm", Refused(4, "Inappropriate ioctl for device")),
            row("", "-s 31,lpc -l com1,/dev/nowhere vm", Refused(4, "No such file or directory")),
            row("release=14.3", "-s 31,lpc -l com1,tcp=127.0.0.1:4000 vm", Refused(4, "Unable to initialize backend")),
            row("release=15.0", "-s 31,lpc -l com1,tcp=127.0.0.1:4000 vm", Taken),
            // Without the bridge nobody looks at them.
            row("", "-l com1,/dev/nowhere vm", Taken),
            row("release=13.5", "-l tpm,passthru,/dev/null vm", Refused(64, "invalid lpc device configuration")),
            row("release=14.3", "-l tpm,passthru,/dev/null,version=2.0 vm", Taken),
            row("release=14.3", "-l tpm,passthru,/dev/null,version=1.2 vm", Refused(4, "unsupported version 1.2")),
            row("release=14.3", "-l tpm,passthru,/dev/tpm0 vm", Refused(4, "unable to open /dev/tpm0")),
            row("release=14.3", "-l tpm,swtpm,{dir}/tpm vm", Refused(4, "unknown device type \"swtpm\"")),
            row("release=15.0", "-l tpm,swtpm,{dir}/tpm vm", Refused(4, "cannot connect")),
            row("", "-l tpm,passthru vm", Refused(64, "invalid lpc device configuration")),
            row("", "-l pc-testdev vm", Taken),
        ],
    );
}

#[test]
fn disks() {
    check(
        "disks",
        &[
            row("", "-s 3,virtio-blk,{disk},nocache,direct,ro,sectorsize=512/4096,nodelete,bootindex=1,ser=A vm", Taken),
            row("", "-s 3,virtio-blk vm", Refused(4, "Missing \"path\"")),
            row("", "-s 3,virtio-blk,/nowhere vm", Refused(4, "Could not open backing file: /nowhere: No such file or directory")),
            row("", "-s 3,virtio-blk,{dir} vm", Refused(4, "neither a file nor a disk")),
            // The last words of every device that does not start.
            row("", "-s 3,nvme,/nowhere vm", Refused(4, "Device emulation initialization error: ")),
            row("", "-s 3,virtio-blk,{disk},sectorsize=1000 vm", Refused(4, "Invalid sector size")),
            row("", "-s 3,virtio-blk,{disk},sectorsize=4096/512 vm", Refused(4, "Invalid sector size")),
            row("", "-s 3,virtio-blk,{disk},sectorsize=256 vm", Refused(4, "Invalid sector size")),
            // A comma ends the path: the rest is a name that nobody knows.
            row("", "-s 3,virtio-blk,/a,b vm", Refused(4, "Could not open backing file: /a:")),
            row("", "-s 3,ahci,{disk} vm", Refused(4, "a port begins with hd: or cd:")),
            row("", "-s 3,ahci,hd:{disk},ser=A,cd:{disk},cd: vm", Taken),
            row("", "-s 3,ahci-hd,{disk},ser=012345678901234567890 vm", Taken),
            row("", "-s 3,ahci-hd,{disk},rev=123456789 vm", Taken),
            row("", "-s 3,ahci-hd vm", Refused(4, "Missing \"path\"")),
            row("", "-s 3,ahci-cd vm", Refused(4, "Missing \"path\"")),
            row("", "-s 3,ahci vm", Taken),
            row("", "-s 3,ahci-cd,/nowhere.iso vm", Refused(4, "Could not open backing file")),
            row("", "-s 3,nvme,{disk},ser=012345678901234567890 vm", Taken),
            row("", "-s 3,nvme,{disk},sectsz=1024 vm", Taken),
            row("", "-s 3,nvme,{disk},maxq=none vm", Taken),
            row("", "-s 3,nvme,{disk},dsm=perhaps vm", Taken),
            row("", "-s 3,nvme,ram=x vm", Refused(4, "unable to parse ram size")),
            row("", "-s 3,nvme,ram=8 vm", Taken),
            row("", "-s 3,virtio-scsi vm", Taken),
            row("", "-s 3,virtio-scsi,/dev/cam/ctl9.1 vm", Refused(4, "failed to open /dev/cam/ctl9.1")),
            row("release=15.1", "-s 3,virtio-scsi,target=0:{disk} vm", Refused(4, "virtio-scsi: failed to open")),
            row("release=16.0", "-s 3,virtio-scsi,target=0:{disk} vm", Taken),
        ],
    );
}

#[test]
fn thirty_three_ports_are_one_too_many() {
    let ports = |count: usize| format!("-s 3,ahci{} vm", ",cd:".repeat(count));
    let Some(lab) = lab("thirty_three_ports", &[]) else { return };
    good(&lab, "kldload vmm");
    good(&lab, "bhyvectl --vm=vm --create");
    assert_eq!(run(&lab, &format!("bhyve {}", ports(32))).status, 3);
    common::bad(&lab, &format!("bhyve {}", ports(33)), 4, "more than 32 ports");
}

#[test]
fn networks() {
    check(
        "networks",
        &[
            row("", "-s 3,virtio-net,tap0,mac=58:9c:fc:00:00:01,mtu=9000 vm", Taken),
            row("", "-s 4,e1000 vm", Refused(4, "e1000: no backend")),
            row("", "-s 4,virtio-net vm", Refused(134, "netbe_init")),
            row("", "-s 3,virtio-net,tap9 vm", Refused(4, "open of tap device /dev/tap9 failed: No such file")),
            row("", "-s 3,virtio-net,tap0 -s 4,virtio-net,tap0 vm", Refused(4, "open of tap device /dev/tap0 failed: Device busy")),
            row("", "-s 3,virtio-net,lan0 vm", Refused(4, "unknown backend \"lan0\"")),
            row("", "-s 3,virtio-net,lan0,type=tap vm", Refused(4, "open of tap device /dev/lan0 failed")),
            row("release=13.0", "-s 3,virtio-net,lan0,type=tap vm", Refused(4, "unknown backend")),
            row("", "-s 3,virtio-net,tap0,mac=01:00:00:00:00:01 vm", Refused(4, "Invalid MAC address")),
            row("", "-s 3,virtio-net,tap0,mac=00:00:00:00:00:00 vm", Refused(4, "Invalid MAC address")),
            row("", "-s 3,virtio-net,tap0,mac=58-9c-fc-00-00-01 vm", Refused(4, "Invalid MAC address")),
            row("", "-s 3,virtio-net,tap0,mtu=1 vm", Refused(4, "invalid mtu")),
            row("", "-s 3,virtio-net,vale0:p0 vm", Taken),
            row("netmap=off", "-s 3,virtio-net,vale0:p0 vm", Refused(4, "unable to open vale0:p0")),
            row("", "-s 3,virtio-net,vale0:a-b vm", Refused(4, "unable to open vale0:a-b")),
            row("", "-s 3,virtio-net,vale012345:0123456 vm", Refused(4, "unable to open")),
            row("", "-s 3,virtio-net,netmap:em0 vm", Taken),
            row("", "-s 3,virtio-net,netmap:em7 vm", Refused(4, "unable to open netmap:em7")),
            row("", "-s 3,virtio-net,netgraph,path=lan: vm", Refused(4, "path and peerhook are needed")),
            row("", "-s 3,virtio-net,netgraph,path=lan:,peerhook=link2 vm", Refused(4, "can't create a socket node")),
            row("release=14.4", "-s 3,virtio-net,slirp vm", Refused(4, "unknown backend \"slirp\"")),
            row("release=15.0", "-s 3,virtio-net,slirp,hostfwd=tcp:127.0.0.1:2222-10.0.2.15:22 vm", Taken),
            row("release=15.0", "-s 3,virtio-net,slirp,hostfwd=2222 vm", Refused(4, "invalid hostfwd")),
            row("release=15.1", "-s 3,virtio-net,ngd0 vm", Refused(4, "unknown backend \"ngd0\"")),
        ],
    );
}

#[test]
fn frame_buffers_and_the_rest() {
    check(
        "frame_buffers_and_the_rest",
        &[
            row("", "-s 29,fbuf,rfb=127.0.0.1:5900,w=1920,h=1200,vga=off,password=secret vm", Taken),
            row("", "-s 29,fbuf,[::1]:5901 vm", Taken),
            row("release=14.3", "-s 29,fbuf,w=1921 vm", Refused(4, "fbuf: width 1921 too large")),
            row("release=14.3", "-s 29,fbuf,h=1201 vm", Refused(4, "fbuf: height 1201 too large")),
            row("release=15.0", "-s 29,fbuf,w=3840,h=2160 vm", Taken),
            row("release=15.0", "-s 29,fbuf,w=320,h=200 vm", Refused(4, "fbuf: width 320 too small")),
            row("release=14.3", "-s 29,fbuf,w=320,h=200 vm", Taken),
            row("", "-s 29,fbuf,vga=cirrus vm", Refused(4, "invalid vga setting")),
            row("", "-s 29,fbuf,vga=on vm", Taken),
            row("", "-s 29,fbuf,tcp=host:port vm", Refused(4, "Invalid port")),
            row("release=15.0", "-s 29,fbuf,rfb=unix:{dir}/vnc vm", Refused(4, "Invalid RFB address")),
            row("release=15.1", "-s 29,fbuf,rfb=unix:{dir}/vnc vm", Taken),
            row("", "-s 30,xhci,tablet vm", Taken),
            row("", "-s 30,xhci,mouse vm", Refused(4, "unknown USB device \"mouse\"")),
            row("", "-s 4,virtio-9p,share={dir},ro vm", Taken),
            row("", "-s 4,virtio-9p,a={dir},b={dir} vm", Refused(4, "more than one share name")),
            row("", "-s 4,virtio-9p,a=/nowhere vm", Refused(4, "failed to open /nowhere")),
            row("", "-s 4,virtio-9p vm", Refused(4, "share name or path is missing")),
            row("", "-s 4,virtio-console,a={dir}/host vm", Refused(4, "Address already in use")),
            row("", "-s 4,virtio-console,a={dir}/no/where vm", Refused(4, "No such file or directory")),
            row("", "-s 4,virtio-console,a vm", Refused(4, "is not name=path")),
            row(
                "",
                "-s 4,virtio-console,0=/0,1=/1,2=/2,3=/3,4=/4,5=/5,6=/6,7=/7,8=/8,9=/9,a=/a,b=/b,c=/c,d=/d,e=/e,f=/f,g=/g vm",
                Refused(4, "more than 16 ports"),
            ),
            row("", "-s 4,uart,/dev/nmdm3A vm", Taken),
            row("", "-s 4,uart vm", Taken),
        ],
    );
}

#[test]
fn passthrough() {
    check(
        "passthrough",
        &[
            row("", "-S -s 3,passthru,2/0/0 -s 3:1,passthru,pci0:2:0:1 vm", Taken),
            row("", "-s 3,passthru,2/0/0 vm", Refused(4, "passthru requires guest memory to be wired")),
            row("", "-S -s 3,passthru,3/0/0 vm", Refused(4, "is not using the ppt(4) driver")),
            row("", "-S -s 3,passthru,9/0/0 vm", Refused(4, "PCI device at 9/0/0 is not there")),
            row("", "-S -s 3,passthru,two vm", Refused(4, "invalid options \"two\"")),
            row("", "-S -s 3,passthru,ppt1 vm", Taken),
            row("", "-S -s 3,passthru,ppt9 vm", Refused(4, "there is no ppt9")),
            row("release=13.5", "-S -s 3,passthru,ppt1 vm", Refused(4, "invalid options \"ppt1\"")),
            row("", "-S -s 3,passthru,2/0/0 -s 4,passthru,ppt0 vm", Refused(4, "in use: Device busy")),
            row("", "-S -s 3,passthru,2/0/0,rom=/nowhere vm", Refused(4, "can't open romfile")),
            row("iommu=off", "-S -s 3,passthru,2/0/0 vm", Refused(4, "no IOMMU")),
            row("cpu=amd", "-S -s 3,passthru,2/0/0 vm", Refused(4, "no IOMMU")),
            row("cpu=amd amdvi=on", "-S -s 3,passthru,2/0/0 vm", Taken),
        ],
    );
}

#[test]
fn arm64_has_its_own_options() {
    let host = "release=15.0 cpu=arm64";
    let rows: Vec<Row> = ["-H", "-P", "-A", "-u", "-w", "-Y", "-a", "-x", "-e", "-I"]
        .into_iter()
        .map(|option| row(host, option, Refused(1, "illegal option")))
        .chain([
            row(host, "-l com1,stdio vm", Refused(1, "illegal option -- l")),
            row(host, "-G 1234 vm", Refused(1, "illegal option -- G")),
            row(host, "-K us vm", Refused(1, "illegal option -- K")),
            row(host, "-n id=0 vm", Refused(1, "illegal option -- n")),
            row(host, "-f opt/a,string=b vm", Refused(1, "illegal option -- f")),
            row("release=16.0 cpu=arm64", "-G 1234 vm", Refused(4, "bhyve: no bootrom specified")),
            row(host, "-C -D -S -W -c 2 -m 1G vm", Refused(4, "bhyve: no bootrom specified")),
            row(host, "-o bootrom={rom} -s 31,lpc vm", Refused(4, "unknown device \"lpc\"")),
            row(host, "-o bootrom={rom} -S -s 3,passthru,2/0/0 vm", Refused(4, "unknown device \"passthru\"")),
            row(host, "-o bootrom={rom} -o console=/dev/nowhere vm", Refused(4, "Unable to initialize backend '/dev/nowhere'")),
            row(host, "-o bootrom=/nowhere vm", Refused(1, "Error opening bootrom")),
        ])
        .collect();
    check("arm64_has_its_own_options", &rows);
}

#[test]
fn what_the_host_lacks() {
    let Some(lab) = lab("what_the_host_lacks", &[]) else { return };
    let rom = common::rom(&lab);
    let line = format!("bhyve {LPC} -l bootrom,{rom} vm");
    common::bad(&lab, &line, 4, "bhyve: vm_openf: No such file or directory");
    good(&lab, "kldload vmm");
    let long = "v".repeat(230);
    common::bad(&lab, &line.replace(" vm", &format!(" {long}")), 4, "bhyve: vm_openf: Invalid argument");
    // slirp is a package of its own.
    let slirp = format!("bhyve {LPC} -l bootrom,{rom} -s 5,virtio-net,slirp vm");
    lab.set(&["release=15.0"]).unwrap();
    std::fs::remove_file(lab.dir().join("usr/local/lib/libslirp.so.0")).unwrap();
    common::bad(&lab, &slirp, 4, "libslirp.so.0");
    lab.set(&["release=14.3"]).unwrap();
    // Without nmdm there is no such device.
    common::bad(&lab, &line.replace("-l bootrom", "-l com1,/dev/nmdm1A -l bootrom"), 4, "No such file or directory");
}

#[test]
fn a_configuration_is_shown_and_read_back() {
    let Some(lab) = lab("a_configuration_is_shown", &[]) else { return };
    let line = "bhyve -A -H -w -c sockets=1,cores=2 -m 4G -s 2,virtio-blk,/dev/zvol/tank/%(name),ser=A -s 3,ahci,hd:/a,ser=X,cd: \
                -s 4,virtio-net,tap0,mac=58:9c:fc:00:00:01 -s 5,xhci,tablet -s 6,passthru,pci0:2:0:1 -l com1,/dev/nmdm1A \
                -l bootrom,/rom,/vars -o config.dump=1 web1";
    let ran = run(&lab, line);
    assert_eq!(ran.status, 1);
    let wanted = "\
acpi_tables=true
config.dump=1
cores=2
lpc.bootrom=/rom
lpc.bootvars=/vars
lpc.com1.path=/dev/nmdm1A
lpc.fwcfg=bhyve
memory.size=4G
name=web1
pci.0.2.0.device=virtio-blk
pci.0.2.0.path=/dev/zvol/tank/%(name)
pci.0.2.0.ser=A
pci.0.3.0.device=ahci
pci.0.3.0.port.0.path=/a
pci.0.3.0.port.0.ser=X
pci.0.3.0.port.0.type=hd
pci.0.3.0.port.1.type=cd
pci.0.4.0.backend=tap0
pci.0.4.0.device=virtio-net
pci.0.4.0.mac=58:9c:fc:00:00:01
pci.0.5.0.device=xhci
pci.0.5.0.slot.1.device=tablet
pci.0.6.0.bus=2
pci.0.6.0.device=passthru
pci.0.6.0.func=1
pci.0.6.0.slot=0
sockets=1
x86.strictmsr=false
x86.vmexit_on_hlt=true
";
    assert_eq!(ran.out, wanted);
    // Read from a file it is the same; a value may then hold a comma.
    let file = lab.dir().join("config");
    std::fs::write(&file, format!("{wanted}pci.0.7.0.device=virtio-blk\npci.0.7.0.path=/a,b\n")).unwrap();
    let ran = run(&lab, &format!("bhyve -k {}", file.display()));
    assert!(ran.out.contains("pci.0.7.0.path=/a,b\n") && ran.out.contains("memory.size=4G\n"), "{ran:?}");
    // Since 15.0 the boot ROM has keys of its own, and -A does nothing.
    lab.set(&["release=15.0"]).unwrap();
    let ran = run(&lab, line);
    assert!(ran.out.contains("\nbootrom=/rom\nbootvars=/vars\n"), "{ran:?}");
}

#[test]
fn the_names_that_help_prints() {
    let Some(lab) = lab("the_names_that_help_prints", &["release=13.1"]) else { return };
    let names = good(&lab, "bhyve -s help");
    assert!(names.contains("virtio-blk\n") && !names.contains("virtio-input"), "{names}");
    assert_eq!(good(&lab, "bhyve -l help"), "bootrom\ncom1\ncom2\ncom3\ncom4\npc-testdev\n");
    lab.set(&["release=14.3"]).unwrap();
    assert!(good(&lab, "bhyve -s help").contains("virtio-input\n"));
    assert_eq!(good(&lab, "bhyve -l help"), "bootrom\ncom1\ncom2\ncom3\ncom4\ntpm\npc-testdev\n");
    let ran = run(&lab, "bhyve -h");
    assert_eq!((ran.status, ran.out.as_str()), (0, ""));
    assert!(ran.err.starts_with("Usage: bhyve"));
    lab.set(&["release=15.0", "cpu=arm64"]).unwrap();
    let names = good(&lab, "bhyve -s help");
    assert!(!names.contains("lpc") && !names.contains("passthru"), "{names}");
}
