//! nmdm terminals: made by looking, joined in between, hung up by the end of side A.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, channel};

use chyves_lab::Lab;
use common::{Guest, good, guest_disk, lab, rom, until};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

fn open(lab: &Lab, name: &str) -> File {
    File::from(rustix::fs::open(lab.dev(name), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap())
}

fn raw(file: &File) {
    let mut settings = tcgetattr(file).unwrap();
    settings.make_raw();
    tcsetattr(file, OptionalActions::Now, &settings).unwrap();
}

fn open_raw(lab: &Lab, name: &str) -> File {
    let file = open(lab, name);
    raw(&file);
    file
}

/// What a side hears; the channel ends with its end of file.
fn listen(file: &File) -> Receiver<u8> {
    let mut file = file.try_clone().unwrap();
    let (sender, heard) = channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        while let Ok(1) = file.read(&mut byte) {
            if sender.send(byte[0]).is_err() {
                return;
            }
        }
    });
    heard
}

fn expect(heard: &Receiver<u8>, text: &str) {
    let mut got = String::new();
    while !got.ends_with(text) {
        match heard.recv_timeout(common::PATIENCE) {
            Ok(byte) => got.push(char::from(byte)),
            Err(error) => panic!("{text:?} did not come ({error}): {got:?}"),
        }
    }
}

fn ended(heard: &Receiver<u8>) {
    match heard.recv_timeout(common::PATIENCE) {
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {}
        other => panic!("no end of file, but {other:?}"),
    }
}

#[test]
fn looking_makes_a_pair_where_the_module_is_loaded() {
    let Some(lab) = lab("looking_makes_a_pair", &[]) else { return };
    assert!(!lab.dev("nmdm-web01.1B").exists());
    good(&lab, "kldload nmdm");
    for name in ["nmdm-web01.1B", "nmdm-web01.1A", "nmdm0A", "nmdmAA", "nmdmBB"] {
        assert!(lab.dev(name).exists(), "{name}");
    }
    for name in ["nmdm", "nmdmA", "nmdmB", "nmdm0", "nmdm0C"] {
        assert!(!lab.dev(name).exists(), "{name}");
    }
    let names: Vec<String> =
        std::fs::read_dir(lab.dev("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.contains(&"nmdm-web01.1A".to_owned()) && names.contains(&"null".to_owned()), "{names:?}");
}

#[test]
fn bytes_pass_both_ways() {
    let Some(lab) = lab("bytes_pass", &[]) else { return };
    good(&lab, "kldload nmdm");
    let (mut a, mut b) = (open_raw(&lab, "nmdm1A"), open_raw(&lab, "nmdm1B"));
    let (at_a, at_b) = (listen(&a), listen(&b));
    a.write_all(b"from A").unwrap();
    expect(&at_b, "from A");
    b.write_all(b"from B").unwrap();
    expect(&at_a, "from B");
    // More than any terminal keeps.
    let much = vec![b'x'; 300_000];
    let writer = std::thread::spawn(move || a.write_all(&much).and_then(|()| a.write_all(b"!")));
    expect(&at_b, "!");
    writer.join().unwrap().unwrap();
}

#[test]
fn a_side_echoes_until_its_user_makes_it_raw() {
    let Some(lab) = lab("a_side_echoes", &[]) else { return };
    good(&lab, "kldload nmdm");
    let (mut a, b) = (open_raw(&lab, "nmdm1A"), open(&lab, "nmdm1B"));
    assert!(tcgetattr(&b).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
    let at_a = listen(&a);
    a.write_all(b"ping").unwrap();
    expect(&at_a, "ping");
    raw(&b);
    let at_b = listen(&b);
    a.write_all(b"pong\n").unwrap();
    expect(&at_b, "pong\n");
}

#[test]
fn the_end_of_a_is_a_hang_up_for_b_after_its_last_words() {
    let Some(lab) = lab("the_end_of_a", &[]) else { return };
    good(&lab, "kldload nmdm");
    let (mut a, b) = (open_raw(&lab, "nmdm1A"), open_raw(&lab, "nmdm1B"));
    a.write_all(b"last words").unwrap();
    drop(a);
    let at_b = listen(&b);
    expect(&at_b, "last words");
    ended(&at_b);
    // Open anew, it is a terminal again.
    let (mut a, b) = (open_raw(&lab, "nmdm1A"), open_raw(&lab, "nmdm1B"));
    a.write_all(b"hello").unwrap();
    expect(&listen(&b), "hello");
}

#[test]
fn a_local_b_is_not_hung_up() {
    let Some(lab) = lab("a_local_b", &[]) else { return };
    good(&lab, "kldload nmdm");
    let mut b = open_raw(&lab, "nmdm1B");
    let mut modes = rustix::termios::tcgetattr(&b).unwrap();
    modes.control_modes |= rustix::termios::ControlModes::CLOCAL;
    rustix::termios::tcsetattr(&b, rustix::termios::OptionalActions::Now, &modes).unwrap();
    for word in [b"one", b"two"] {
        let mut a = open_raw(&lab, "nmdm1A");
        a.write_all(word).unwrap();
        drop(a);
        let mut heard = [0; 3];
        b.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, word);
    }
}

#[test]
fn the_end_of_b_does_not_disturb_a() {
    let Some(lab) = lab("the_end_of_b", &[]) else { return };
    good(&lab, "kldload nmdm");
    let mut a = open_raw(&lab, "nmdm1A");
    for word in [b"one", b"two"] {
        let mut b = open_raw(&lab, "nmdm1B");
        let mut heard = [0; 3];
        a.write_all(word).unwrap();
        b.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, word);
        b.write_all(word).unwrap();
        a.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, word);
    }
}

#[test]
fn what_nobody_hears_is_kept_a_little() {
    let Some(lab) = lab("what_nobody_hears", &[]) else { return };
    good(&lab, "kldload nmdm");
    let mut a = open_raw(&lab, "nmdm1A");
    a.write_all(b"early").unwrap();
    let b = open_raw(&lab, "nmdm1B");
    expect(&listen(&b), "early");
}

#[test]
fn a_guest_s_console_by_nmdm_through_a_reboot() {
    let test = "a_guest_s_console";
    let Some(lab) = lab(test, &[]) else { return };
    good(&lab, "kldload vmm nmdm");
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    let rom = rom(&lab);
    let line = format!("bhyve -c 1 -m 64M -A -H -s 3,virtio-blk,{disk} -s 31,lpc -l com1,/dev/nmdm-web01.1A -l bootrom,{rom} web01");
    for (number, key, status) in [(1, b"r", 0), (2, b"p", 1)] {
        let mut b = open_raw(&lab, "nmdm-web01.1B");
        let heard = listen(&b);
        let guest = Guest::start(&lab, &line);
        expect(&heard, &format!("tiny: ready {number}\r\n"));
        b.write_all(key).unwrap();
        expect(&heard, "\r\n");
        assert_eq!(guest.end(), status);
        ended(&heard);
    }
}

#[test]
fn loaders_talk_on_a_console_too() {
    let test = "loaders_talk";
    let Some(lab) = lab(test, &[]) else { return };
    good(&lab, "kldload vmm nmdm");
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    let b = open_raw(&lab, "nmdm1B");
    let heard = listen(&b);
    good(&lab, &format!("bhyveload -c /dev/nmdm1A -m 64M -d {disk} f1"));
    expect(&heard, "Booting...\r\n");
    ended(&heard);
    until("a new terminal", || std::fs::read_link(lab.dev("nmdm1B")).is_ok());
}
