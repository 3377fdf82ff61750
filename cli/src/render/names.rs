//! Long ids in short forms that the node still understands.

/// Characters of a publisher id that are shown; 50 bits, and more than the 8 that a prefix needs.
const PUBLISHER_LEN: usize = 10;
/// Characters of a revision id that are shown.
const REVISION_LEN: usize = 12;

/// The start of a publisher id.
pub(crate) fn short_publisher(publisher: &str) -> &str {
    publisher.get(..PUBLISHER_LEN).unwrap_or(publisher)
}

/// The start of a revision id.
pub(crate) fn short_revision(revision: &str) -> &str {
    revision.get(..REVISION_LEN).unwrap_or(revision)
}

/// A repository for people: with its petname and a fingerprint, or with the start of its publisher's id.
pub(crate) fn repository(repository: &str, alias: Option<&str>) -> String {
    let (publisher, name) = repository.split_once('/').unwrap_or((repository, ""));
    let publisher = short_publisher(publisher);
    match alias {
        Some(alias) => format!("{alias} ({publisher})"),
        None if name.is_empty() => publisher.to_owned(),
        None => format!("{publisher}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn petname_never_stands_without_fingerprint() {
        let id = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst/tiny";
        assert_eq!(repository(id, None), "abcdefghij/tiny");
        assert_eq!(
            repository(id, Some("alice/tiny")),
            "alice/tiny (abcdefghij)"
        );
    }

    #[test]
    fn short_ids_stay_as_they_are() {
        assert_eq!(short_revision("abc"), "abc");
        assert_eq!(short_publisher(""), "");
    }
}
