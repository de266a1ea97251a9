//! Parses the user's YAML into a tree that can be merged and written again.
//!
//! A scalar keeps its text and whether it was quoted, so that the written form means the same to every reader, whichever
//! words it accepts as booleans. Input from pools or users is limited: aliases are expanded within bounds.

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write as _};

/// Maximum number of values, with aliases expanded.
const MOST_NODES: usize = 50_000;
/// Maximum number of bytes in scalars, with aliases expanded.
const MOST_BYTES: usize = 4 << 20;
/// Maximum nesting depth.
const DEEPEST: usize = 100;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    tag: Option<String>,
    /// Its content.
    pub content: Content,
}

/// The content of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A scalar; an unquoted one may be a number, a boolean or null.
    Scalar {
        /// The text.
        text: String,
        /// Whether it was unquoted.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in order.
    Map(Vec<(Node, Node)>),
}

/// An error in a text, with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadYaml {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The error.
    pub why: String,
}

impl fmt::Display for BadYaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.why)
    }
}

impl Node {
    /// A text, which is written in quotes.
    pub fn text(text: impl fmt::Display) -> Self {
        Self { tag: None, content: Content::Scalar { text: text.to_string(), plain: false } }
    }

    /// A number, a boolean, or a key: written unquoted.
    pub fn plain(text: impl fmt::Display) -> Self {
        Self { tag: None, content: Content::Scalar { text: text.to_string(), plain: true } }
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self { tag: None, content: Content::List(items.into_iter().collect()) }
    }

    /// A mapping.
    pub fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self { tag: None, content: Content::Map(pairs.into_iter().map(|(key, value)| (Self::plain(key), value)).collect()) }
    }

    /// The text of a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.content {
            Content::List(items) => Some(items),
            Content::Scalar { .. } | Content::Map(_) => None,
        }
    }

    /// The pairs of a mapping.
    pub fn pairs(&self) -> Option<&[(Self, Self)]> {
        match &self.content {
            Content::Map(pairs) => Some(pairs),
            Content::Scalar { .. } | Content::List(_) => None,
        }
    }

    /// The value of a key; the last one if the key occurs twice, as in every reader.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.pairs()?.iter().rev().find(|(k, _)| k.as_text() == Some(key)).map(|(_, value)| value)
    }

    /// Removes a key of a mapping and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        let found = self.get(key).cloned();
        if let Content::Map(pairs) = &mut self.content {
            pairs.retain(|(k, _)| k.as_text() != Some(key));
        }
        found
    }

    /// Sets a key of a mapping, at its present position if it exists.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Content::Map(pairs) = &mut self.content {
            match pairs.iter_mut().rev().find(|(k, _)| k.as_text() == Some(key)) {
                Some((_, there)) => *there = value,
                None => pairs.push((Self::plain(key), value)),
            }
        }
    }

    fn is_empty(&self) -> bool {
        match &self.content {
            Content::Scalar { .. } => false,
            Content::List(items) => items.is_empty(),
            Content::Map(pairs) => pairs.is_empty(),
        }
    }

    /// The value as YAML text with a final line break.
    pub fn render(&self) -> String {
        if matches!(self.content, Content::Scalar { .. }) || self.is_empty() {
            return format!("{}\n", self.inline(0));
        }
        self.block(0)
    }

    /// A non-empty collection with one item on each line.
    fn block(&self, indent: usize) -> String {
        let mut text = String::new();
        let blanks = " ".repeat(indent);
        match &self.content {
            Content::Scalar { .. } => {}
            Content::List(items) => {
                for item in items {
                    if matches!(item.content, Content::Scalar { .. }) || item.is_empty() || item.tag.is_some() {
                        let _ = writeln!(text, "{blanks}- {}", item.value(indent));
                    } else {
                        // The first line of the item follows the dash.
                        let _ = write!(text, "{blanks}- {}", item.block(indent + 2).trim_start());
                    }
                }
            }
            Content::Map(pairs) => {
                for (key, value) in pairs {
                    let value = value.value(indent);
                    let gap = if value.starts_with('\n') { "" } else { " " };
                    let _ = writeln!(text, "{blanks}{}:{gap}{value}", key.inline(indent));
                }
            }
        }
        text
    }

    /// The text after a key or a dash, without the final line break.
    fn value(&self, indent: usize) -> String {
        if matches!(self.content, Content::Scalar { .. }) || self.is_empty() {
            return self.inline(indent);
        }
        let tag = self.tag.as_ref().map(|tag| format!(" {tag}")).unwrap_or_default();
        format!("{tag}\n{}", self.block(indent + 2).trim_end_matches('\n'))
    }

    fn inline(&self, indent: usize) -> String {
        let text = match &self.content {
            Content::List(_) => "[]".to_owned(),
            Content::Map(_) => "{}".to_owned(),
            Content::Scalar { text, plain: true } if text.is_empty() => "null".to_owned(),
            Content::Scalar { text, plain: true } if !text.contains('\n') => text.clone(),
            Content::Scalar { text, .. } if self.tag.is_none() && is_literal(text) => literal(text, indent + 2),
            Content::Scalar { text, .. } => quoted(text),
        };
        self.tag.as_ref().map(|tag| format!("{tag} {text}")).unwrap_or(text)
    }
}

