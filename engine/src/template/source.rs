//! What has to be changed in a template's text before it is read.

/// Replaces the tags that mark what the model itself writes; they matter in training only.
pub(super) fn prepare(source: &str) -> String {
    let mut prepared = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        prepared.push_str(before);
        let Some((inside, _)) = tag.get(2..).and_then(|tag| tag.split_once("%}")) else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(inside.len() + 4);
        let word = inside.trim_matches(['-', '+', ' ', '\n', '\r', '\t']);
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

    /// Found by fuzzing: a tag cannot end within the two signs that open it.
    #[test]
    fn a_tag_without_an_inside_stays_as_it_is() {
        for source in ["{%}", "{%}{% x %}", "{%%}", "{%", "é{%é%}é"] {
            assert_eq!(prepare(source), source);
        }
    }
}
