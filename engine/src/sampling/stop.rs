//! Texts at which an answer ends. They may span tokens, so their beginnings are held back.

/// Stop texts and what is held back for them.
#[derive(Debug)]
pub(crate) struct Stops {
    stops: Vec<String>,
    held: String,
}

impl Stops {
    pub(crate) fn new(stops: &[String]) -> Self {
        Self {
            stops: stops
                .iter()
                .filter(|stop| !stop.is_empty())
                .cloned()
                .collect(),
            held: String::new(),
        }
    }

    /// Takes text. Appends what is certain to `told`, and says whether a stop text was found.
    pub(crate) fn push(&mut self, text: &str, told: &mut String) -> bool {
        self.held.push_str(text);
        let found = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop))
            .min();
        if let Some(at) = found {
            told.push_str(&self.held[..at]);
            self.held.clear();
            return true;
        }
        let start = (0..self.held.len())
            .filter(|at| self.held.is_char_boundary(*at))
            .find(|at| {
                let tail = &self.held[*at..];
                self.stops.iter().any(|stop| stop.starts_with(tail))
            })
            .unwrap_or(self.held.len());
        told.push_str(&self.held[..start]);
        self.held.drain(..start);
        false
    }

    /// What is left when nothing more comes.
    pub(crate) fn finish(&mut self, told: &mut String) {
        told.push_str(&self.held);
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stops: &[&str], chunks: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut stops = Stops::new(&stops);
        let mut told = String::new();
        for chunk in chunks {
            if stops.push(chunk, &mut told) {
                return (told, true);
            }
        }
        stops.finish(&mut told);
        (told, false)
    }

    #[test]
    fn stop_texts_are_found_across_chunks_and_not_told() {
        assert_eq!(
            told(&["END"], &["a E", "N", "D b"]),
            ("a ".to_owned(), true)
        );
        assert_eq!(
            told(&["END"], &["a E", "N", "X"]),
            ("a ENX".to_owned(), false)
        );
        assert_eq!(told(&["é!", "b"], &["aé", "é!b"]), ("aé".to_owned(), true));
        assert_eq!(told(&["aab"], &["aa", "a", "b"]), ("a".to_owned(), true));
        assert_eq!(told(&["END", ""], &["EN"]), ("EN".to_owned(), false));
    }

    #[test]
    fn the_earliest_of_several_ends_the_answer() {
        assert_eq!(told(&["c", "b"], &["abc"]), ("a".to_owned(), true));
    }
}
