//! A disc that boots the tiny guest, assembled from its source.

use super::Host;
use std::path::Path;

/// Runs one of the assembler's programs beside the test.
fn tool(folder: &Path, program: &str, args: &[&str]) {
    let output = std::process::Command::new(program).current_dir(folder).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e} (scripts/setup installs it)"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Host {
    /// Puts tiny.iso beside the person: a disc that says `tiny: ready 0`, which no disk does, and obeys as tiny does.
    pub fn make_iso(&self) {
        let source = |name: &str| format!("{}/../../scripts/guest/tiny/{name}", env!("CARGO_MANIFEST_DIR"));
        let work = self.work();
        tool(&work, "as", &["--32", "--defsym", "CD=1", "-o", "cd.o", &source("tiny.S")]);
        tool(&work, "ld", &["-m", "elf_i386", "-Ttext", "0x7c00", "-e", "_start", "-o", "cd.elf", "cd.o"]);
        tool(&work, "objcopy", &["-O", "binary", "-j", ".text", "cd.elf", "tiny-cd.bin"]);
        tool(&work, "as", &["--32", "-I", ".", "-o", "iso.o", &source("iso.S")]);
        tool(&work, "objcopy", &["-O", "binary", "-j", ".text", "iso.o", "tiny.iso"]);
    }
}
