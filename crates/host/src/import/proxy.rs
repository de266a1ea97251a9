//! Proxies from the environment: `http_proxy` for `http:`, `https_proxy` for `https:`, `all_proxy` for both, and `no_proxy`.
//!
//! `https:` uses a tunnel, which the HTTP crate makes. It would use one for `http:` too, which most proxies refuse: there the
//! request line contains the whole address, so the request is sent to the proxy and its first line is completed.

use base64::Engine as _;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Proxy};

/// How an address is reached.
#[derive(Debug, Clone, Default)]
pub(super) struct Way {
    /// The proxy that makes a tunnel.
    pub(super) tunnel: Option<Proxy>,
    /// The proxy to which the request is sent.
    pub(super) forward: Option<Forward>,
}

/// A forwarding proxy.
#[derive(Debug, Clone)]
pub(super) struct Forward {
    place: Uri,
    /// The text before the path in the request line: `http://host:port`.
    pub(super) prefix: String,
    /// The authorization header for the proxy.
    pub(super) login: Option<String>,
}

/// How an address is reached, according to the environment.
pub(super) fn way(address: &str) -> Way {
    by(address, |name| {
        let value = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        value(name).or_else(|| value(&name.to_ascii_uppercase()))
    })
}

fn by(address: &str, env: impl Fn(&str) -> Option<String>) -> Way {
    let Ok(uri) = address.parse::<Uri>() else { return Way::default() };
    let safe = uri.scheme_str() == Some("https");
    let Some(text) = env(if safe { "https_proxy" } else { "http_proxy" }).or_else(|| env("all_proxy")) else { return Way::default() };
    let Ok(proxy) = Proxy::new(&text) else { return Way::default() };
    if uri.host().is_some_and(|host| env("no_proxy").is_some_and(|list| excepts(&list, host))) {
        return Way::default();
    }
    if safe || proxy.uri().scheme_str() != Some("http") {
        return Way { tunnel: Some(proxy), forward: None };
    }
    let (Some(authority), Ok(place)) = (uri.authority(), format!("http://{}:{}/", proxy.host(), proxy.port()).parse()) else {
        return Way::default();
    };
    let login = proxy.username().map(|user| {
        let login = format!("{user}:{}", proxy.password().unwrap_or_default());
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
    });
    Way { tunnel: None, forward: Some(Forward { place, prefix: format!("http://{authority}"), login }) }
}

/// Whether a host is excluded from using the proxy: by name, by domain, or all of them.
fn excepts(list: &str, host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    list.split(',').map(|entry| entry.trim().trim_start_matches('*').to_ascii_lowercase()).any(|entry| {
        let domain = entry.trim_start_matches('.');
        (entry.is_empty() && list.contains('*')) || (!domain.is_empty() && (host == domain || host.ends_with(&format!(".{domain}"))))
    })
}

/// Resolves the host of an address, or the proxy's.
#[derive(Debug, Default)]
pub(super) struct Places {
    inner: DefaultResolver,
    forward: Option<Forward>,
}

impl Places {
    pub(super) fn new(forward: Option<Forward>) -> Self {
        Self { inner: DefaultResolver::default(), forward }
    }
}

impl Resolver for Places {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.inner.resolve(self.forward.as_ref().map_or(uri, |f| &f.place), config, timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(address: &str, env: &[(&str, &str)]) -> String {
        let way = by(address, |name| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned()));
        match (way.tunnel, way.forward) {
            (None, None) => "direct".into(),
            (Some(tunnel), None) => format!("tunnel {}:{}", tunnel.host(), tunnel.port()),
            (_, Some(f)) => format!("{} {} {}", f.place, f.prefix, f.login.unwrap_or_default()),
        }
    }

    #[test]
    fn the_environment_says_the_way() {
        let both = [("http_proxy", "http://u:p@p:3128"), ("https_proxy", "s:443"), ("no_proxy", "localhost, .intern.example")];
        assert_eq!(ways("http://h:81/x", &both), "http://p:3128/ http://h:81 Basic dTpw");
        assert_eq!(ways("https://h/x", &both), "tunnel s:443");
        assert_eq!(ways("http://localhost/x", &both), "direct");
        assert_eq!(ways("https://a.intern.example/x", &both), "direct");
        assert_eq!(ways("https://intern.example/x", &both), "direct");
        assert!(ways("http://notintern.example/x", &both).starts_with("http://p"));
        assert_eq!(ways("https://h/x", &[("all_proxy", "http://a:1")]), "tunnel a:1");
        assert_eq!(ways("https://h/x", &[("all_proxy", "http://a:1"), ("no_proxy", "*")]), "direct");
        assert_eq!(ways("https://h/x", &[("http_proxy", "http://a:1")]), "direct");
    }
}
