//! The front door of the lab: one program under many names. Called as `ifconfig` it is the lab's ifconfig; called as
//! `chyves-lab` it makes and ends labs. Not its job: anything a tool does; see `tool/`.

#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    chyves_lab::enter()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("chyves-lab: the lab stands in for FreeBSD's programs on Linux; here the real ones are");
    std::process::ExitCode::from(70)
}
