//! Tables as zfs(8) prints them: no borders, two blanks between columns, `-H` for scripts.

use crate::session::Session;
use chyves_core::value::Size;
use chyves_engine::answer::Time;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;

/// One cell: the shown text, and the exact value, which is also the sort key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    /// The shown text.
    pub(crate) shown: String,
    /// The exact value.
    pub(crate) exact: Value,
}

impl Cell {
    /// Text, the same for both; escaped for a terminal when it is shown.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { shown: chyves_core::value::printable(&text, 2000), exact: Value::from(text) }
    }

    /// Text that may be missing.
    pub(crate) fn maybe(text: Option<String>) -> Self {
        text.map_or_else(Self::none, Self::text)
    }

    /// No value, shown as `-`.
    pub(crate) fn none() -> Self {
        Self { shown: "-".into(), exact: Value::Null }
    }

    /// A number that is shown in another form, such as rounded.
    pub(crate) fn number(shown: impl Into<String>, exact: u64) -> Self {
        Self { shown: shown.into(), exact: Value::from(exact) }
    }

    /// A number of bytes, shown rounded.
    pub(crate) fn bytes(exact: u64) -> Self {
        Self::number(Size::bytes(exact).human(), exact)
    }

    /// A time, shown in the local time zone in this form; its exact value is in seconds since 1970.
    pub(crate) fn time(time: Time, form: &str) -> Self {
        let shown = time.0.to_zoned(jiff::tz::TimeZone::system()).strftime(form).to_string();
        Self::number(shown, u64::try_from(time.0.as_second()).unwrap_or(0))
    }

    fn exact_text(&self) -> String {
        match &self.exact {
            Value::Null => "-".into(),
            Value::String(text) => chyves_core::value::printable(text, 9000),
            // An array has no exact text; its elements are only in the JSON output.
            Value::Array(_) => self.shown.clone(),
            other => other.to_string(),
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self.exact.as_u64(), other.exact.as_u64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => self.exact_text().cmp(&other.exact_text()),
        }
    }
}

/// The options that every list takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ListArgs {
    /// Print no headings, and tabs between columns
    #[arg(short = 'H')]
    pub(crate) bare: bool,
    /// Print exact numbers
    #[arg(short = 'p')]
    pub(crate) exact: bool,
    /// Print these columns, parted by commas
    #[arg(short = 'o', value_name = "COLUMN,…", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Sort by this column
    #[arg(short = 's', value_name = "COLUMN", conflicts_with = "descending")]
    pub(crate) ascending: Option<String>,
    /// Sort by this column, largest first
    #[arg(short = 'S', value_name = "COLUMN")]
    pub(crate) descending: Option<String>,
}

impl ListArgs {
    /// The same with these columns if none were chosen; in JSON an element then has all of them.
    pub(crate) fn or_columns(&self, session: &Session, usual: &[&str]) -> Self {
        let mut args = self.clone();
        if args.columns.is_empty() && !session.ui.json {
            args.columns = usual.iter().map(|column| (*column).to_owned()).collect();
        }
        args
    }
}

