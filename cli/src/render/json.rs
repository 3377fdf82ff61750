//! Facts as JSON: one object on one line, so that both a line reader and a JSON reader are served.

use std::io;

use serde::Serialize;

pub(super) fn line(facts: &impl Serialize) -> io::Result<String> {
    serde_json::to_string(facts).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_one_line() {
        let text = line(&serde_json::json!({"message": "two\nlines"})).unwrap();
        assert_eq!(text, r#"{"message":"two\nlines"}"#);
    }
}
