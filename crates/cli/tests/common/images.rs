//! An image to import, and how commands are told to go straight to a server.

use super::{Answer, Host, PROGRAM};
use std::process::Stdio;

/// A disk with holes, data that don't compress and data that do.
pub fn disk() -> Vec<u8> {
    let mut state = 1u32;
    let mut noise = |length: usize| {
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(length)
        .collect::<Vec<u8>>()
    };
    let mut disk = noise(300_000);
    disk.resize(3 << 20, 0);
    disk.extend(noise(100_000));
    disk.extend(b"the same repeatedly ".repeat(10_000));
    disk.resize(4 << 20, 0);
    disk
}

pub fn sha256(host: &Host, file: &str) -> String {
    host.sh("sha256sum", &[file]).split(' ').next().unwrap().to_owned()
}

/// Runs chyves without the proxies of this machine.
pub fn direct(host: &Host, line: &str) -> Answer {
    with_env(host, line, &[])
}

pub fn with_env(host: &Host, line: &str, env: &[(&str, &str)]) -> Answer {
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = host.command(PROGRAM);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    let output = command.args(&words).envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap();
    Answer {
        line: line.to_owned(),
        code: output.status.code().unwrap_or(128),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What `image list` says of one.
pub fn listed(host: &Host, name: &str) -> serde_json::Value {
    let all = host.ok("image list --json").json();
    all.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {all}")).clone()
}