/// Named columns, and rows of cells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// Column names in lower case.
    pub(crate) columns: Vec<String>,
    /// The rows.
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What the rows are in JSON, if that is more than their cells: the elements of an answer.
    objects: Vec<Value>,
    /// The columns that were chosen, if some were.
    chosen: Option<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// An answer as a table: each element is a row, and in JSON it is printed as it is.
    pub(crate) fn of<T: Serialize>(columns: &[&str], answer: &[T], row: impl Fn(&T) -> Vec<Cell>) -> Self {
        Self {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: answer.iter().map(row).collect(),
            objects: answer.iter().map(|one| json!(one)).collect(),
            chosen: None,
        }
    }

    /// Sorts according to the options.
    pub(crate) fn sort(&mut self, args: &ListArgs) {
        let (column, down) = match (&args.ascending, &args.descending) {
            (Some(column), _) => (column, false),
            (None, Some(column)) => (column, true),
            (None, None) => return,
        };
        if let Some(index) = self.columns.iter().position(|c| c == column) {
            let mut order: Vec<usize> = (0..self.rows.len()).collect();
            order.sort_by(|a, b| self.rows[*a][index].order(&self.rows[*b][index]));
            if down {
                order.reverse();
            }
            self.rows = order.iter().map(|i| std::mem::take(&mut self.rows[*i])).collect();
            if !self.objects.is_empty() {
                self.objects = order.iter().map(|i| self.objects[*i].take()).collect();
            }
        }
    }

    /// Keeps only these columns, in this order; all of them exist.
    pub(crate) fn only(&mut self, columns: &[String]) {
        let places: Vec<usize> = columns.iter().filter_map(|c| self.columns.iter().position(|have| have == c)).collect();
        for row in &mut self.rows {
            *row = places.iter().map(|i| row[*i].clone()).collect();
        }
        self.columns = columns.to_vec();
        self.chosen = Some(columns.to_vec());
    }

    /// The table as text.
    pub(crate) fn text(&self, args: &ListArgs) -> String {
        let cell = |c: &Cell| if args.exact { c.exact_text() } else { c.shown.clone() };
        let lines: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        if args.bare {
            return lines.iter().map(|l| l.join("\t") + "\n").collect();
        }
        let heads: Vec<String> = self.columns.iter().map(|c| c.to_uppercase()).collect();
        let width = |i: usize| lines.iter().chain([&heads]).map(|l| l[i].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        // Numbers are right-aligned.
        let right: Vec<bool> = (0..self.columns.len())
            .map(|i| {
                !self.rows.is_empty()
                    && self.rows.iter().all(|r| r[i].exact.is_number() || r[i].exact.is_null())
                    && self.rows.iter().any(|r| r[i].exact.is_number())
            })
            .collect();
        let mut text = String::new();
        for line in [&heads].into_iter().chain(&lines) {
            let mut printed = String::new();
            for (i, cell) in line.iter().enumerate() {
                let width = widths[i];
                printed.push_str(&if right[i] { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
                printed.push_str("  ");
            }
            text.push_str(printed.trim_end());
            text.push('\n');
        }
        text
    }

    /// The table as a list of objects.
    pub(crate) fn json(&self) -> Value {
        if !self.objects.is_empty() {
            let field = |object: &Value, column: &String| (column.clone(), object.get(column).cloned().unwrap_or_default());
            return match &self.chosen {
                None => Value::Array(self.objects.clone()),
                Some(chosen) => {
                    let only = |object: &Value| Value::Object(chosen.iter().map(|column| field(object, column)).collect());
                    self.objects.iter().map(only).collect()
                }
            };
        }
        let object = |row: &Vec<Cell>| {
            let fields = self.columns.iter().zip(row).map(|(c, cell)| (c.clone(), cell.exact.clone()));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut t = Table::new(["name", "used", "description"]);
        t.rows.push(vec![Cell::text("web01"), Cell::number("1.50G", 1_610_612_736), Cell::text("a\tb")]);
        t.rows.push(vec![Cell::text("db"), Cell::number("12M", 12 << 20), Cell::none()]);
        t
    }

    #[test]
    fn people_and_programs_get_what_they_need() {
        let mut t = table();
        insta::assert_snapshot!(t.text(&ListArgs::default()), @r"
        NAME    USED  DESCRIPTION
        web01  1.50G  a\tb
        db       12M  -
        ");
        t.sort(&ListArgs { ascending: Some("used".into()), ..ListArgs::default() });
        let exact = ListArgs { bare: true, exact: true, ..ListArgs::default() };
        assert_eq!(t.text(&exact), "db\t12582912\t-\nweb01\t1610612736\ta\\tb\n");
        t.only(&["used".into()]);
        assert_eq!(t.json().to_string(), r#"[{"used":12582912},{"used":1610612736}]"#);
    }
}
