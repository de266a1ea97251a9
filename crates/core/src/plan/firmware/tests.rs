use super::super::start::{Occasion, Request, launch, start};
use super::*;
use crate::guest::RunState;
use crate::image::Template;
use crate::os::Os;
use crate::os::state::{FileKind, FileSeen};
use crate::plan::testing;

/// A world with two firmware images: `split` with a template, `bare` without.
fn with_firmware(guest: &Guest, host: HostFacts) -> World {
    let mut world = testing::world(vec![guest.clone()]);
    world.host = host;
    for (name, vars) in [("split", Some(131_072)), ("bare", None)] {
        let vars = vars.map(|size| Template { size: Size::bytes(size), sha256: "0".repeat(64) });
        world.images.push(Image {
            name: name.parse().unwrap(),
            dataset: format!("tank/chyves/images/{name}").parse().unwrap(),
            kind: ImageKind::Firmware,
            size: Size::bytes(1_966_080),
            vars,
            ..world.images[0].clone()
        });
    }
    world
}

fn guest(more: &[(&str, &str)]) -> Guest {
    testing::guest("web01", &[&[("disk0.kind", "raw"), ("ram", "256M")], more].concat())
}

/// The plan of a start, as a script.
fn started(firmware: &str, host: HostFacts) -> String {
    let g = guest(&[("firmware", firmware)]);
    let os = host.os;
    start(&with_firmware(&g, host), &g, &Request::default()).unwrap().script(os)
}

/// The host's packaged firmware files with these sizes.
fn looked_at(mut host: HostFacts, code: u64, vars: u64) -> HostFacts {
    let (code_path, vars_path) = host.uefi.clone().unwrap();
    for (path, size) in [(code_path, code), (vars_path, vars)] {
        host.state.files.insert(path, Some(FileSeen { kind: FileKind::File, size: Size::bytes(size), writable: false }));
    }
    host
}

const CODE: &str = "/tank/chyves/images/split/image.fd";
const VARS: &str = "/tank/chyves/guests/web01/uefi-vars.fd";

#[test]
fn imported_firmware_is_borrowed_and_its_template_copied() {
    let line = started("split", testing::freebsd());
    assert!(line.contains(&format!("-l bootrom,{CODE},{VARS}")), "{line}");
    let copy = format!("cp -n /tank/chyves/images/split/vars.fd {VARS}");
    let (mount, copied) = (line.find("zfs mount tank/chyves/images/split").unwrap(), line.find(&copy).unwrap());
    assert!(mount < copied, "{line}");
    let line = started("split", testing::world(Vec::new()).host);
    assert!(line.contains("node-name=pflash0,read-only=on,file.driver=file,file.filename=/dev/fdset/20"), "{line}");
    assert!(
        line.contains(&format!("set=20,opaque={CODE} ")) && line.contains(&format!("opaque={VARS} ")) && line.contains(&copy),
        "{line}"
    );
}

#[test]
fn code_without_a_template_takes_the_packages_one_where_it_fits() {
    for host in [testing::freebsd(), testing::world(Vec::new()).host] {
        let template = host.uefi.clone().unwrap().1;
        let fits = started("bare", looked_at(host.clone(), 1_966_080, 131_072));
        assert!(fits.contains(&format!("cp -n {template} {VARS}")) && fits.contains("images/bare/image.fd"), "{fits}");
        for other in [looked_at(host.clone(), 3_653_632, 540_672), host] {
            let alone = started("bare", other);
            assert!(!alone.contains("uefi-vars") && alone.contains("images/bare/image.fd"), "{alone}");
        }
    }
}

#[test]
fn on_arm64_the_image_is_all() {
    let host = HostFacts { arch: "arm64".into(), release: (15, 0), ..testing::freebsd() };
    let line = started("split", host);
    assert!(line.contains(&format!("-o bootrom={CODE}")) && !line.contains("uefi-vars"), "{line}");
}

