//! `import` and `fetch`: an image from a file, an address, or the catalogue.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_core::image::{self, Hash, ImageKind};
use chyves_core::value::{ImageName, Size, printable};
use chyves_engine::op::{ImageImport, Imported};

/// What a file is taken as, whatever it looks like.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TakenAs {
    /// A raw disk.
    Raw,
}

/// Where an image comes from, and what it must be.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file, a URL (http:, https:, ftp:, file:), - for standard input, or with fetch a name from the catalogue
    #[arg(value_name = "FILE|ADDRESS|NAME|-")]
    from: String,
    /// The image's name [default: from the file's name]
    #[arg(long)]
    name: Option<ImageName>,
    /// The expected hash of the file as downloaded: sha256:…, or md5, sha1, sha512
    #[arg(long)]
    hash: Option<Hash>,
    /// A list of checksums with the file's: a file or a URL
    #[arg(long, value_name = "FILE|ADDRESS")]
    checksums: Option<String>,
    /// The keys, one of which must have signed the list, or without --checksums the file itself: OpenPGP, minisign, signify
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// The signature, where neither in the list nor beside what it signs (.minisig, .sig, .asc, .gpg, .sign)
    #[arg(long, value_name = "FILE|ADDRESS")]
    signature: Option<String>,
    /// The template of the variables of UEFI firmware, if it is a separate file
    #[arg(long, value_name = "FILE")]
    vars: Option<String>,
    /// The catalogue entry whose settings guests of this image get
    #[arg(long, value_name = "NAME")]
    like: Option<String>,
    /// Import it as a raw disk without detection
    #[arg(long)]
    kind: Option<TakenAs>,
    /// The file to take from an archive with several: the second disk of an OVA, for example
    #[arg(long, value_name = "FILE")]
    member: Option<String>,
    /// The largest size after decompression
    #[arg(long, value_name = "SIZE", default_value = "256G")]
    max_size: Size,
    /// Timeout of a server in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = image::SILENCE, value_parser = clap::value_parser!(u32).range(1..=86400))]
    timeout: u32,
    /// How often to retry without progress
    #[arg(long, value_name = "TIMES", default_value_t = image::RETRIES, value_parser = clap::value_parser!(u32).range(..=100))]
    retries: u32,
}

pub(super) fn run(session: &Session, kind: Option<ImageKind>, args: &Args, is_fetch: bool) -> Result<()> {
    let request = ImageImport {
        from: args.from.clone(),
        fetch: is_fetch,
        name: args.name.clone(),
        kind: kind.map(Into::into),
        hash: args.hash.as_ref().map(Hash::to_string),
        checksums: args.checksums.clone(),
        key: args.key.clone(),
        signature: args.signature.clone(),
        vars: args.vars.clone(),
        like: args.like.clone(),
        raw: args.kind.is_some(),
        member: args.member.clone(),
        max_size: args.max_size.get(),
        timeout: args.timeout,
        retries: args.retries,
    };
    let outcome = session.run(&request)?;
    session.show_all(outcome, |imported| Some((imported.object.clone(), said(imported))))
}

/// What is said of an image that was imported.
fn said(imported: &Imported) -> String {
    let image = &imported.image;
    let human = |bytes: u64| Size::bytes(bytes).human();
    let checked = match image.checked.as_deref() {
        None | Some("no") => "not checked against any hash".to_owned(),
        Some(against) => format!("checked: {}", printable(against, 300)),
    };
    let sha256 = image.sha256.as_deref().unwrap_or("-");
    let vars = imported.variables.map(|bytes| format!(" with {} of variables", human(bytes))).unwrap_or_default();
    format!("imported: {} of {}{vars}, SHA-256 {sha256}; {checked}", image.kind.word(), human(image.size))
}