/// Whether a text of several lines can be written as a literal block and is read back unchanged.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let fits = |c: char| c == '\n' || c == '\t' || !(c.is_control() || matches!(c, '\u{feff}' | '\u{85}' | '\u{2028}' | '\u{2029}'));
    body.contains('\n') && !body.starts_with([' ', '\n', '\t']) && !body.ends_with('\n') && body.chars().all(fits)
}

fn literal(text: &str, indent: usize) -> String {
    let mark = if text.ends_with('\n') { "|" } else { "|-" };
    let blanks = " ".repeat(indent);
    let lines = text.lines().map(|line| if line.is_empty() { String::new() } else { format!("{blanks}{line}") });
    format!("{mark}\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// A text in double quotes, with control characters and line separators escaped, so that every YAML reader accepts it.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Parses a text with one document; `None` if it is empty.
///
/// # Errors
/// It is not YAML, or exceeds the limits after expanding aliases.
pub fn parse(text: &str) -> Result<Option<Node>, BadYaml> {
    let mut reading = Reading::default();
    let mut documents = 0;
    for event in Parser::new_from_str(text).keep_tags(true) {
        let (event, span) =
            event.map_err(|e| BadYaml { line: e.marker().line(), column: e.marker().col() + 1, why: e.info().to_owned() })?;
        let bad = |why: &str| BadYaml { line: span.start.line(), column: span.start.col() + 1, why: why.to_owned() };
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(bad("a second document begins here; readers take one"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let content = Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                reading.add(Node { tag: tag_text(tag.as_ref()), content }, anchor).map_err(bad)?;
            }
            Event::Alias(anchor) => {
                let node = reading.anchors.get(&anchor).cloned().ok_or_else(|| bad("an alias of the value that it is in"))?;
                reading.spend(&node).map_err(bad)?;
                reading.put(node).map_err(bad)?;
            }
            Event::SequenceStart(anchor, tag) => reading.open(Content::List(Vec::new()), anchor, tag_text(tag.as_ref())).map_err(bad)?,
            Event::MappingStart(anchor, tag) => reading.open(Content::Map(Vec::new()), anchor, tag_text(tag.as_ref())).map_err(bad)?,
            Event::SequenceEnd | Event::MappingEnd => reading.close().map_err(bad)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
    // An empty document is one unquoted scalar without text.
    Ok(reading.root.filter(|node| !matches!(&node.content, Content::Scalar { text, plain: true } if text.is_empty())))
}

/// A tag as it is written; the tag of plain strings is left out.
fn tag_text(tag: Option<&Cow<'_, Tag>>) -> Option<String> {
    let tag = tag?;
    Some(if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { format!("{}{}", tag.handle, tag.suffix) })
}

/// A collection that is being parsed.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<Node>,
}

#[derive(Default)]
struct Reading {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
}

impl Reading {
    fn open(&mut self, content: Content, anchor: usize, tag: Option<String>) -> Result<(), &'static str> {
        if self.open.len() >= DEEPEST {
            return Err("it is nested too deeply");
        }
        self.count(0)?;
        self.open.push(Open { node: Node { tag, content }, anchor, key: None });
        Ok(())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let Some(Open { node, anchor, .. }) = self.open.pop() else { return Ok(()) };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), &'static str> {
        self.count(node.as_text().map_or(0, str::len))?;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    /// Adds a value to the enclosing collection. Everything in it has been counted.
    fn put(&mut self, node: Node) -> Result<(), &'static str> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.content, open.key.take()) {
            (Content::List(items), _) => items.push(node),
            (Content::Map(pairs), Some(key)) => pairs.push((key, node)),
            (Content::Map(_), None) if node.as_text().is_some() => open.key = Some(node),
            (Content::Map(_), None) => return Err("a key is a list or a mapping, which no reader takes"),
            (Content::Scalar { .. }, _) => {}
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.nodes += 1;
        self.bytes += bytes;
        if self.nodes > MOST_NODES || self.bytes > MOST_BYTES {
            return Err("it is too large once its aliases are expanded");
        }
        Ok(())
    }

    /// Counts the value that an alias refers to.
    fn spend(&mut self, node: &Node) -> Result<(), &'static str> {
        self.count(node.as_text().map_or(0, str::len))?;
        match &node.content {
            Content::Scalar { .. } => Ok(()),
            Content::List(items) => items.iter().try_for_each(|item| self.spend(item)),
            Content::Map(pairs) => pairs.iter().try_for_each(|(key, value)| self.spend(key).and_then(|()| self.spend(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> String {
        parse(text).unwrap().unwrap().render()
    }

    #[test]
    fn what_is_written_again_means_the_same() {
        insta::assert_snapshot!(again(
            "a: &x [1, 'yes', yes, \"#no\"]\nb: *x\nc: {d: {}, e: [], f: ~, g: }\nh: |\n  one\n\n   two\ni: >-\n  folded\n  line\nj:\n- - x\n  - y: 1\n    z: 2\nk: !!binary aGk=\n\"l:m\": 'it''s'\nn: \"\\u0007\\x85\"\n"
        ));
        for text in ["a: 1\n", "- a\n- b: [x, {y: z}]\n", "a: \"1\"\nb: \"\\n\\n x\"\nc: |+\n  x\n\n", "a: plain\n  folded\n"] {
            let once = parse(text).unwrap().unwrap();
            assert_eq!(again(&once.render()), once.render(), "{text}");
        }
    }

    #[test]
    fn broken_texts_are_reported_with_their_line() {
        for (text, line) in
            [("a: [1\nb: 2\n", 2), ("a: 1\n b: 2\n", 2), ("a: 'x\n", 2), ("a: *x\n", 1), ("a: 1\n---\nb: 2\n", 2), ("a: @x\n", 1)]
        {
            let bad = parse(text).unwrap_err();
            assert!(bad.line.abs_diff(line) <= 1, "{text}: {bad}");
        }
        assert_eq!(parse("# nothing\n").unwrap(), None);
        assert_eq!(parse("").unwrap(), None);
        assert!(parse("? [a, b]\n: 1\n").unwrap_err().why.contains("key"));
        assert!(parse("a: &a [*a]\n").is_err());
    }

    #[test]
    fn a_bomb_is_refused_before_it_grows() {
        let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for n in 1..12 {
            let refs = vec![format!("*a{}", n - 1); 9].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{refs}]\n"));
        }
        assert!(parse(&text).unwrap_err().why.contains("too large"));
        assert!(parse(&"[".repeat(20_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(150), "]".repeat(150))).unwrap_err().why.contains("nested"));
        let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 100].join(", "));
        assert!(parse(&long).unwrap_err().why.contains("too large"));
    }
}
