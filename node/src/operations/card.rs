//! The machine-readable part of a model card: the YAML front matter of `README.md`.
//!
//! Nothing here can fail a publication: what is missing or malformed is left out, with a warning in the log.

use serde::Deserialize;
use weft_protocol::manifest::Card;

/// The longest front matter that is looked at.
const FRONT_MATTER_LEN_MAX: usize = 64 * 1024;
/// The longest tag, licence or library name that is taken over.
const WORD_LEN_MAX: usize = 96;
/// More tags than this say nothing.
const WORDS_MAX: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FrontMatter {
    license: Option<OneOrMany>,
    tags: Option<OneOrMany>,
    language: Option<OneOrMany>,
    pipeline_tag: Option<String>,
    library_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads the card out of a README.
pub(crate) fn parse(readme: &str) -> Card {
    let Some(yaml) = front_matter(readme) else {
        return Card::default();
    };
    let parsed: FrontMatter = match serde_saphyr::from_str(yaml) {
        Ok(parsed) => parsed,
        Err(error) => {
            tracing::warn!(%error, "the front matter of README.md is not valid YAML");
            return Card::default();
        }
    };
    Card {
        license: words(parsed.license).into_iter().next(),
        tags: words(parsed.tags),
        pipeline_tag: parsed.pipeline_tag.filter(|word| is_word(word)),
        library: parsed.library_name.filter(|word| is_word(word)),
        languages: words(parsed.language),
        base_models: Vec::new(),
    }
}

/// The text between the two `---` lines at the start.
pub(crate) fn front_matter(readme: &str) -> Option<&str> {
    let rest = readme
        .strip_prefix('\u{feff}')
        .unwrap_or(readme)
        .strip_prefix("---")?
        .trim_start_matches('\r')
        .strip_prefix('\n')?;
    let end = rest.find("\n---")?;
    rest.get(..end)
        .filter(|yaml| yaml.len() <= FRONT_MATTER_LEN_MAX)
}

/// Sorted, without duplicates, as a manifest wants them.
fn words(value: Option<OneOrMany>) -> Vec<String> {
    let mut words = match value {
        None => Vec::new(),
        Some(OneOrMany::One(word)) => vec![word],
        Some(OneOrMany::Many(words)) => words,
    };
    words.retain(|word| is_word(word));
    words.sort();
    words.dedup();
    words.truncate(WORDS_MAX);
    words
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.len() <= WORD_LEN_MAX && !word.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_is_read() {
        let card = parse(
            "---\nlicense: cc0-1.0\ntags:\n- b\n- a\n- b\nlanguage: en\npipeline_tag: text-generation\nlibrary_name: transformers\n---\n# Title\n",
        );
        assert_eq!(card.license.as_deref(), Some("cc0-1.0"));
        assert_eq!(card.tags, ["a", "b"]);
        assert_eq!(card.languages, ["en"]);
        assert_eq!(card.pipeline_tag.as_deref(), Some("text-generation"));
        assert_eq!(card.library.as_deref(), Some("transformers"));
    }

    #[test]
    fn anything_else_gives_an_empty_card() {
        for readme in [
            "",
            "# Title",
            "---\n",
            "---\n: [\n---\n",
            "---\nlicense: {a: 1}\n---\n",
        ] {
            assert_eq!(parse(readme), Card::default(), "{readme:?}");
        }
    }
}
