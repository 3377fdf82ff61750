//! What has to be changed in a template's text before it is read.

/// Replaces the tags that mark what the model itself writes; they matter in training only.
pub(super) fn prepare(source: &str) -> String {
    let mut prepared = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        prepared.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        let word = tag[2..end].trim_matches(['-', '+', ' ', '\n', '\r', '\t']);
        match word {
            "generation" => prepared.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => prepared.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => prepared.push_str(tag),
        }
        rest = after;
    }
    prepared.push_str(rest);
    prepared
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn marks_for_training_are_taken_out() {
        assert_eq!(
            prepare("{%- generation -%}a{% if b %}{{ c }}{% endif %}{% endgeneration %} {%"),
            "{%- if true -%}a{% if b %}{{ c }}{% endif %}{% endif %} {%"
        );
    }
}
