//! The query of a request: names may repeat, lists may come with `[]`, and truth has many spellings.

/// A decoded query string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The first value of a name.
    pub(super) fn get(&self, name: &'static str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a name, with `name=…` and `name[]=…` alike.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let is_it = move |key: &str| key.strip_suffix("[]").unwrap_or(key) == name;
        self.0
            .iter()
            .filter(move |(key, _)| is_it(key))
            .map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&self, name: &'static str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(value, "true" | "True" | "1" | ""))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &'static str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }

    /// The same query with one value replaced, for the address of a next page.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(key, _)| key != name);
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .append_pair(name, value)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        let query = Query::parse(Some(
            "expand=a&expand[]=b&full=True&x=1&y=false&limit=7&q=a+b%26",
        ));
        assert_eq!(query.all("expand").collect::<Vec<_>>(), ["a", "b"]);
        assert!(query.is_on("full") && query.is_on("x") && !query.is_on("y") && !query.is_on("z"));
        assert_eq!(query.number("limit"), Some(7));
        assert_eq!(query.get("q"), Some("a b&"));
    }

    #[test]
    fn a_next_page_keeps_the_rest_of_the_query() {
        let query = Query::parse(Some("cursor=1&search=a%26b"));
        assert_eq!(query.with("cursor", "2"), "search=a%26b&cursor=2");
    }
}
