//! Disk formats become raw by `qemu-img`, once it is sure that the image is whole in itself.

use super::content::Format;
use super::unpack::too_large;
use crate::run;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::value::{Size, printable};

/// The size of the disk in an image, which must be whole in itself: one that names another file would let an image read
/// any file of the host.
pub(crate) fn whole(source: &str, format: Format) -> Result<Size> {
    let shown = printable(source, 300);
    let info = run::must(&Cmd::new("qemu-img", ["info", "-f", format.driver(), "--output=json", source])).map_err(|p| {
        if p.message.contains("failed") {
            p.within(format!("`{shown}` is no good {}", format.word())).hint(damaged(source, format))
        } else {
            p
        }
    })?;
    let info: serde_json::Value =
        serde_json::from_str(&info).map_err(|e| Problem::failed("can't read what `qemu-img info` printed").because(e))?;
    let data_file = info.pointer("/format-specific/data/data-file");
    // A VMDK may be in parts; one that is whole names itself alone.
    let parts = info.pointer("/format-specific/data/extents").and_then(serde_json::Value::as_array);
    let elsewhere = parts.is_some_and(|parts| {
        parts.iter().any(|part| part.get("filename").and_then(serde_json::Value::as_str).is_some_and(|file| file != source))
    });
    if info.get("backing-filename").is_some() || data_file.is_some() || elsewhere {
        return Err(Problem::usage(format!("`{shown}` is not whole: it stands on another file"))
            .on(source)
            .hint("flatten it first: qemu-img convert -O qcow2 IMAGE WHOLE"));
    }
    let size = info.get("virtual-size").and_then(serde_json::Value::as_u64);
    size.map(Size::bytes).ok_or_else(|| Problem::failed("can't read what `qemu-img info` printed").because("it tells no virtual size"))
}

fn damaged(source: &str, format: Format) -> String {
    let check = Cmd::new("qemu-img", ["check", "-f", format.driver(), source]);
    format!("was it fetched to its end? `{check}` tells more of a file that is still there")
}

/// The command that makes a raw disk of an image, which was made sure to be whole and not too large.
pub(super) fn command(source: &str, format: Format, target: &str, max: u64, name: &str) -> Result<Cmd> {
    if whole(source, format)?.get() > max {
        return Err(too_large(name, max));
    }
    Ok(Cmd::new("qemu-img", ["convert", "-f", format.driver(), "-O", "raw", "-S", "64k", source, target]))
}
