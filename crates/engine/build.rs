//! Packs the schemas of all operations into one file: as text they would be a thirtieth of the program, and only `dev schema`
//! prints them.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schemas");
    let mut files: Vec<PathBuf> = std::fs::read_dir("schemas")?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "json")) {
        let name = file.file_stem().and_then(|name| name.to_str()).ok_or("a schema's name is not UTF-8 text")?;
        all.push(format!("\"{name}\":{}", std::fs::read_to_string(file)?));
    }
    let folder = std::env::var("OUT_DIR")?;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    packed.write_all(format!("{{{}}}", all.join(",")).as_bytes())?;
    std::fs::write(Path::new(&folder).join("schemas.zz"), packed.finish()?)?;
    Ok(())
}
