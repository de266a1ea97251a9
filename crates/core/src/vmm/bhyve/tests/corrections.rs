//! Behaviour of bhyve's own parser and device code that differs from its manual and from older references.

use super::{line, refusals};
use crate::device::{Device, DiskBus, FrameBuffer, FwCfg, FwCfgContent, NetBackend, NicModel, PciPlace, SerialEnd, UserNet};
use crate::vmm::bhyve::{Arch, BhyveHost, Given, replaced};
use crate::vmm::bhyveload::Bhyveload;
use crate::vmm::fixture::{bare, built, disk, freebsd, nic, one, screen, usual, with};
use crate::vmm::machine::{Boot, Pc, Spec};
use insta::assert_snapshot;

fn at(path: &str) -> Device {
    let Device::Disk(mut disk) = disk(DiskBus::VirtioBlk, "") else { unreachable!() };
    disk.backing.path = path.to_owned();
    Device::Disk(disk)
}

fn extra(words: &str) -> Spec {
    Spec { extra: crate::cmd::split_words(words).unwrap(), ..usual() }
}

fn refused(words: &str, host: &BhyveHost) -> String {
    refusals(extra(words), host)
}

#[test]
fn a_percent_sign_is_kept_and_a_backslash_beside_it_is_escaped() {
    assert!(line(one(at("/tank/50%.raw")), &freebsd("14.3")).contains("virtio-blk,/tank/50%.raw,"));
    assert!(line(one(at(r"/tank/a\b.raw")), &freebsd("14.3")).contains(r"virtio-blk,/tank/a\b.raw,"));
    assert!(line(one(at(r"/tank/5%\b.raw")), &freebsd("14.3")).contains(r"virtio-blk,/tank/5%\\b.raw,"));
    let password = Some("100%sure".parse().unwrap());
    let text = line(one(Device::FrameBuffer(FrameBuffer { password, ..screen() })), &freebsd("14.3"));
    assert!(text.contains(".password=100%sure\n"), "{text}");
}

