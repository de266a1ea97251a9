//! Rows that a value forges: `zfs get -H` prints newlines of a value as they are, so text behind one may look like a row of its own,
//! with whatever source it likes, and a property that came with a stream would count as one that was set on this host.
//!
//! The names, the properties and the sources cannot contain newlines. The same command without its value column therefore prints
//! the rows that really exist. It is run where a row could hold such a value, and what differs is made unusable: every reader then
//! finds a row twice, which none accepts.
//!
//! `zfs list` prints no sources. A list with text in its columns is therefore framed: the name is its first and its last column. A row
//! that a newline has cut begins and ends with its true name, on different lines, so a dataset that is at the ends of exactly one line
//! has an honest row, whatever the rows of others imitate. Of the rest only the columns without text are believed.

use super::rows::is_source;
use crate::cmd::Cmd;
use std::collections::BTreeMap;

/// Native properties whose values are free text.
const TEXTS: [&str; 9] =
    ["mountpoint", "sharenfs", "sharesmb", "mlslabel", "keylocation", "context", "fscontext", "defcontext", "rootcontext"];

/// The folders below a root of chyves: what is above the datasets in them was made on this host.
const PLACES: [&str; 3] = ["guests", "images", "trash"];

/// The columns that end with the value, and those before it.
const FORMS: [(&str, &str); 2] = [("name,property,source,value", "name,property,source"), ("property,source,value", "property,source")];

/// The columns of a list that is framed.
fn framed(cmd: &Cmd) -> Option<Vec<&str>> {
    let list = cmd.program == "zfs" && cmd.args.first().is_some_and(|arg| arg == "list");
    let at = cmd.args.iter().position(|arg| arg == "-o").filter(|_| list)? + 1;
    let columns: Vec<&str> = cmd.args.get(at)?.split(',').collect();
    matches!(columns[..], ["name", .., "name"]).then_some(columns)
}

fn is_text(column: &str) -> bool {
    column.contains(':') || TEXTS.contains(&column)
}

/// The first and the last column of a line.
fn ends(line: &str) -> (&str, &str) {
    (line.split('\t').next().unwrap_or(line), line.rsplit('\t').next().unwrap_or(line))
}

/// The rows of a framed list that no value can have forged, by name.
fn honest(output: &str, columns: usize) -> BTreeMap<&str, &str> {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for line in output.split('\n').filter(|line| !line.is_empty()) {
        let (first, last) = ends(line);
        *times.entry(first).or_default() += 1;
        if last != first {
            *times.entry(last).or_default() += 1;
        }
    }
    let whole = |line: &&str| ends(line).0 == ends(line).1 && line.split('\t').count() == columns && times[ends(line).0] == 1;
    output.split('\n').filter(whole).map(|line| (ends(line).0, line)).collect()
}

/// The rows of a framed list, with the values of the honest ones; `real` has those columns that are no text.
fn confirmed_list(columns: &[&str], output: &str, real: &str) -> String {
    let honest = honest(output, columns.len());
    let mut text = String::new();
    for line in real.lines() {
        let name = ends(line).0;
        let mut known = line.split('\t');
        match honest.get(name) {
            Some(whole) => text.push_str(whole),
            None => {
                let row: Vec<&str> = columns.iter().map(|column| if is_text(column) { "-" } else { known.next().unwrap_or("-") }).collect();
                text.push_str(&row.join("\t"));
            }
        }
        text.push('\n');
    }
    text
}

/// The same command without its value column; none if it is not such a command.
pub fn without_values(cmd: &Cmd) -> Option<Cmd> {
    if let Some(columns) = framed(cmd) {
        let plain: Vec<&str> = columns.into_iter().filter(|column| !is_text(column)).collect();
        let mut twin = cmd.clone();
        let at = cmd.args.iter().position(|arg| arg == "-o")? + 1;
        twin.args[at] = plain.join(",");
        return (twin != *cmd).then_some(twin);
    }
    let get = cmd.program == "zfs" && cmd.args.first().is_some_and(|arg| arg == "get");
    let at = cmd.args.iter().position(|arg| arg == "-o").filter(|_| get)? + 1;
    let (_, before) = FORMS.iter().find(|(all, _)| cmd.args.get(at).is_some_and(|arg| arg == all))?;
    let mut twin = cmd.clone();
    (*before).clone_into(&mut twin.args[at]);
    Some(twin)
}

