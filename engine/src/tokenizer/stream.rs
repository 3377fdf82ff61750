//! Bytes of tokens into whole characters.

/// Takes bytes as they come and gives text as soon as it is certain.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pending: Vec<u8>,
}

impl Stream {
    /// Takes the bytes of a token; appends what is whole now.
    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.pending.extend_from_slice(bytes);
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.pending.clear();
                    return;
                }
                Err(error) => {
                    let (whole, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(whole));
                    let Some(wrong) = error.error_len() else {
                        // The beginning of a character.
                        self.pending = after.to_vec();
                        return;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[wrong..];
                }
            }
        }
    }

    /// What is left when nothing more comes.
    pub(crate) fn finish(&mut self, text: &mut String) {
        text.push_str(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(chunks: &[&[u8]]) -> Vec<String> {
        let mut stream = Stream::default();
        let mut told: Vec<String> = Vec::new();
        for chunk in chunks {
            let mut text = String::new();
            stream.push(chunk, &mut text);
            told.push(text);
        }
        let mut text = String::new();
        stream.finish(&mut text);
        told.push(text);
        told
    }

    #[test]
    fn characters_are_told_when_they_are_whole() {
        let crab = "🦀".as_bytes();
        assert_eq!(
            told(&[b"a", &crab[..1], &crab[1..3], &crab[3..], b"b"]),
            ["a", "", "", "🦀", "b", ""]
        );
    }

    #[test]
    fn what_is_no_text_is_replaced_and_nothing_is_lost_behind_it() {
        assert_eq!(
            told(&[b"a\xffb", b"\xe2\x82"]),
            ["a\u{fffd}b", "", "\u{fffd}"]
        );
    }
}
