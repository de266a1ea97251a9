//! ngctl(8): nodes of netgraph are made, named, connected, told something and shown; one command, or a file of them.
//! Not its job: what a node takes; see `graph`.

use std::io::Read as _;

use crate::exit::{Done, Or, exit};
use crate::graph::{self, Errno, Open};
use crate::place::Place;
use crate::tool::load;

/// `EX_OSERR` and `EX_USAGE`, by which it ends.
const FAILED: u8 = 71;
const USAGE: u8 = 64;

/// Its commands with their other names, as far as the lab has them. Any beginning of one will do that no other has.
const COMMANDS: &[(&str, &[&str])] = &[
    ("connect", &["join"]),
    ("list", &["ls"]),
    ("mkpeer", &[]),
    ("msg", &["cmd"]),
    ("name", &[]),
    ("rmhook", &["disconnect"]),
    ("show", &["inquire", "info"]),
    ("shutdown", &["kill", "rmnode"]),
    ("quit", &["exit"]),
];

/// What a command comes to.
enum End {
    Done,
    Quit,
}

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    // The library loads it; only where that is not allowed there is no netgraph.
    if !place.has_module("ng_socket")? && load(place, "ng_socket")?.is_err() {
        return exit(FAILED, "ngctl: can't create node: Protocol not supported");
    }
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (file, words) = match words[..] {
        ["-f", file, ..] => (Some(file), &words[2..]),
        _ => (None, &words[..]),
    };
    let mut open = graph::open(place)?;
    let own = open.socket(&format!("ngctl{}", std::process::id()));
    let done = match (file, words) {
        (None, []) => exit(USAGE, "ngctl: no command specified\nusage: ngctl [-d] [-f file] [-n name] [command ...]"),
        (Some(file), []) => read_file(&mut open, own, file),
        (_, words) => command(&mut open, own, words).map(drop),
    };
    // The process ends, and its node with it, whatever it came to.
    open.forget(own)?;
    open.close()?;
    done
}

fn read_file(open: &mut Open<'_>, own: u32, file: &str) -> Done {
    let mut text = String::new();
    match file {
        "-" => std::io::stdin().read_to_string(&mut text).or_broken("standard input").map(drop)?,
        _ => match std::fs::read_to_string(file) {
            Ok(read) => text = read,
            Err(_) => return exit(66, format!("ngctl: {file}: No such file or directory")),
        },
    }
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match command(open, own, &words) {
            Ok(End::Done) => {}
            Ok(End::Quit) => return Ok(()),
            Err(end) => return exit(end.status, format!("{}\nngctl: line {}: error in file", end.text, number + 1)),
        }
    }
    Ok(())
}

fn command(open: &mut Open<'_>, own: u32, words: &[&str]) -> Done<End> {
    let [word, rest @ ..] = words else { return Ok(End::Done) };
    let begins = |name: &&str| name.len() >= word.len() && name[..word.len()].eq_ignore_ascii_case(word);
    let found: Vec<&str> =
        COMMANDS.iter().filter(|(name, others)| begins(name) || others.iter().any(begins)).map(|(name, _)| *name).collect();
    let [name] = found[..] else {
        let what = if found.is_empty() { "unknown" } else { "ambiguous" };
        return exit(FAILED, format!("ngctl: \"{word}\": {what} command"));
    };
    if name == "quit" {
        return Ok(End::Quit);
    }
    one(open, own, name, rest).map(|()| End::Done)
}

