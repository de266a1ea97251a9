use super::*;
use crate::device::{DiskBus, NetBackend, SerialEnd, VncListen};

const OWNER: Owner = Owner { guest: Uuid::nil(), number: 3 };

fn read(text: &str) -> Device {
    parse_pcidev(text, OWNER).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn why(text: &str) -> String {
    parse_pcidev(text, OWNER).expect_err(text).causes.join("; ")
}

#[test]
fn every_emulation_has_its_type() {
    for (text, word) in [
        ("hostbridge", "hostbridge"),
        ("amd_hostbridge", "amd_hostbridge"),
        ("lpc", "lpc"),
        ("virtio-blk,/a,nocache,direct,ro,sectorsize=512/4096,nodelete,bootindex=1,ser=X", "virtio-blk"),
        ("ahci-hd,/a,nmrr=1,rev=1,model=disk one,ser=X", "ahci-hd"),
        ("nvme,/a,maxq=4,qsz=64,ioslots=8,sectsz=4096,ser=X,eui64=0x1234,dsm=disable,ro", "nvme"),
        ("nvme,ram=16", "nvme"),
        ("ahci,hd:/a,ro,ser=X,cd:/b.iso,cd:", "ahci"),
        ("ahci-cd", "ahci-cd"),
        ("ahci-cd,/a.iso,ro", "ahci-cd"),
        ("virtio-scsi", "virtio-scsi"),
        ("virtio-scsi,/dev/cam/ctl1.0,iid=3,bootindex=2", "virtio-scsi"),
        ("virtio-scsi,target=/a,target=4:/b", "virtio-scsi"),
        ("virtio-net,tap0,mac=58:9c:fc:00:00:01,mtu=9000", "virtio-net"),
        ("virtio-net,lan-web1,type=tap", "virtio-net"),
        ("e1000,vale0:web1", "e1000"),
        ("virtio-net,netmap:em0", "virtio-net"),
        ("virtio-net,netgraph,path=lan:,peerhook=link2,socket=s,hook=h", "virtio-net"),
        ("virtio-net,slirp,hostfwd=tcp::2222-:22;udp::53-:53", "virtio-net"),
        ("virtio-rnd", "virtio-rnd"),
        ("virtio-9p,share=/usr/share,ro", "virtio-9p"),
        ("virtio-console,a=/tmp/a.sock,b=/tmp/b.sock", "virtio-console"),
        ("virtio-input,/dev/input/event0", "virtio-input"),
        ("fbuf,tcp=0.0.0.0:5900,w=800,h=600,vga=off,wait,password=secret", "fbuf"),
        ("xhci,tablet", "xhci"),
        ("hda,play=/dev/dsp0,rec=/dev/dsp1", "hda"),
        ("passthru,2/0/0,rom=/rom,bootindex=1", "passthru"),
        ("passthru,ppt0", "passthru"),
        ("uart,/dev/nmdm1A", "uart"),
        ("uart,tcp=127.0.0.1:9000", "uart"),
    ] {
        let device = read(text);
        assert!(!matches!(device, Device::Raw(_)), "{text} has no type");
        assert_eq!(device.word(), word, "{text}");
    }
}

#[test]
fn what_is_read_is_what_was_written() {
    let Device::Disk(disk) = read("nvme,/dev/zvol/tank/a,dsm=enable,nocache") else { panic!() };
    assert!(matches!(disk.bus, DiskBus::Nvme(details) if details.dsm == Some(true)) && disk.options.nocache);
    let Device::Nic(nic) = read("virtio-net,lan-web1,type=tap") else { panic!() };
    assert!(matches!(nic.backend, NetBackend::Tap(name) if name.as_str() == "lan-web1"));
    let Device::FrameBuffer(screen) = read("fbuf,5901,wait") else { panic!() };
    assert!(screen.wait && screen.listen == VncListen::Tcp("127.0.0.1:5901".parse().unwrap()));
    assert!(matches!(read("fbuf,wait"), Device::FrameBuffer(screen) if screen.wait));
    assert!(matches!(read("uart,stdio"), Device::Uart(uart) if uart.end == SerialEnd::Stdio));
    let Device::Ahci(controller) = read("ahci,hd:/a,ro,cd:,hd:/b") else { panic!() };
    assert_eq!(controller.ports().len(), 3);
}

#[test]
fn what_the_guest_sees_follows_from_whose_it_is() {
    let Device::Ahci(controller) = read("ahci,hd:/a,hd:/a,hd:/a,ser=OWN") else { panic!() };
    let serials: Vec<String> = controller
        .ports()
        .iter()
        .map(|port| match port {
            crate::device::AhciPort::Disk { serial, .. } => serial.to_string(),
            crate::device::AhciPort::Optical(_) => panic!(),
        })
        .collect();
    assert!(serials[0] != serials[1] && serials[2] == "OWN");
    let serial = |text: &str, owner: Owner| match parse_pcidev(text, owner).unwrap() {
        Device::Disk(disk) => disk.serial.to_string(),
        _ => panic!(),
    };
    assert_eq!(serial("virtio-blk,/a", OWNER), serial("virtio-blk,/elsewhere", OWNER));
    assert_ne!(serial("virtio-blk,/a", OWNER), serial("virtio-blk,/a", Owner { number: 4, ..OWNER }));
}

#[test]
fn what_chyves_does_not_know_stays_text() {
    for text in ["virtio-foo,/path,opt=1", "hostbridge,vendor=0x1234", "virtio-net,ngd0", "virtio-scsi,num_queues=4"] {
        assert!(matches!(read(text), Device::Raw(_)), "{text}");
    }
    let Device::Raw(raw) = read("virtio-foo,hd:/a,ro,cd:/b.iso,ser=x/y,rom=/c") else { panic!("not raw") };
    assert_eq!((raw.emulation(), raw.conf()), ("virtio-foo", Some("hd:/a,ro,cd:/b.iso,ser=x/y,rom=/c")));
    assert_eq!(raw.paths(), ["/a", "/b.iso", "/c"]);
    assert!(raw.has_word("ro") && !raw.has_word("rom"));
}

#[test]
fn each_wrong_text_has_its_own_message() {
    assert_eq!(why("5:0,virtio-rnd"), "it begins with a place, which chyves gives");
    assert_eq!(why(",x"), "it does not begin with an emulation's name");
    assert_eq!(why(""), "it does not begin with an emulation's name");
    assert_eq!(why("virtio-rnd,"), "nothing stands behind its last comma");
    assert_eq!(why("a\nb"), "it has control characters");
    assert_eq!(why("xhci,mouse"), "`xhci` knows one device: write xhci,tablet");
    assert_eq!(why("lpc,x"), "`lpc` takes nothing behind it, not `x`");
    assert!(why("passthru").starts_with("`` is not a PCI device of a host; write"));
    assert!(why("passthru,2/0").contains("BUS/SLOT/FUNCTION"));
    assert_eq!(why("passthru,2/0/0,rom"), "`rom` is not an option of passthru: rom=/PATH and bootindex=N are");
    assert_eq!(why("hda,x=1"), "`x=1` is not an option of hda: play=/PATH and rec=/PATH are");
    assert_eq!(why("virtio-blk"), "`virtio-blk` needs the path of a disk behind it");
    assert_eq!(why("virtio-blk,disk.raw"), "`disk.raw` is not an absolute path of a disk");
    assert!(why("virtio-blk,/a,nocach").starts_with("`nocach` is not an option of virtio-blk: nocache, direct"));
    assert!(why("virtio-blk,/a,sectorsize=100").starts_with("`100` is not a sector size; write 512"));
    assert!(why("virtio-net,tap0,mac=nonsense").contains("`nonsense`"));
    assert!(why("virtio-net").starts_with("it needs a back end"));
    assert!(why("nvme,ram=x").contains("`x` is not a valid ram"));
    assert!(why("ahci,/a").contains("each begins with hd:/PATH"));
    assert!(why(&format!("ahci{}", ",cd:".repeat(33))).contains("33 drives do not fit on one AHCI controller, which has 32 ports"));
    assert!(why("virtio-9p,/usr").contains("NAME=/PATH"));
    assert!(why("virtio-console,x").contains("NAME=/PATH"));
    assert!(why("fbuf,vga=on").contains("is a trap"));
    assert!(why("uart,nothing").contains("terminal device"));
}
