//! Golden vectors: `protocol/vectors/*.txt` are what this code says they are, byte for byte.
//!
//! Set `WEFT_VECTORS_WRITE=1` to write them anew after a deliberate change of the contract. The same
//! files are verified by an independent program in `tests/checker`.

use std::{fs, path::PathBuf};

use self::file::VectorFile;

mod content;
mod file;
mod heads;
mod identity;
mod messages;
mod names;
mod proofs;
mod receipts;

fn all() -> Vec<VectorFile> {
    vec![
        identity::identity(),
        content::manifest(),
        content::refs(),
        heads::head(),
        heads::freshness(),
        heads::record(),
        proofs::log(),
        proofs::equivocation(),
        proofs::revision(),
        receipts::receipt_file(),
        receipts::complaint_file(),
        messages::request(),
        messages::response(),
        messages::announcement(),
        names::names(),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// One line a file, `<blake3>  <name>`, so that a reader can tell that no comment was changed either.
fn sums(files: &[VectorFile]) -> String {
    let lines = files.iter().map(|file| {
        format!(
            "{}  {}.txt\n",
            blake3::hash(file.render().as_bytes()).to_hex(),
            file.name
        )
    });
    lines.collect()
}

#[test]
fn golden_vectors_are_what_this_code_says() {
    let files = all();
    let mut texts: Vec<_> = files
        .iter()
        .map(|file| (format!("{}.txt", file.name), file.render()))
        .collect();
    texts.push(("B3SUMS".to_owned(), sums(&files)));
    if std::env::var_os("WEFT_VECTORS_WRITE").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for (name, text) in &texts {
            fs::write(folder().join(name), text).unwrap();
        }
    }
    for (name, text) in &texts {
        let stored = fs::read_to_string(folder().join(name)).unwrap_or_default();
        if let Some((at, (old, new))) = stored
            .lines()
            .zip(text.lines())
            .enumerate()
            .find(|(_, (old, new))| old != new)
        {
            panic!("{name}:{}: stored `{old}`, this code says `{new}`", at + 1);
        }
        assert_eq!(
            stored.len(),
            text.len(),
            "{name} has more or fewer lines than it should"
        );
    }
    let mut stored: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected: Vec<_> = texts.into_iter().map(|(name, _)| name).collect();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected, "files that no test writes");
}