/// A line that looks like the first of a row: its columns before the value.
fn row(line: &str, columns: usize) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = line.splitn(columns, '\t').collect();
    let [name, property, source] = match (columns, &parts[..]) {
        (4, [name, property, source, _]) => [name, property, source],
        (3, [property, source, _]) => [&"", property, source],
        _ => return None,
    };
    (!property.is_empty() && property.bytes().all(|b| b.is_ascii_graphic()) && is_source(source)).then_some((name, property, source))
}

/// Whether the dataset that a property is inherited from was made on this host: all are, but those below the folders of guests,
/// images and the trash.
fn is_of_this_host(from: &str) -> bool {
    !PLACES.iter().any(|place| from.contains(&format!("/{place}/")))
}

fn may_hold_newline((_, property, source): (&str, &str, &str)) -> bool {
    let foreign = match source.strip_prefix("inherited from ") {
        Some(from) => !is_of_this_host(from),
        None => source == "received",
    };
    foreign && (property.contains(':') || TEXTS.contains(&property))
}

/// Whether some value in the output may hold a newline that its sender put there, so that the rows must be compared.
pub fn is_doubtful(cmd: &Cmd, output: &str) -> bool {
    if let Some(columns) = framed(cmd) {
        return honest(output, columns.len()).len() != output.lines().count();
    }
    let columns = columns(cmd);
    output.lines().filter_map(|line| row(line, columns)).any(may_hold_newline)
}

fn columns(cmd: &Cmd) -> usize {
    if cmd.args.iter().any(|arg| arg == FORMS[0].0) { 4 } else { 3 }
}

