//! A lab as a value, for tests: made by `Lab::up`, gone when it is dropped, and also when the test is killed.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Error};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::bhyve::{ROM_FILES, SLIRP, write_rom};
use crate::exit::{Done, Or};
use crate::host::Host;
use crate::pci;
use crate::place::Place;
use crate::tool::TOOLS;

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    /// Holds the network namespace; ends with its standard input.
    daemon: Child,
}

impl Lab {
    /// Makes a lab in a temporary folder. `binary` is `chyves-lab` itself; `settings` are `key=value` as in
    /// `chyves-lab run`. Needs root.
    ///
    /// # Errors
    /// A setting that is none; no root; `/dev/fuse`, iproute2 or util-linux missing.
    pub fn up(binary: &Path, settings: &[&str]) -> io::Result<Lab> {
        // Kept by us, but removed by the daemon, which outlives a killed test.
        let dir = tempfile::Builder::new().prefix("lab").tempdir()?.keep();
        let made = furnish(binary, &dir, settings).map_err(|error| Error::other(error.text)).and_then(|()| spawn(binary, &dir, true));
        match made {
            Ok(daemon) => Ok(Lab { dir, daemon }),
            Err(error) => {
                let _ = fs::remove_dir_all(&dir);
                Err(error)
            }
        }
    }

    /// `chyves-lab` in the folder where this build's programs are.
    ///
    /// # Errors
    /// It has not been built.
    pub fn find_binary() -> io::Result<PathBuf> {
        let own = std::env::current_exe()?;
        let found = own.ancestors().skip(1).take(3).map(|folder| folder.join("chyves-lab")).find(|file| file.is_file());
        found.ok_or_else(|| Error::other("chyves-lab has not been built: cargo build -p chyves-lab"))
    }

    /// The lab's folder, which is `CHYVES_LAB`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A device of the lab: `dev("nmdm-web01.1B")`.
    pub fn dev(&self, name: &str) -> PathBuf {
        self.dir.join("dev").join(name)
    }

    /// A command inside the lab: in its network, with its tools first on PATH.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        inside(&self.dir, self.daemon.id(), program.as_ref())
    }

    /// Changes settings, from the next command on.
    ///
    /// # Errors
    /// A setting that is none.
    pub fn set(&self, settings: &[&str]) -> io::Result<()> {
        let change = || {
            let mut place = Place::open(&self.dir)?;
            settings.iter().try_for_each(|setting| place.host.set(setting))?;
            place.write("host", &place.host.text())
        };
        change().map_err(|error| Error::other(error.text))
    }

    /// A command inside a lab that is up in a folder.
    pub(crate) fn command_in(dir: &Path, program: &str) -> io::Result<Command> {
        let pid = fs::read_to_string(dir.join("run/daemon"))?;
        let pid = pid.trim().parse().map_err(|_| Error::other("no process holds the lab"))?;
        Ok(inside(dir, pid, OsStr::new(program)))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.daemon.stdin.take());
        let _ = self.daemon.wait();
    }
}

/// Only the network is the lab's own: mounts made outside, such as those of ZFS, are to be seen inside.
fn inside(dir: &Path, daemon: u32, program: &OsStr) -> Command {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{daemon}/ns/net")).arg("--").arg(program);
    command.env("CHYVES_LAB", dir).env("PATH", format!("{}:{path}", dir.join("bin").display()));
    command
}

/// Puts into a folder what a new lab has.
pub(crate) fn furnish(binary: &Path, dir: &Path, settings: &[&str]) -> Done {
    let mut host = Host::default();
    settings.iter().try_for_each(|setting| host.set(setting))?;
    host.check()?;
    for folder in ["vmm", "vmm.io", "locks", "ctl", "net", "run", "dev", "devfs/cam", "var/run"] {
        fs::create_dir_all(dir.join(folder)).or_broken(dir.display())?;
    }
    fs::write(dir.join("host"), host.text()).or_broken(dir.display())?;
    fs::write(dir.join("pci"), pci::DEFAULT).or_broken(dir.display())?;
    fs::write(dir.join("devfs/cam/ctl"), "").or_broken(dir.display())?;
    if host.netmap {
        fs::write(dir.join("devfs/netmap"), "").or_broken(dir.display())?;
    }
    fs::write(dir.join("var/run/dmesg.boot"), dmesg(&host)).or_broken(dir.display())?;
    firmware(&host, &dir.join("usr/local/share"))?;
    fs::create_dir_all(dir.join("usr/local/lib")).or_broken(dir.display())?;
    fs::write(dir.join(SLIRP.trim_start_matches('/')), "").or_broken(SLIRP)?;
    install(binary, &dir.join("bin")).or_broken(dir.display())
}

