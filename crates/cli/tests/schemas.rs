//! What `--json` prints is the answer of an operation: nothing is put together by hand, so it has what its schema states.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, networks, stream};
use serde_json::Value;

/// What a schema refers to.
fn target<'s>(schema: &'s Value, root: &'s Value) -> Option<&'s Value> {
    schema["$ref"].as_str().map(|reference| &root["$defs"][reference.rsplit('/').next().unwrap()])
}

/// All fields that a schema has for an object, those of its parts and alternatives included.
fn known<'s>(schema: &'s Value, root: &'s Value) -> Vec<&'s str> {
    let own = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let lists = ["anyOf", "oneOf", "allOf"].into_iter().flat_map(|list| schema[list].as_array().into_iter().flatten());
    own.chain(lists.chain(target(schema, root)).flat_map(|part| known(part, root))).collect()
}

/// Where a value is not what a schema states; `root` has its definitions. An object has no other fields than those of the schema,
/// although JSON Schema would permit them.
fn mismatch(value: &Value, schema: &Value, root: &Value, at: &str) -> Option<String> {
    let open = schema["additionalProperties"].is_object() || target(schema, root).is_some_and(|of| of["additionalProperties"].is_object());
    let all = known(schema, root);
    let unknown = |key: &&String| !open && !all.is_empty() && !all.contains(&key.as_str());
    if let Some(key) = value.as_object().into_iter().flatten().map(|(key, _)| key).find(unknown) {
        return Some(format!("{at} has {key}, which its schema does not"));
    }
    part(value, schema, root, at)
}

/// As [`mismatch`], for a schema that may describe only some fields of an object.
fn part(value: &Value, schema: &Value, root: &Value, at: &str) -> Option<String> {
    let is_not = |what: &str| Some(format!("{at} is not {what}: {value}"));
    if let Some(why) = target(schema, root).and_then(|of| part(value, of, root, at)) {
        return Some(why);
    }
    if let Some(expected) = schema.get("const").filter(|expected| *expected != value) {
        return is_not(&expected.to_string());
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        return is_not(&format!("one of {words:?}"));
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{at}: {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        return is_not(&types.join(" or "));
    }
    for list in ["anyOf", "oneOf"] {
        let Some(each) = schema[list].as_array() else { continue };
        let why: Vec<String> = each.iter().filter_map(|one| part(value, one, root, at)).collect();
        if why.len() == each.len() {
            return Some(why.join("; or "));
        }
    }
    if let Some(key) = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).find(|key| value.get(key).is_none()) {
        return Some(format!("{at} has no {key}: {value}"));
    }
    let items = value.as_array().into_iter().flatten().enumerate();
    let mut items = items.filter_map(|(i, one)| mismatch(one, schema.get("items")?, root, &format!("{at}[{i}]")));
    let fields = schema["properties"].as_object().into_iter().flatten();
    let mut fields = fields.filter_map(|(key, of)| mismatch(value.get(key)?, of, root, &format!("{at}.{key}")));
    let mut all = schema["allOf"].as_array().into_iter().flatten();
    items.next().or_else(|| fields.next()).or_else(|| all.find_map(|one| part(value, one, root, at)))
}

/// Checks what an operation has answered.
fn check(host: &Host, operation: &str, answer: &Value) {
    let schema = host.ok(&format!("dev schema {operation}")).json()["answer"].clone();
    if let Some(why) = mismatch(answer, &schema, &schema, "answer") {
        panic!("{operation}: {why}\n{answer}");
    }
    assert!(answer.as_array().is_none_or(|all| !all.is_empty()), "{operation}: an empty answer shows nothing");
}

/// Runs a command, and checks its answer.
fn answer(host: &Host, operation: &str, line: &str) -> Value {
    let answer = host.ok(&format!("{line} --json --yes")).json();
    check(host, operation, &answer);
    answer
}

#[test]
fn a_wrong_answer_is_noticed() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "properties": { "a": { "type": ["integer", "null"] }, "b": { "$ref": "#/$defs/B" } },
        "$defs": { "B": { "oneOf": [{ "const": "x" }, { "const": "y" }] } },
    });
    let is = |value: Value| mismatch(&value, &schema, &schema, "it");
    assert_eq!(is(serde_json::json!({ "a": 1, "b": "y" })), None);
    assert_eq!(is(serde_json::json!({ "a": null })), None);
    for wrong in ["{}", r#"{"a":"1"}"#, r#"{"a":1,"b":"z"}"#, r#"{"a":1,"c":1}"#, "[]"] {
        assert!(is(serde_json::from_str(wrong).unwrap()).is_some(), "{wrong}");
    }
}

