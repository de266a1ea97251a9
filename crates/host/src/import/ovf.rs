//! The settings that the description of an appliance (OVF) requests, as far as guests have them.
//!
//! They are not applied but shown, and the user decides. So the few elements are found by their names, without an XML parser.

/// Size limit of a description, in bytes.
pub(super) const LIMIT: u64 = 1 << 20;

/// The most settings that are shown; no description of a usable VM has more.
const MOST: usize = 40;

/// The settings, as `key=value`, each once.
pub(super) fn asks(text: &str) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let mut all = requested(text);
    all.retain(|setting| seen.insert(setting.clone()));
    all.truncate(MOST);
    all
}

fn requested(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut nics = 0;
    for item in text.split("Item>").map(|item| item.split("</").collect::<Vec<_>>().join("<")) {
        let number = |name: &str| value(&item, name).and_then(|v| v.trim().parse::<u64>().ok());
        match (number("ResourceType"), number("VirtualQuantity")) {
            (Some(3), Some(n)) if n > 0 && n < 1024 => all.push(format!("cpu={n}")),
            (Some(4), Some(n)) if n > 0 && n < 1 << 30 => {
                let units = value(&item, "AllocationUnits").unwrap_or_default();
                all.push(if units.contains("2^30") || units.contains("GigaBytes") { format!("ram={n}G") } else { format!("ram={n}M") });
            }
            (Some(10), _) => {
                let kind = value(&item, "ResourceSubType").unwrap_or_default().to_ascii_lowercase();
                all.push(format!("net{nics}.model={}", if kind.contains("e1000") { "e1000" } else { "virtio-net" }));
                nics += 1;
            }
            _ => {}
        }
    }
    let lower = text.to_ascii_lowercase();
    if lower.contains("firmware\" vmw:value=\"efi") || lower.contains("<firmware type=\"efi") {
        all.push("loader=uefi".into());
    }
    if lower.contains("<ovf:operatingsystemsection") || lower.contains("<operatingsystemsection") {
        let os = ["windows", "freebsd", "openbsd", "netbsd", "linux", "ubuntu", "debian"].into_iter().find(|os| lower.contains(os));
        all.extend(os.map(|os| format!("os={}", if os == "ubuntu" { "linux" } else { os })));
    }
    all
}

/// The text of the element with that name, whatever its namespace prefix is.
fn value<'t>(item: &'t str, name: &str) -> Option<&'t str> {
    let at = item.find(&format!("{name}>"))? + name.len() + 1;
    item[at..].split('<').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_memory_and_interfaces_are_found() {
        let item = |kind: u8, quantity: &str, more: &str| {
            format!(
                "<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>{more}<rasd:ResourceType>{kind}</rasd:ResourceType><rasd:VirtualQuantity>{quantity}</rasd:VirtualQuantity></Item>"
            )
        };
        let text = [
            item(3, "2", ""),
            item(4, "2048", ""),
            item(10, "1", "<rasd:ResourceSubType>E1000</rasd:ResourceSubType>"),
            "<OperatingSystemSection><Description>FreeBSD 64-bit</Description></OperatingSystemSection>".into(),
        ]
        .concat();
        assert_eq!(asks(&text), ["cpu=2", "ram=2048M", "net0.model=e1000", "os=freebsd"]);
        assert_eq!(asks(&item(3, "2", "").repeat(20_000)), ["cpu=2"]);
        assert_eq!(asks(&item(10, "1", "").repeat(20_000)).len(), MOST);
        assert!(asks("").is_empty() && asks("<Item><ResourceType>3</ResourceType></Item>").is_empty());
    }
}
