//! Tests of a guest's settings and of their copy.

use super::*;
use crate::property::keys::DiskKey;
use crate::property::settings::{Own, OwnValues};

fn own(pairs: &[(&str, &str)]) -> OwnValues {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), Own { value: (*v).to_owned(), received: false })).collect()
}

pub(super) fn guest(pairs: &[(&str, &str)]) -> Guest {
    Guest {
        name: "web01".parse().unwrap(),
        dataset: "tank/chyves/guests/web01".parse().unwrap(),
        root: "tank/chyves".parse().unwrap(),
        uuid: Uuid::from_u128(7),
        settings: Settings::new(own(pairs), Vec::new()),
        used: Size::default(),
        origin: None,
        mounted: false,
        mountpoint: None,
        canmount: None,
        readonly: false,
        guid: None,
        home: None,
        foreign: None,
        state: RunState::Stopped,
    }
}

#[test]
fn a_copy_of_settings_is_read_as_it_was_written() {
    let settings = own(&[("uuid", "u"), ("description", "it's \"a\" = \\ ünïcode #"), ("x.a-b", "")]);
    assert_eq!(read_settings_copy(&settings_copy(&settings)).unwrap(), settings);
    for bad in ["x", "\"a\" \"b\"", "\"a\" = b", "\"a\" = \"1\"\n\"a\" = \"2\"", "\"-O x\" = \"1\"", "\"a\" = \"x\\ny\"", "\"a\" = \"1\" x"]
    {
        assert!(read_settings_copy(bad).is_err(), "{bad}");
    }
}

#[test]
fn identity_follows_from_the_uuid_alone() {
    let spec = guest(&[("disk0.kind", "raw"), ("net0.backend", "user")]).spec().unwrap();
    let mut other = guest(&[("disk0.kind", "raw"), ("net0.backend", "user"), ("disk1.kind", "zvol"), ("net1.backend", "auto")]);
    other.name = "renamed".parse().unwrap();
    let other = other.spec().unwrap();
    assert_eq!(spec.disks[0].serial, other.disks[0].serial);
    assert_eq!(spec.nets[0].mac, other.nets[0].mac);
    assert_eq!(spec.disks[0].serial.len(), 20);
    assert_ne!(other.nets[0].mac, other.nets[1].mac);
}

#[test]
fn a_stored_value_that_is_wrong_names_where_it_stands() {
    let problem = guest(&[("ram", "lots")]).spec().unwrap_err();
    assert_eq!(problem.object.as_deref(), Some("tank/chyves/guests/web01"));
    assert!(problem.to_string().contains("the setting `ram` of `web01` is wrong"), "{problem}");
}

#[test]
fn the_copy_is_toml_whatever_the_values_hold() {
    insta::assert_snapshot!(settings_copy(&own(&[("cpu", "2"), ("notes", "say \"hi\"\nand \\ more"), ("x.a", "ü")])), @r#"
    # A copy of this guest's settings; the ZFS properties are the truth.
    "cpu" = "2"
    "notes" = "say \"hi\"\nand \\ more"
    "x.a" = "ü"
    "#);
}

#[test]
fn a_copy_is_read_back_as_it_was_written() {
    let values = own(&[("cpu", "2"), ("notes", "say \"hi\" and \\ \u{1} more"), ("x.a", "ü = \"1\""), ("disk0.kind", "raw")]);
    assert_eq!(read_copy(&settings_copy(&values)).unwrap(), values);
    assert_eq!(read_copy("").unwrap(), OwnValues::new());
}

#[test]
fn a_copy_that_chyves_did_not_write_is_refused() {
    for bad in [
        "cpu = 2",
        "\"cpu\" = 2",
        "\"cpu\"=\"2\"",
        "\"cpu\" = \"2\" # two",
        "\"cpu\" = \"many\"",
        "\"nonsense\" = \"2\"",
        "\"cpu\" = \"2\"\n\"cpu\" = \"4\"",
        "[guest]",
        " \"cpu\" = \"2\"",
        "\"cpu\" = \"2",
    ] {
        let problem = read_copy(bad).unwrap_err();
        assert!(problem.message.contains("the copy of the settings is wrong"), "{bad}: {problem}");
    }
}

#[test]
fn an_invalid_record_of_a_disk_hides_neither_the_disk_nor_others() {
    let guest = guest(&[
        ("disk0.kind", "floppy"),
        ("disk0.size", "zz"),
        ("disk0.bus", "nvme"),
        ("disk1.kind", "raw"),
        ("disk1.size", "1M"),
        ("disk2.kind", "floppy"),
        ("disk2.source", "/dev/da0"),
        ("disk3.size", "1M"),
    ]);
    let records = guest.disk_records();
    let invalid = |n: usize| records[n].invalid.iter().map(|(part, _)| *part).collect::<Vec<_>>();
    assert_eq!(invalid(0), [DiskKey::Kind, DiskKey::Size]);
    assert_eq!((records[0].disk.size, records[0].disk.bus), (None, Bus::Nvme));
    assert_eq!((invalid(1), records[1].disk.size), (vec![], Some(Size::bytes(1 << 20))));
    assert_eq!((invalid(2), records[2].disk.kind), (vec![DiskKey::Kind], DiskKind::Attached));
    assert_eq!(invalid(3), [DiskKey::Kind], "a kind that is not recorded is as unknown as one that cannot be read");
    let problem = guest.spec().unwrap_err();
    assert!(problem.hints.iter().any(|hint| hint.contains("`chyves disk sync web01 disk0`")), "{problem:?}");
    assert!(problem.hints.iter().all(|hint| !hint.contains("chyves set")), "{problem:?}");
}
