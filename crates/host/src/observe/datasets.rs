//! Single datasets and snapshots: what they say, whether they are there, and which object a name means.

use crate::run;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::plan::adopt::Member;
use chyves_core::value::{Dataset, printable};
use chyves_core::zfs::args::{self, Pair};
use chyves_core::zfs::guard::{self, Type};
use chyves_core::zfs::rows::{self, Row};
use std::collections::BTreeMap;

/// The GUIDs of datasets and snapshots, in the order they were asked for.
///
/// # Errors
/// One of them does not exist.
pub fn guids(names: &[String]) -> Result<Vec<(String, u64)>> {
    let rows = rows::parse(&run::must(&args::read_guids(names))?, false)?;
    names
        .iter()
        .map(|name| {
            let guid = rows.iter().find(|r| r.name == *name).and_then(|r| r.number("guid"));
            guid.map(|g| (name.clone(), g))
                .ok_or_else(|| Problem::failed(format!("zfs returned no GUID of `{}`", printable(name, 120))).on(name))
        })
        .collect()
}

/// What people set on datasets by ZFS itself, by dataset.
///
/// # Errors
/// One of them does not exist.
pub fn natives<'a>(of: impl IntoIterator<Item = &'a Dataset>) -> Result<BTreeMap<Dataset, Vec<Pair>>> {
    let names: Vec<&str> = of.into_iter().map(Dataset::as_str).collect();
    let rows = rows::parse(&run::must(&args::read_natives(&names))?, false)?;
    rows.into_iter().map(|row| Ok((row.name.parse()?, row.native.into_iter().collect()))).collect()
}

/// What one dataset itself says: its own settings and native properties; none if it does not exist.
///
/// # Errors
/// What can't be asked or read.
pub fn dataset(name: &Dataset) -> Result<Option<Row>> {
    let cmd = args::read_exactly(&[name.as_str()]);
    let output = run::run(&cmd)?;
    if output.ok() {
        return match rows::parse_one(name.as_str(), &output.stdout) {
            Some(Row { name, doubtful: Some(property), .. }) => Err(rows::pretender(&name, &property)),
            row => Ok(row),
        };
    }
    // Texts differ between versions: that the pool answers tells "no such dataset" from "no ZFS".
    let pool = run::run(&args::read_exactly(&[name.pool()]))?;
    if pool.ok() && output.status == Some(1) {
        return Ok(None);
    }
    Err(Problem::not_found(format!("no imported pool is called `{}`", name.pool()))
        .on(name.pool())
        .because(printable(output.stderr.lines().next().unwrap_or("zfs failed"), 200))
        .hint("`zpool list` shows the pools, `zpool import` those not imported"))
}

/// A dataset and everything below it, as ZFS sees it: what each is, and what it says by itself that may not stay where it
/// came from elsewhere.
///
/// # Errors
/// ZFS does not answer, or says what can't be read.
pub fn tree(of: &Dataset) -> Result<Vec<Member>> {
    let listed = run::must(&args::list_types(of))?;
    let member = |line: &str| {
        let (name, is) =
            line.split_once('\t').ok_or_else(|| Problem::failed("cannot read what `zfs list` printed").because(printable(line, 120)))?;
        let dataset: Dataset = name.parse()?;
        let is = if is == "volume" { Type::Volume } else { Type::FileSystem };
        let came = guard::came(&run::must(&guard::read(&dataset))?);
        Ok(Member { dataset, is, came })
    };
    listed.lines().map(member).collect()
}

/// Whether a dataset or snapshot exists.
///
/// # Errors
/// ZFS does not answer.
pub fn exists(name: &str) -> Result<bool> {
    Ok(if_there(&args::read_guids(&[name]), name)?.is_some())
}

/// The GUID of a dataset or snapshot; none if it does not exist.
///
/// # Errors
/// ZFS does not answer.
pub fn guid(name: &str) -> Result<Option<u64>> {
    Ok(if_there(&args::read_guids(&[name]), name)?.and_then(|row| row.number("guid")))
}

/// When a dataset or snapshot was made, seconds since 1970; none if it does not exist.
///
/// # Errors
/// ZFS does not answer.
pub fn created(name: &str) -> Result<Option<u64>> {
    Ok(if_there(&args::read_exactly(&[name]), name)?.and_then(|row| row.number("creation")))
}

/// What a command that reads one dataset or snapshot says of it. One that is not there tells the same by failing as one that
/// went a moment before; that its pool answers tells both from a ZFS that does not.
fn if_there(cmd: &Cmd, name: &str) -> Result<Option<Row>> {
    let output = run::run(cmd)?;
    if output.ok() {
        return Ok(rows::parse(&output.stdout, false)?.into_iter().next());
    }
    let pool = name.split(['/', '@']).next().unwrap_or(name);
    run::must(&args::read_guids(&[pool])).map(|_| None)
}