#[test]
fn firmware_that_is_not_there_is_told_before_the_start_and_before_a_reboot() {
    for (name, why) in [("splt", "no firmware image is called `splt`"), ("tiny", "the image `tiny` holds no firmware")] {
        let g = guest(&[("firmware", name)]);
        let world = with_firmware(&g, testing::freebsd());
        let at_reboot = Request { occasion: Occasion::Reboot(1), ..Request::default() };
        for problem in [start(&world, &g, &Request::default()).unwrap_err(), launch(&world, &g, &at_reboot).unwrap_err()] {
            assert_eq!(problem.message, format!("`web01` boots with the firmware `{name}`, which is not available"));
            assert!(problem.causes[0].contains(why) && problem.hints.iter().any(|h| h.contains("firmware=auto")), "{problem:?}");
        }
    }
    let g = guest(&[("firmware", "splt")]);
    assert!(start(&with_firmware(&g, testing::freebsd()), &g, &Request::default()).unwrap_err().hints[0].contains("`split`"));
    // A guest that does not boot by UEFI firmware is not affected.
    let g = guest(&[("firmware", "splt"), ("loader", "bios")]);
    assert!(start(&testing::world(vec![g.clone()]), &g, &Request::default()).is_ok());
}

#[test]
fn firmware_that_the_hypervisor_would_not_take_is_refused() {
    let g = guest(&[("firmware", "bare")]);
    for (host, size, why) in [
        (testing::freebsd(), 4097, "has 4097 bytes, which is not a multiple of the page size"),
        (testing::freebsd(), 17 << 20, "has 17M, and bhyve takes 16M"),
        (testing::world(Vec::new()).host, 9 << 20, "has 9M, and qemu takes 8M"),
    ] {
        let mut world = with_firmware(&g, host);
        world.images.last_mut().unwrap().size = Size::bytes(size);
        let problem = start(&world, &g, &Request::default()).unwrap_err();
        assert!(problem.message.contains(why) && problem.hints[0].contains("chyves firmware info bare"), "{problem:?}");
    }
}

#[test]
fn a_reset_keeps_the_former_variables_and_leaves_everything_as_it_was_found() {
    let g = guest(&[("firmware", "split")]);
    let plan = reset(&with_firmware(&g, testing::freebsd()), &g, &testing::moment(1)).unwrap();
    insta::assert_snapshot!(plan.script(Os::FreeBsd), @r"
    # mount tank/chyves/images/split if it is not mounted, for as long as it is used
    zfs mount tank/chyves/images/split
    # mount tank/chyves/guests/web01
    zfs mount tank/chyves/guests/web01
    # keep /tank/chyves/guests/web01/uefi-vars.fd as /tank/chyves/guests/web01/uefi-vars-20260131T120000Z-000000.fd, if it exists
    mv -n /tank/chyves/guests/web01/uefi-vars.fd /tank/chyves/guests/web01/uefi-vars-20260131T120000Z-000000.fd
    # copy /tank/chyves/images/split/vars.fd to /tank/chyves/guests/web01/uefi-vars.fd unless it exists
    cp -n /tank/chyves/images/split/vars.fd /tank/chyves/guests/web01/uefi-vars.fd
    # unmount tank/chyves/guests/web01
    zfs unmount tank/chyves/guests/web01
    ");
    assert_eq!(images(&plan), ["tank/chyves/images/split".parse().unwrap()]);
}

#[test]
fn what_has_no_variables_or_is_no_stopped_guest_is_not_reset() {
    let why = |settings: &[(&str, &str)], state: RunState| {
        let mut g = guest(settings);
        g.state = state;
        reset(&with_firmware(&g, testing::freebsd()), &g, &testing::moment(1)).unwrap_err().message
    };
    assert!(why(&[], RunState::Running).contains("cannot reset the firmware of `web01` while it is running"));
    assert!(why(&[("template", "yes")], RunState::Stopped).contains("template"));
    assert!(why(&[("loader", "bhyveload")], RunState::Stopped).contains("boots without UEFI firmware"));
    assert!(why(&[("firmware", "bare")], RunState::Stopped).contains("keeps no variables"));
}