/// Firmware where the packages of FreeBSD put it: edk2-bhyve with links from the older place, or U-Boot.
fn firmware(host: &Host, share: &Path) -> Done {
    if host.arm64() {
        let folder = share.join("u-boot/u-boot-bhyve-arm64");
        let rom = write_rom(&folder)?;
        return fs::rename(rom, folder.join("u-boot.bin")).or_broken(folder.display());
    }
    write_rom(&share.join("edk2-bhyve"))?;
    let links = share.join("uefi-firmware");
    fs::create_dir_all(&links).or_broken(links.display())?;
    for name in ROM_FILES {
        std::os::unix::fs::symlink(format!("../edk2-bhyve/{name}"), links.join(name)).or_broken(links.display())?;
    }
    Ok(())
}

/// The lines of a boot that tell what the processor can.
fn dmesg(host: &Host) -> String {
    use crate::host::Cpu;
    let processor = match host.cpu {
        Cpu::Intel => {
            let unrestricted = if host.unrestricted { "UG," } else { "" };
            format!(
                "CPU: Intel(R) Xeon(R) E-2288G CPU @ 3.70GHz (3700.00-MHz K8-class CPU)\n  Origin=\"GenuineIntel\"  Id=0x906ed  Family=0x6\n\
                 \x20 Features2=0x7ffafbff<SSE3,VMX,SSSE3,POPCNT>\n  VT-x: PAT,HLT,MTF,PAUSE,EPT,{unrestricted}VPID\n"
            )
        }
        Cpu::Amd => {
            "CPU: AMD EPYC 7302P 16-Core Processor (2994.00-MHz K8-class CPU)\n  Origin=\"AuthenticAMD\"  Id=0x830f10  Family=0x17\n\
                     \x20 AMD Features2=0x75c237ff<LAHF,SVM,CR8>\n  SVM: NP,NRIP,VClean,AFlush,DAssist,NAsids=32768\n"
                .to_owned()
        }
        Cpu::Arm64 => "CPU  0: ARM Neoverse-N1 r3p1 affinity:  0  0\n".to_owned(),
        Cpu::Plain => "CPU: Intel(R) Atom(TM) CPU 330 (1600.00-MHz K8-class CPU)\n  Features2=0x40e31d<SSE3,SSSE3>\n".to_owned(),
    };
    format!("---<<BOOT>>---\nFreeBSD {}\n{processor}", host.release.text(host.patch))
}

/// Links of all stand-ins to the one program.
pub(crate) fn install(binary: &Path, dir: &Path) -> io::Result<()> {
    let binary = fs::canonicalize(binary)?;
    fs::create_dir_all(dir)?;
    for name in TOOLS.iter().map(|tool| tool.name).chain(["chyves-lab"]) {
        let link = dir.join(name);
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::os::unix::fs::symlink(&binary, &link)?,
        }
    }
    Ok(())
}

/// Starts the process that holds a lab, and waits until it does. With `lifetime` it ends with us, and removes the folder.
pub(crate) fn spawn(binary: &Path, dir: &Path, lifetime: bool) -> io::Result<Child> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(binary).arg("daemon").arg(dir);
    if lifetime {
        command.args(["temporary", "lifetime"]).stdin(Stdio::piped());
    } else {
        command.stdin(Stdio::null());
    }
    let mut daemon = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(stdout) = daemon.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line == "ready\n" {
        return Ok(daemon);
    }
    let said = daemon.wait_with_output()?;
    Err(Error::other(format!("the lab does not come up: {}", String::from_utf8_lossy(&said.stderr).trim())))
}
