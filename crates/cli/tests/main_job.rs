//! The main job

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};

#[test]
fn the_main_job() {
    let t = std::time::Instant::now();
    let Some(host) = Host::new("main_job", With::Tiny) else { return };
    println!("{:?}", t.elapsed());
    println!("{}", host.session(&[ "create web01 --image tiny --cpu 2 --ram 64M loader=bios", "start web01 -q"]));
    println!("{:?}", t.elapsed());
    let mut c = host.console("web01");
    println!("{:?}", t.elapsed());
    c.sees("tiny: ready 1");
    println!("{:?}", t.elapsed());
    c.types("wA");
    c.sees("data A");
    println!("{:?}", t.elapsed());
    c.leaves();
    println!("{:?}", t.elapsed());
    host.ok("stop web01");
    println!("{:?}", t.elapsed());
    drop(host);
    println!("{:?}", t.elapsed());
}