/// The output, if its rows are the `real` ones, which the command without values printed. Otherwise the rows without their
/// values, the first of each dataset twice, which readers refuse; of a framed list each row that is not proved to be honest with a
/// dash for each text.
pub fn confirmed(cmd: &Cmd, output: String, real: &str) -> String {
    if let Some(columns) = framed(cmd) {
        return confirmed_list(&columns, &output, real);
    }
    let columns = columns(cmd);
    let claimed = output.split('\n').filter_map(|line| row(line, columns));
    let shown = claimed.map(|(name, property, source)| match columns {
        4 => format!("{name}\t{property}\t{source}"),
        _ => format!("{property}\t{source}"),
    });
    if shown.eq(real.lines().map(str::to_owned)) {
        return output;
    }
    let mut text = String::new();
    let mut last = None;
    for line in real.lines() {
        let name = line.split('\t').next().filter(|_| columns == 4);
        let times = if last == Some(name) { 1 } else { 2 };
        last = Some(name);
        for _ in 0..times {
            text.push_str(line);
            text.push_str("\t\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zfs::{args, rows};

    const NAME: &str = "tank/chyves/guests/web";

    fn get() -> Cmd {
        args::read_exactly(&[NAME])
    }

    #[test]
    fn commands_that_print_values_have_a_twin_without_them() {
        let twin = without_values(&get()).unwrap();
        assert_eq!(twin.to_string(), format!("zfs get -H -p -o name,property,source all {NAME}"));
        assert_eq!(without_values(&twin), None);
        assert!(without_values(&args::find_roots()).is_some());
        assert!(without_values(&crate::zfs::guard::read(&NAME.parse().unwrap())).is_some());
        let mounts = without_values(&args::list_mounts()).unwrap();
        assert_eq!(mounts.to_string(), "zfs list -H -t filesystem -o name,mounted,canmount,name");
        assert_eq!(without_values(&mounts), None);
        assert_eq!(without_values(&args::list_origins("tank")), None);
    }

    #[test]
    fn a_row_that_a_received_value_forges_makes_its_dataset_unusable() {
        let output = format!(
            "{NAME}\ttype\t-\tfilesystem\n{NAME}\tchyves:notes\treceived\tx\n{NAME}\tchyves:qargs\tlocal\t-D /etc/x\n{NAME}\tchyves:cpu\treceived\t1\n"
        );
        let real = format!("{NAME}\ttype\t-\n{NAME}\tchyves:notes\treceived\n{NAME}\tchyves:cpu\treceived\n");
        assert!(is_doubtful(&get(), &output));
        let text = confirmed(&get(), output.clone(), &real);
        assert!(!text.contains("qargs"));
        assert!(rows::parse(&text, true).unwrap_err().message.contains("cannot trust"));
        assert!(rows::parse_one(NAME, &text).unwrap().doubtful.is_some());
        // The same rows with an honest value stay as they are.
        let honest = output.replace(&format!("\n{NAME}\tchyves:qargs\tlocal\t"), "\nnot a row\t");
        assert_eq!(confirmed(&get(), honest.clone(), &real), honest);
    }

    #[test]
    fn rows_in_another_order_or_twice_are_forged_too() {
        let real = format!("{NAME}\ttype\t-\n{NAME}\tchyves:a\treceived\n{NAME}\tchyves:b\tlocal\n");
        // The value of `a` holds the row of `b` that really follows, so that the true one is taken for its end.
        let output =
            format!("{NAME}\ttype\t-\tf\n{NAME}\tchyves:a\treceived\tx\n{NAME}\tchyves:b\tlocal\tevil\n{NAME}\tchyves:b\tlocal\tgood\n");
        assert!(rows::parse(&confirmed(&get(), output, &real), true).is_err());
    }

    #[test]
    fn what_this_host_set_or_inherits_needs_no_second_look() {
        let doubtful = |property: &str, source: &str| is_doubtful(&get(), &format!("{NAME}\t{property}\t{source}\tx\n"));
        for (property, source) in [
            ("chyves:cpu", "local"),
            ("chyves:cpu", "inherited from tank/chyves/guests"),
            ("mountpoint", "inherited from tank/chyves"),
            ("mountpoint", "inherited from tank"),
            ("compression", "received"),
            ("used", "-"),
        ] {
            assert!(!doubtful(property, source), "{property} {source}");
        }
        for (property, source) in [
            ("chyves:cpu", "received"),
            ("org:other", "received"),
            ("mountpoint", "received"),
            ("chyves:cpu", "inherited from tank/chyves/guests/group"),
            ("mountpoint", "inherited from tank/chyves/guests/group"),
        ] {
            assert!(doubtful(property, source), "{property} {source}");
        }
        let came = crate::zfs::guard::read(&NAME.parse().unwrap());
        assert!(is_doubtful(&came, "mountpoint\treceived\t/x\n"));
    }

    #[test]
    fn a_list_believes_no_row_that_a_value_forges() {
        let list = args::list_mounts();
        let real = "t\tyes\ton\tt\nt/a\tno\ton\tt/a\nt/b\tno\ton\tt/b\n";
        let honest = "t\tyes\ton\t/t\tt\nt/a\tno\ton\t/t/a\tt/a\nt/b\tno\ton\t/t/b\tt/b\n";
        assert!(!is_doubtful(&list, honest));
        assert_eq!(confirmed(&list, honest.to_owned(), real), honest);
        for (value, spoilt) in [
            // A row of another dataset, complete or not, of its own, and of one that is not there.
            ("/x\tt/a\nt/b\tno\ton\t/etc\tt/b\nt/a\tno\ton\t/y", &["t/a", "t/b"][..]),
            ("/x\tt/a\nt/b\tno\ton\t/etc", &["t/a", "t/b"]),
            ("/x\nt/b\tno\ton\t/etc\tt/b\n", &["t/a", "t/b"]),
            ("/x\nt/a\tno\ton\t/etc", &["t/a"]),
            ("/x\tt/a\nt/new\tno\ton\t/etc\tt/new\nt/a\tno\ton\t/y", &["t/a"]),
            ("/x\n", &["t/a"]),
            ("/x\ty", &["t/a"]),
        ] {
            let output = honest.replace("/t/a", value);
            assert!(is_doubtful(&list, &output), "{value}");
            let shown = confirmed(&list, output, real);
            let expected: Vec<String> = honest
                .lines()
                .map(|line| {
                    let name = ends(line).0;
                    if spoilt.contains(&name) { format!("{name}\tno\ton\t-\t{name}") } else { line.to_owned() }
                })
                .collect();
            assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{value}");
        }
    }
}
