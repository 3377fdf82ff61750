//! Which URLs an origin may have, and which machines it may lead to.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};
use weft_protocol::{
    diversity::{self, Reach},
    path::RepoPath,
};

/// A folder on a web server.
#[derive(Clone, PartialEq, Eq)]
pub struct Base {
    url: Url,
}

/// Why a text is no base URL. Says nothing of the text itself, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("it is not a URL: {0}")]
    Syntax(url::ParseError),
    /// Neither HTTP nor HTTPS.
    #[error("it begins neither with http:// nor with https://")]
    Scheme,
    /// A query or fragment, to which no path can be appended.
    #[error("it has a query or a fragment")]
    Query,
}

impl Base {
    /// Reads what a user wrote.
    ///
    /// # Errors
    /// If it is no folder on a web server.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text.trim()).map_err(AddressError::Syntax)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(AddressError::Query);
        }
        Ok(Self { url })
    }

    /// The URL of a file: the base, and the path below it (as BEP 19 has it).
    pub(super) fn file(&self, path: &RepoPath) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.components());
        }
        url
    }

    /// Scheme, host and port.
    pub fn name(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Paths and credentials can be secret.
        f.debug_tuple("Base").field(&self.name()).finish()
    }
}

/// A machine that an origin leads to and must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address nearer than the origin's own")]
pub(crate) struct TooNear;

/// Looks names up for one origin, and gives out only addresses that it may lead to.
///
/// The addresses that were checked are the ones that are connected to: there is no second look-up in between.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// How far away the origin itself is. Set once, by the first look-up or by an address in its URL.
    reach: OnceLock<Reach>,
}

impl Guard {
    /// Judges a URL before it is asked: names are judged when they are looked up, addresses here.
    pub(crate) fn check(&self, url: &Url) -> Result<(), TooNear> {
        match url.host() {
            Some(Host::Ipv4(ip)) => self.admit(vec![ip.into()]).map(|_| ()),
            Some(Host::Ipv6(ip)) => self.admit(vec![ip.into()]).map(|_| ()),
            Some(Host::Domain(_)) => Ok(()),
            None => Err(TooNear),
        }
    }

    /// What of `found` may be connected to. The first time, that is the origin itself: the farthest of its
    /// addresses say where it is.
    fn admit(&self, mut found: Vec<IpAddr>) -> Result<Vec<IpAddr>, TooNear> {
        let farthest = found.iter().map(|ip| diversity::reach(*ip)).max();
        let reach = *self.reach.get_or_init(|| farthest.unwrap_or(Reach::World));
        found.retain(|ip| reach.may_name(diversity::reach(*ip)));
        if found.is_empty() {
            Err(TooNear)
        } else {
            Ok(found)
        }
    }
}

/// The guard as the HTTP client wants it.
pub(super) struct GuardedResolver(pub(super) Arc<Guard>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            // Port 0: the client puts in the one of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted = guard.admit(found.map(|address| address.ip()).collect())?;
            let addresses = admitted.into_iter().map(|ip| (ip, 0).into());
            let addresses: Addrs = Box::new(addresses);
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Base {
        Base::parse(text).unwrap()
    }

    fn file(base: &str, path: &str) -> String {
        self::base(base).file(&path.parse().unwrap()).to_string()
    }

    #[test]
    fn path_is_appended_to_the_base() {
        for base in ["http://h/models/tiny", "http://h/models/tiny/"] {
            assert_eq!(file(base, "a/b.bin"), "http://h/models/tiny/a/b.bin");
        }
        assert_eq!(file("https://h", "a.bin"), "https://h/a.bin");
        // A path is a path: nothing in it is a query, a fragment or an escape.
        assert_eq!(
            file("http://h/", "100%/é #1.bin"),
            "http://h/100%25/%C3%A9%20%231.bin"
        );
    }

    #[test]
    fn only_folders_on_web_servers_are_bases() {
        let error = |text: &str| Base::parse(text).unwrap_err();
        assert_eq!(error("file:///etc"), AddressError::Scheme);
        assert_eq!(error("ftp://h/"), AddressError::Scheme);
        assert_eq!(error("http://h/?a=b"), AddressError::Query);
        assert_eq!(error("http://h/#a"), AddressError::Query);
        assert!(matches!(error("models/tiny"), AddressError::Syntax(_)));
        assert!(matches!(error("http://"), AddressError::Syntax(_)));
    }

    #[test]
    fn credentials_and_paths_are_in_no_text_for_people() {
        let base = base("https://user:secret@h:8443/token/");
        assert_eq!(base.name(), "https://h:8443");
        let debug = format!("{base:?}");
        assert!(!debug.contains("secret") && !debug.contains("token"));
    }

    fn check(first: &str, then: &str, allowed: bool) {
        let guard = Guard::default();
        guard.check(&Url::parse(first).unwrap()).unwrap();
        let checked = guard.check(&Url::parse(then).unwrap());
        assert_eq!(checked.is_ok(), allowed, "{first} → {then}");
    }

    #[test]
    fn origin_leads_no_nearer_than_it_is_itself() {
        let (world, site, machine) = ("http://198.51.100.1/", "http://10.0.0.1/", "http://[::1]/");
        check(world, "http://203.0.113.1/", true);
        check(world, site, false);
        check(world, machine, false);
        check(world, "http://169.254.169.254/latest/meta-data", false);
        check(world, "http://[::ffff:127.0.0.1]/", false);
        check(world, "http://0/", false);
        check(site, "http://192.168.1.1/", true);
        check(site, machine, false);
        check(machine, site, true);
    }

    #[test]
    fn name_that_leads_here_and_there_leads_there() {
        let (there, here): (IpAddr, IpAddr) = ([198, 51, 100, 1].into(), [127, 0, 0, 1].into());
        let guard = Guard::default();
        assert_eq!(guard.admit(vec![here, there]), Ok(vec![there]));
        // The second answer for the same name is held to the first.
        assert_eq!(guard.admit(vec![here]), Err(TooNear));
    }
}
