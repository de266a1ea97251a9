//! `chyves cloud-init`: the cloud-init documents of guests, and a new instance id for them.

use super::ssh_keys::keys_in;
use crate::session::Session;
use crate::targets::Targets;
use chyves_core::cloudinit::Text;
use chyves_core::error::Result;
use chyves_core::plan;
use chyves_engine::op::{CloudInitChanged, CloudInitReinit, CloudInitSet, CloudInitShow, CloudInitState, CloudInitStatus, Document};
use chyves_host::given_text;
use serde_json::json;
use std::path::PathBuf;

/// See and change the cloud-init configuration of guests
///
/// The settings ci.… define it (`chyves-properties(7)`); each start and each reboot rebuilds the seed from them. A guest applies
/// most of it once per instance ID, which only `reinit` and cloning change. See chyves-cloud-init(8).
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show whether guests are set up by cloud-init, as which instance, and whether they have seen the present settings
    Status {
        /// The guests
        #[arg(required = true, value_name = "GUEST")]
        guests: Vec<String>,
    },
    /// Print the cloud-init documents of a guest's next start; secrets are not shown
    Show {
        /// The guest
        guest: String,
        /// One of meta-data, user-data, network-config, vendor-data; all if none is given
        document: Option<String>,
        /// Decode the parts of user-data that are base64
        #[arg(long)]
        decoded: bool,
    },
    /// Add SSH keys to a guest, or keep the user's own texts with it
    ///
    /// Keys are added to those that the guest has, as settings ci.key0, ci.key1 and so on; a guest without cloud-init is set up by it
    /// from then on.
    ///
    /// Your own user-data is merged after that of the settings and takes precedence. Your own network-config replaces that of the
    /// settings. Both are stored in the folder cloud-init of the guest's file system, and are part of its snapshots, clones and
    /// streams. A malformed text, or one that the program which reads the seed in the guest (property ci.reader) would ignore, is
    /// refused.
    Set {
        /// The guest
        guest: String,
        /// Add this public key for SSH logins: a file .pub, - for standard input, or the key itself; may be given several times
        #[arg(short = 'k', long, value_name = "FILE")]
        ssh_key: Vec<String>,
        #[command(flatten)]
        texts: Texts,
        /// Remove the user's user-data
        #[arg(long, conflicts_with = "user_data")]
        no_user_data: bool,
        /// Remove the user's vendor-data
        #[arg(long, conflicts_with = "vendor_data")]
        no_vendor_data: bool,
        /// Remove the user's network configuration
        #[arg(long, conflicts_with = "network_config")]
        no_network_config: bool,
    },
    /// Let cloud-init treat guests as new instances at their next start: host keys, users, first-boot scripts, once more
    Reinit {
        /// The guests
        #[arg(required = true, value_name = "GUEST")]
        guests: Vec<String>,
    },
}

/// Files of the user's own, as options of several commands.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Texts {
    /// Your own user-data: a file, or - for standard input, that begins with #cloud-config, #!/bin/sh or the like
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// Your own vendor-data; user-data takes precedence
    #[arg(long, value_name = "FILE")]
    vendor_data: Option<PathBuf>,
    /// Your own network configuration
    #[arg(long, value_name = "FILE")]
    network_config: Option<PathBuf>,
}

impl Texts {
    /// Reads and checks the documents.
    pub(crate) fn read(&self) -> Result<Vec<(Text, String)>> {
        let files = [(Text::UserData, &self.user_data), (Text::VendorData, &self.vendor_data), (Text::NetworkConfig, &self.network_config)];
        let mut texts = Vec::new();
        for (text, file) in files {
            let Some(file) = file else { continue };
            let content = given_text::read(file)?;
            plan::cloud_init::check_text(text, &content, &file.display().to_string())?;
            texts.push((text, content));
        }
        Ok(texts)
    }
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Status { guests } => status(session, guests),
        Verb::Show { guest, document, decoded } => show(session, guest, document.clone(), *decoded),
        Verb::Set { guest, ssh_key, texts, no_user_data, no_vendor_data, no_network_config } => {
            let gone = [(Text::UserData, no_user_data), (Text::VendorData, no_vendor_data), (Text::NetworkConfig, no_network_config)];
            let mut ssh_keys = Vec::new();
            for word in ssh_key {
                ssh_keys.extend(keys_in(word)?.iter().map(ToString::to_string));
            }
            let request = CloudInitSet {
                guests: Targets::parse(&[guest])?,
                ssh_keys,
                texts: texts.read()?.into_iter().map(|(kind, text)| Document { kind, text }).collect(),
                remove: gone.into_iter().filter(|(_, gone)| **gone).map(|(text, _)| text).collect(),
            };
            session.show_each(session.run(&request)?, said)
        }
        Verb::Reinit { guests } => {
            let outcome = session.run(&CloudInitReinit { guests: Targets::parse(guests)? })?;
            session.show_each(outcome, |done| format!("its next start is the first boot of instance {}", done.instance_id))
        }
    }
}

/// What is said of a guest whose configuration was changed.
fn said(changed: &CloudInitChanged) -> String {
    let keys = changed.keys_added.then(|| "SSH keys added".to_owned());
    let documents = (!changed.documents.is_empty()).then(|| format!("set {}", changed.documents.join(", ")));
    keys.into_iter().chain(documents).collect::<Vec<_>>().join("; ")
}

fn show(session: &Session, guest: &str, document: Option<String>, decoded: bool) -> Result<()> {
    let request = CloudInitShow { guest: guest.parse()?, document, decoded };
    let Some(documents) = session.run(&request)?.answer else { return Ok(()) };
    if session.ui.json {
        session.ui.answer_json(json!(documents));
        return Ok(());
    }
    if documents.values().any(|text| text.contains("\nContent-Transfer-Encoding: base64\n")) {
        session.ui.say(&format!("user-data has parts in base64: `chyves cloud-init show {guest} user-data --decoded` shows them as text"));
    }
    let alone = documents.len() == 1;
    let text = |(name, text): (&String, &String)| if alone { text.clone() } else { format!("# ---- {name}\n{text}") };
    session.ui.answer(&documents.iter().map(text).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn status(session: &Session, guests: &[String]) -> Result<()> {
    let outcome = session.run(&CloudInitStatus { guests: Targets::parse(guests)? })?;
    let all = outcome.answer.unwrap_or_default();
    if session.ui.json {
        session.ui.answer_json(json!(all));
    } else {
        session.ui.answer(&all.iter().map(words).collect::<String>());
    }
    outcome.problem.map_or(Ok(()), Err)
}

/// The state of a guest's seed in words.
fn words(one: &CloudInitState) -> String {
    let name = &one.guest;
    let (Some(instance), Some(hostname)) = (&one.instance_id, &one.hostname) else {
        return format!("{name}: not set up by cloud-init; `chyves set {name} ci.enabled=yes` enables it\n");
    };
    let seen = match one.current {
        Some(true) => "it runs with the seed of the present settings",
        Some(false) => "it runs with an older seed; its next start or reboot rebuilds it",
        None if one.state.is_alive() => "it runs without a seed; its next start or reboot creates one",
        None => "its next start makes the seed",
    };
    format!(
        "{name}: instance {instance}, host name {hostname}\n  {seen}\n  what is done once an instance (host keys, users, scripts) is \
         done again after `chyves cloud-init reinit {name}`, and in a clone\n"
    )
}