#[test]
fn answers_about_guests_and_images_have_their_schemas() {
    let Some(host) = Host::new("schemas::guests", With::Image) else { return };
    std::fs::write(host.work().join("d.raw"), vec![7; 64 << 10]).unwrap();
    let imported = answer(&host, "image-import", "image import d.raw --name d");
    assert_eq!((&imported[0]["done"], &imported[0]["image"]["size"]), (&"imported".into(), &(64 << 10).into()));
    answer(&host, "image-list", "image list");
    answer(&host, "image-info", "image info d");
    answer(&host, "image-verify", "image verify d");
    answer(&host, "image-rename", "image rename d e");
    answer(&host, "image-delete", "image delete e");
    answer(&host, "catalogue-list", "image catalogue");
    answer(&host, "catalogue-status", "image catalogue status");
    answer(&host, "property-list", "list properties");
    answer(&host, "guest-create", "create web --image small ci.enabled=yes");
    answer(&host, "guest-list", "list");
    answer(&host, "guest-info", "info web");
    answer(&host, "setting-get", "get web ram");
    answer(&host, "guest-set", "set web ram=64M");
    let status = answer(&host, "cloud-init-status", "cloud-init status web");
    assert_eq!((&status[0]["enabled"], &status[0]["current"]), (&true.into(), &Value::Null));
    std::fs::write(host.work().join("text"), "#cloud-config\npackages: [nginx]\n").unwrap();
    let set = answer(&host, "cloud-init-set", "cloud-init set web --user-data text");
    assert_eq!(set[0]["documents"], serde_json::json!(["user-data"]));
    answer(&host, "cloud-init-show", "cloud-init show web");
    answer(&host, "cloud-init-reinit", "cloud-init reinit web");
    answer(&host, "disk-add", "disk add web --size 1M --kind raw");
    answer(&host, "disk-list", "disk list web");
    answer(&host, "disk-change", "disk remove web disk1");
    answer(&host, "trash-list", "trash list");
    let restored = answer(&host, "guest-undelete", "undelete web:disk1");
    assert_eq!(restored[0]["disk"], 1);
    answer(&host, "guest-delete", "delete web");
    let restored = answer(&host, "guest-undelete", "undelete web");
    assert_eq!(restored[0]["disk"], Value::Null);
    answer(&host, "snapshot-create", "snapshot create web@a");
    answer(&host, "snapshot-list", "snapshot list web");
    stream::done(stream::send(&host, "send web@a", "stream"));
    let from = std::fs::File::open(host.work().join("stream")).unwrap();
    let received = host.command(common::PROGRAM).args(["receive", "--name", "copy", "--json"]).stdin(from).output().unwrap();
    check(&host, "guest-receive", &serde_json::from_slice(&received.stdout).unwrap_or_else(|e| panic!("{e}: {received:?}")));
    let adopted = answer(&host, "guest-adopt", "adopt copy --new-identity --trust");
    assert_eq!(adopted[0]["done"], "adopted");
    answer(&host, "pool-list", "pool list");
    // What a start that was killed leaves.
    let left = format!("{}/chyves/trash/revert-{}", host.pool, host.value("web", "uuid"));
    host.sh("zfs", &["clone", "-o", "canmount=noauto", &format!("{}@a", host.dataset("web")), &left]);
    let foreseen = host.ok("repair -n --json").json();
    assert!(foreseen.to_string().contains("revert-"), "{foreseen}");
    let repaired = answer(&host, "repair", "repair");
    assert_eq!(repaired[0]["done"], "revert-removed");
    // The folder of a guest that is on no pool.
    let stray = host.run_dir().join("8a6e0804-2bd0-4672-b79d-d97027f9071a");
    std::fs::create_dir(&stray).unwrap();
    std::fs::write(stray.join("control"), "").unwrap();
    let reclaimed = answer(&host, "reclaim", "reclaim");
    assert_eq!(reclaimed[0]["removed"][0]["code"], "records", "{reclaimed}");
    answer(&host, "snapshot-delete", "snapshot delete web@a");
}

#[test]
fn answers_about_networks_have_their_schemas() {
    let Some(host) = networks::host("schemas::networks", With::Tiny) else { return };
    let attached = answer(&host, "network-change", "network bridge0 attach em0");
    assert_eq!((&attached[0]["done"], &attached[0]["uplink"]), (&"attached".into(), &"em0".into()));
    let check = |code: i32| host.chyves("network check --json").ends(code).json();
    host.sh("ip", &["link", "set", "dev", "em0", "nomaster"]);
    let differs = check(5);
    let differences = differs["results"].clone();
    self::check(&host, "network-check", &differences);
    assert_eq!((&differences[0]["code"], &differences[0]["by_apply"]), (&"uplink-apart".into(), &true.into()), "{differs}");
    answer(&host, "network-apply", "network apply");
    answer(&host, "network-list", "network list");
    answer(&host, "network-change", "network bridge0 set mtu=1400");
    answer(&host, "network-change", "network bridge0 default");
    host.ok("create web --image tiny");
    let added = answer(&host, "nic-change", "network add web user");
    assert_eq!((&added[0]["done"], &added[0]["nic"]), (&"added".into(), &1.into()));
    answer(&host, "nic-change", "network set web net1 mtu=1400");
    answer(&host, "nic-change", "network remove web net1");
    host.ok("network bridge1 private");
    let moved = answer(&host, "nic-change", "network move web bridge1");
    assert_eq!((&moved[0]["done"], &moved[0]["bridge"]), (&"moved".into(), &"bridge1".into()));
    answer(&host, "network-change", "network bridge0 migrate bridge1");
    let confirmed = answer(&host, "network-confirm", "network confirm");
    assert_eq!(confirmed["confirmed"], false);
    host.ok("network bridge2 private nat=em0 address=10.9.0.1/24 --yes");
    let rules = answer(&host, "network-nat", "network nat bridge2");
    assert_eq!(rules["filter"], "nftables");
    answer(&host, "network-change", "network bridge2 delete");
}