#[test]
fn a_value_that_bhyve_would_read_as_a_reference_is_refused() {
    assert_snapshot!(refusals(one(at("/tank/%(name).raw")), &freebsd("14.3")), @"
    cannot pass `-s 5:0,virtio-blk,/tank/%(name).raw,ser=WEB1-0` to bhyve: one of its values contains `%(`, which bhyve reads as a reference to another setting
      hint: choose a path, name or password without `%(`
    ");
    // A password is not shown.
    let password = Some("%(uuid)".parse().unwrap());
    let text = refusals(one(Device::FrameBuffer(FrameBuffer { password, ..screen() })), &freebsd("14.3"));
    assert!(text.contains("contains `%(`") && !text.contains("uuid"), "{text}");
}

#[test]
fn commas_are_kept_where_bhyve_splits_no_more() {
    let mut spec = bare();
    spec.fw_cfg = vec![FwCfg { name: "opt/a".into(), content: FwCfgContent::Text(r#"{"x":1,"y":"50%(a)"}"#.into()) }];
    spec.serial[1] = Some(SerialEnd::Device("/dev/nmdm-a,bA".into()));
    let text = line(spec.clone(), &freebsd("14.3"));
    assert!(text.contains(r#"-f opt/a,string={"x":1,"y":"50%(a)"}"#) && text.contains("-l com2,/dev/nmdm-a,bA"), "{text}");
    assert!(!text.contains("-k "), "{text}");
    // The name cannot contain one.
    spec.fw_cfg[0].name = "opt/a,b".into();
    let refused = crate::vmm::bhyve::render(&built(spec), &freebsd("14.3")).unwrap_err();
    assert!(refused.message.contains("cannot pass `-f opt/a,b,string="), "{refused}");
}

#[test]
fn the_users_arguments_come_last_and_what_they_replace_is_listed() {
    let spec = extra("-c cpus=2,cores=2 -o x86.vmexit_on_hlt=false -m 8G -l com1,/dev/nmdm7A -H -k /etc/my.conf -p 0:3");
    assert_eq!(refusals(spec.clone(), &freebsd("14.3")), "");
    let text = line(spec.clone(), &freebsd("14.3"));
    assert!(text.ends_with("-p 0:3 web01"), "{text}");
    assert_snapshot!(replaced(&built(spec), &freebsd("14.3")).join("\n"), @"
    bargs: `-c cpus=2,cores=2` replaces chyves' own `-c cpus=4,sockets=1,cores=4,threads=1`
    bargs: `-o x86.vmexit_on_hlt=false` replaces chyves' own `-H`
    bargs: `-m 8G` replaces chyves' own `-m 4096M`
    bargs: `-l com1,/dev/nmdm7A` replaces chyves' own `-l com1,/dev/nmdm-web01.1A`
    bargs: what `/etc/my.conf` sets replaces chyves' own arguments for the same keys
    ");
    assert_eq!(replaced(&built(extra("-S -p 0:1 -A -w")), &freebsd("14.3")), Vec::<String>::new());
}

#[test]
fn arguments_that_would_leave_no_vm_are_refused() {
    let all = ["-h", "-s help", "-l help", "-o config.dump=1", "-o monitor=1", "-o x=", "-M", "-c 2", "-c cpus=0", "-s 9,xhci,tablet"];
    let text: Vec<String> = all.iter().map(|words| refused(words, &freebsd("16.0"))).collect();
    assert_snapshot!(text.concat(), @"
    bhyve would not take the argument `-h`: bhyve would print its usage and run no guest
      hint: check bargs
    bhyve would not take the argument `-s`: bhyve would print a list and run no guest
      hint: check bargs
    bhyve would not take the argument `-l`: bhyve would print a list and run no guest
      hint: check bargs
    bhyve would not take the argument `config.dump=1`: bhyve would print its configuration and run no guest
      hint: check bargs
    bhyve would not take the argument `monitor=1`: in monitor mode the process that chyves starts is not the VM's
      hint: remove it from bargs
    bhyve would not take the argument `x=`: -o takes KEY=VALUE, and the value must not be empty
      hint: check bargs
    bhyve would not take the argument `-M`: in monitor mode the process that chyves starts is not the VM's
      hint: remove it from bargs
    bhyve would not take the argument `2`: with chyves' own -c it gives 2 processors as 1 sockets of 4 cores of 1 threads
      hint: state all of cpus, sockets, cores and threads, or set cpu, cpu_sockets and cpu_threads instead
    bhyve would not take the argument `cpus=0`: it is not a processor topology
      hint: set cpu, cpu_sockets and cpu_threads instead
    bhyve would not take the argument `9,xhci,tablet`: a VM has one xhci at most, and this one has it already
      hint: use pcidev_1 and so on instead: chyves then gives them places
    ");
    let mut spec = extra("-m 8G");
    spec.boot = Boot::Bhyveload(Bhyveload { disks: vec!["/a".into()], flags: Vec::new(), timeout: 300 });
    assert!(refusals(spec, &freebsd("14.3")).contains("the loader prepares the VM with the memory of the property ram"));
}

#[test]
fn numa_domains_count_from_0_and_need_firmware() {
    let new = freebsd("15.0");
    assert_eq!(refused("-n id=0,size=2G,cpus=0-1 -n id=1,size=2G", &new), "");
    for (words, why) in [
        ("-n 0,1G", "a domain has a number"),
        ("-n id=8", "a domain has a number"),
        ("-n id=0 -n id=0", "domain 0 is there already"),
        ("-n id=0 -n id=2", "there is no domain 1"),
    ] {
        assert!(refused(words, &new).contains(why), "{words}: {}", refused(words, &new));
    }
    let mut spec = extra("-n id=0");
    spec.boot = Boot::Bhyveload(Bhyveload { disks: vec!["/a".into()], flags: Vec::new(), timeout: 300 });
    assert!(refusals(spec, &new).contains("NUMA domains need a boot ROM"));
    assert_eq!(replaced(&built(extra("-n id=0,size=1G")), &new), ["bargs: the sizes of the NUMA domains replace `-m 4096M`"]);
}

#[test]
fn arm64_has_no_firmware_items_and_main_more_letters() {
    let arm = |release: &str| BhyveHost { arch: Arch::Arm64, ..freebsd(release) };
    let spec = |words: &str| Spec { extra: crate::cmd::split_words(words).unwrap(), ..bare() };
    assert!(refusals(spec("-f opt/a,string=b"), &arm("15.0")).contains("bhyve on arm64 has no option -f"));
    assert!(refusals(spec("-G 1234"), &arm("15.1")).contains("bhyve on arm64 has no option -G"));
    assert_eq!(refusals(spec("-G 1234"), &arm("16.0")), "");
}

#[test]
fn the_processors_switches_and_acpi_can_be_switched_off() {
    let off = Pc { acpi: false, exit_on_hlt: false, exit_on_pause: false, ignore_bad_msr: false };
    let text = |release: &str| line(Spec { pc: off, ..bare() }, &freebsd(release));
    for release in ["13.5", "14.3", "15.0"] {
        assert!(["-A", "-H", "-P", "-w"].iter().all(|flag| !text(release).contains(&format!("\n  {flag}\n"))), "{}", text(release));
    }
    assert!(!text("14.3").contains("acpi_tables") && text("15.0").contains("\n  -o acpi_tables=false\n"));
}

#[test]
fn what_bhyve_has_once_or_not_at_all() {
    let usb = with(vec![(PciPlace::on(5, 0), Device::Tablet), (PciPlace::on(6, 0), Device::Tablet)]);
    let shut_in = one(nic(NicModel::VirtioNet, NetBackend::User(UserNet { forwards: Vec::new() })));
    let disks = (0..33).map(|n| format!("/d{n}")).collect();
    let mut many = bare();
    many.boot = Boot::Bhyveload(Bhyveload { disks, flags: Vec::new(), timeout: 300 });
    let text: Vec<String> = [usb, shut_in.clone(), many].into_iter().map(|spec| refusals(spec, &freebsd("15.1"))).collect();
    assert_snapshot!(text.concat(), @"
    bhyve has one USB controller (xhci) in a VM
      hint: remove the pcidev_{n} with xhci, or `chyves set web01 vnc_mouse=ps2` for no USB tablet
    a NIC on the user network reaches nothing on FreeBSD 15.1: bhyve's user network lets a guest out since FreeBSD 16.0 only (slirp's `open`)
      hint: attach the NIC to a bridge: `chyves set web01 net0.bridge=bridge0`
    bhyveload takes 32 disks at most, and this guest has 33
      hint: `chyves set web01 loader=uefi`, or remove disks
    ");
    assert_eq!(refusals(shut_in, &freebsd("16.0")), "");
}

#[test]
fn every_argument_that_names_something_of_the_host_is_known() {
    let given = |words: &str| crate::vmm::bhyve::given(&crate::cmd::split_words(words).unwrap());
    for (words, named) in [
        ("-k my.conf", "-k my.conf"),
        ("-o pci.0.7.0.path=disk.raw", "-o pci.0.7.0.path=disk.raw"),
        ("-obootrom=x", "-o bootrom=x"),
        ("-o console=stdio", "-o console=stdio"),
        ("-o bios.vendor=%(lpc.com1.path)", "-o bios.vendor=%(lpc.com1.path)"),
        ("-f opt/a", "-f opt/a"),
        ("-K ../x", "-K ../x"),
        ("-Sl com1,nmdm", "-l com1,nmdm"),
        ("-Ss 7,virtio-blk,x", "-s 7,virtio-blk,x"),
        ("-r saved", "-r"),
        ("saved", "saved"),
    ] {
        assert_eq!(given(words).first(), Some(&Given::Unknown(named.to_owned())), "{words}");
    }
    let file = |path: &str, write| Given::File { path: path.to_owned(), write };
    assert_eq!(given("-S -f opt/a,file=/x -K /y"), [file("/x", false), file("/y", false)]);
    assert_eq!(
        given("-l bootrom,/rom,/vars,fwcfg=qemu -Sl com1,stdio"),
        [file("/rom", false), file("/vars", true), Given::Serial(SerialEnd::Stdio)]
    );
    for words in
        ["", "-S -W", "-G w5000", "-o x86.verbosemsr=true -o gdb.port=5000", "-f opt/a,string=b", "-K de_noacc", "-c 2 -p 0:1 -m 1G"]
    {
        assert_eq!(given(words), [], "{words}");
    }
}
