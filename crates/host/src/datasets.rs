//! Single datasets and snapshots: their properties, whether they exist, and their GUIDs.

use crate::run;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Code, Problem, Result};
use chyves_core::plan::adopt::Member;
use chyves_core::value::{Dataset, printable};
use chyves_core::zfs::Dialect;
use chyves_core::zfs::args::{self, Pair};
use chyves_core::zfs::guard::{self, Type};
use chyves_core::zfs::rows::{self, Row};
use std::collections::BTreeMap;

/// The GUIDs of datasets and snapshots, in the order of `names`.
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

/// The native properties that users set with ZFS itself, by dataset.
///
/// # Errors
/// One of them does not exist.
pub fn natives<'a>(of: impl IntoIterator<Item = &'a Dataset>) -> Result<BTreeMap<Dataset, Vec<Pair>>> {
    let names: Vec<&str> = of.into_iter().map(Dataset::as_str).collect();
    let rows = rows::parse(&run::must(&args::read_natives(&names))?, false)?;
    rows.into_iter().map(|row| Ok((row.name.parse()?, row.native.into_iter().collect()))).collect()
}

/// The local settings and native properties of one dataset; none if it does not exist.
///
/// # Errors
/// Something cannot be queried or parsed.
pub fn dataset(name: &Dataset) -> Result<Option<Row>> {
    let cmd = args::read_exactly(&[name.as_str()]);
    let output = run::run(&cmd)?;
    if output.ok() {
        return match rows::parse_one(name.as_str(), &output.stdout) {
            Some(Row { name, doubtful: Some(property), .. }) => Err(rows::pretender(&name, &property)),
            row => Ok(row),
        };
    }
    // Messages differ between versions. A pool that answers distinguishes "no such dataset" from "no ZFS".
    let pool = run::run(&args::read_exactly(&[name.pool()]))?;
    if pool.ok() && output.status == Some(1) {
        return Ok(None);
    }
    Err(Code::NoSuchPool
        .problem(format!("no imported pool is called `{}`", name.pool()))
        .on(name.pool())
        .because(printable(output.stderr.lines().next().unwrap_or("zfs failed"), 200))
        .hint("`zpool list` shows the pools, `zpool import` those not imported"))
}

/// A dataset and everything below it: the type of each, and the local properties that an adopted dataset must not keep.
///
/// # Errors
/// ZFS does not answer, or its output cannot be parsed.
pub fn tree(of: &Dataset) -> Result<Vec<Member>> {
    let listed = run::must(&args::list_types(of))?;
    let member = |line: &str| {
        let (name, is) =
            line.split_once('\t').ok_or_else(|| Problem::failed("cannot read what `zfs list` printed").because(printable(line, 120)))?;
        let dataset: Dataset = name.parse()?;
        let is = if is == "volume" { Type::Volume } else { Type::FileSystem };
        let mut came = guard::came(&run::must(&guard::read(&dataset))?);
        if crate::facts::dialect() != Dialect::Fuse {
            let overridden = guard::overridden(&run::must(&guard::read_overridden(&dataset))?);
            let new = overridden.into_iter().filter(|o| !came.iter().any(|c| c.property == o.property)).collect::<Vec<_>>();
            came.extend(new);
        }
        Ok(Member { dataset, is, came })
    };
    listed.lines().map(member).collect()
}

/// The datasets directly below another one; none if that does not exist.
///
/// # Errors
/// ZFS does not answer.
pub fn below(dataset: &Dataset) -> Result<Vec<Dataset>> {
    let cmd = args::list_names(dataset, 1);
    let output = run::run(&cmd)?;
    if !output.ok() {
        return if exists(dataset.as_str())? { Err(run::failure(&cmd, &output)) } else { Ok(Vec::new()) };
    }
    Ok(output.stdout.lines().filter(|name| *name != dataset.as_str()).filter_map(|name| name.parse().ok()).collect())
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

/// Creation time of a dataset or snapshot, in seconds since 1970; none if it does not exist.
///
/// # Errors
/// ZFS does not answer.
pub fn created(name: &str) -> Result<Option<u64>> {
    Ok(if_there(&args::read_creation(name), name)?.and_then(|row| row.number("creation")))
}

/// The row that a command reads about one dataset or snapshot; none if it does not exist. The command fails then, as it does
/// when ZFS does not answer; whether the pool answers distinguishes the two.
fn if_there(cmd: &Cmd, name: &str) -> Result<Option<Row>> {
    let output = run::run(cmd)?;
    if output.ok() {
        return Ok(rows::parse(&output.stdout, false)?.into_iter().next());
    }
    let pool = name.split(['/', '@']).next().unwrap_or(name);
    run::must(&args::read_guids(&[pool])).map(|_| None)
}
