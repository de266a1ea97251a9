//! Rows that a value forges: `zfs get -H` prints newlines of a value as they are, so text behind one may look like a row of its own,
//! with whatever source it likes, and a property that came with a stream would count as one that was set on this host.
//!
//! The names, the properties and the sources cannot contain newlines. The same command without its value column therefore prints
//! the rows that really exist. It is run where a row could hold such a value, and what differs is made unusable: every reader then
//! finds a row twice, which none accepts.

use super::rows::is_source;
use crate::cmd::Cmd;

/// Native properties whose values are free text.
const TEXTS: [&str; 9] =
    ["mountpoint", "sharenfs", "sharesmb", "mlslabel", "keylocation", "context", "fscontext", "defcontext", "rootcontext"];

/// The folders below a root of chyves: what is above the datasets in them was made on this host.
const PLACES: [&str; 3] = ["guests", "images", "trash"];

/// The columns that end with the value, and those before it.
const FORMS: [(&str, &str); 2] = [("name,property,source,value", "name,property,source"), ("property,source,value", "property,source")];

/// The same command without its value column; none if it is not such a command.
pub fn without_values(cmd: &Cmd) -> Option<Cmd> {
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
    let columns = columns(cmd);
    output.lines().filter_map(|line| row(line, columns)).any(may_hold_newline)
}

fn columns(cmd: &Cmd) -> usize {
    if cmd.args.iter().any(|arg| arg == FORMS[0].0) { 4 } else { 3 }
}

/// The output, if its rows are the `real` ones, which the command without values printed. Otherwise the rows without their
/// values, the first of each dataset twice, which readers refuse.
pub fn confirmed(cmd: &Cmd, output: String, real: &str) -> String {
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
        assert_eq!(without_values(&args::list_mounts()), None);
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
}