fn one(open: &mut Open<'_>, own: u32, name: &str, rest: &[&str]) -> Done {
    let fail = |errno: Errno| exit(FAILED, format!("ngctl: send msg: {}", errno.text()));
    let usage = |text: &str| exit(USAGE, format!("ngctl: usage: {text}"));
    let said = |answer: graph::Answer| answer.map_or_else(fail, Ok);
    // A path that is left away is the process's own node.
    let (path, words) = match (name, rest) {
        ("mkpeer" | "connect", [_, _, _]) | ("rmhook", [_]) => (".", rest),
        (_, [path, words @ ..]) => (*path, words),
        (_, []) => ("", rest),
    };
    let at = |open: &Open<'_>| open.find(own, path);
    match (name, words) {
        ("list", _) => list(open, rest),
        ("show", _) => match rest {
            ["-n", path] | [path] => match open.find(own, path) {
                Ok(id) => {
                    show(open, id, rest.len() == 1);
                    Ok(())
                }
                Err(errno) => fail(errno),
            },
            _ => usage("show [-n] <path>"),
        },
        ("mkpeer", [kind, hook, peer_hook]) => match at(open) {
            Ok(id) => open.make_peer(id, kind, hook, peer_hook)?.map(drop).map_or_else(fail, Ok),
            Err(errno) => fail(errno),
        },
        ("connect", [relative, hook, peer_hook]) => match at(open).and_then(|id| Ok((id, open.find(id, relative)?))) {
            Ok((id, peer)) => said(open.connect(id, peer, hook, peer_hook)?),
            Err(errno) => fail(errno),
        },
        ("name", [new]) => match at(open) {
            Ok(id) => said(open.name(id, new)),
            Err(errno) => fail(errno),
        },
        ("rmhook", [hook]) => match at(open) {
            Ok(id) => open.remove_hook(id, hook),
            Err(errno) => fail(errno),
        },
        ("msg", [word, more @ ..]) => match at(open) {
            Ok(id) => match open.message(id, word, more)? {
                Ok(None) => Ok(()),
                Ok(Some(answer)) => {
                    println!("Rec'd response \"{word}\" (1) from \"[{id:x}]:\":\nArgs:\t{answer}");
                    Ok(())
                }
                Err(errno) => fail(errno),
            },
            Err(errno) => fail(errno),
        },
        ("shutdown", []) if !path.is_empty() => match at(open) {
            Ok(id) => open.shut_down(id),
            Err(errno) => exit(FAILED, format!("ngctl: shutdown: {}", errno.text())),
        },
        ("mkpeer", _) => usage("mkpeer [path] <type> <hook> <peerhook>"),
        ("connect", _) => usage("connect [path] <relpath> <hook> <peerhook>"),
        ("name", _) => usage("name <path> <name>"),
        ("rmhook", _) => usage("rmhook [path] <hook>"),
        ("msg", _) => usage("msg path command [args ... ]"),
        _ => usage("shutdown <path>"),
    }
}

fn list(open: &Open<'_>, options: &[&str]) -> Done {
    if options.iter().any(|o| !["-l", "-n", "-ln", "-nl"].contains(o)) {
        return exit(USAGE, "ngctl: usage: list [-ln]");
    }
    let has = |letter: char| options.iter().any(|o| o.contains(letter));
    let nodes: Vec<u32> = open.graph.nodes.iter().filter(|n| !has('n') || !n.name.is_empty()).map(|n| n.id).collect();
    println!("There are {} total {}nodes:", nodes.len(), if has('n') { "named " } else { "" });
    for (at, id) in nodes.iter().enumerate() {
        if has('l') && at > 0 {
            println!();
        }
        show(open, *id, has('l'));
    }
    Ok(())
}

fn show(open: &Open<'_>, id: u32, with_hooks: bool) {
    let Some(node) = open.node(id) else { return };
    let name = |name: &str| if name.is_empty() { "<unnamed>".to_owned() } else { name.to_owned() };
    let hooks = open.hooks(id);
    println!("  Name: {:<15} Type: {:<15} ID: {:08x}   Num hooks: {}", name(&node.name), node.kind, node.id, hooks.len());
    if !with_hooks || hooks.is_empty() {
        return;
    }
    let row = |words: [&str; 5]| println!("  {:<15} {:<15} {:<12} {:<15} {:<15}", words[0], words[1], words[2], words[3], words[4]);
    row(["Local hook", "Peer name", "Peer type", "Peer ID", "Peer hook"]);
    row(["----------", "---------", "---------", "-------", "---------"]);
    for (own, peer, hook) in hooks {
        if let Some(peer) = open.node(peer) {
            row([&own, &name(&peer.name), &peer.kind, &format!("{:08x}", peer.id), &hook]);
        }
    }
}
