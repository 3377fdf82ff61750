//! Rules about the source tree that no compiler checks.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Our crates.
const CRATES: [&str; 8] = [
    "protocol",
    "registry",
    "kernels",
    "engine",
    "node",
    "cli",
    "simulations",
    "tests",
];

/// Ends of names of text files.
const TEXT: [&str; 11] = [
    "rs", "md", "toml", "py", "sh", "yml", "json", "txt", "hex", "run", "Makefile",
];

#[test]
fn every_file_says_what_it_is_for() {
    let mut silent = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        // A file called `tests.rs` says it by its name.
        if !text.starts_with("//! ") && !path.ends_with("tests.rs") {
            silent.push(path);
        }
    }
    assert!(
        silent.is_empty(),
        "these do not begin with `//! `: {silent:#?}"
    );
}

#[test]
fn no_file_is_called_mod_rs() {
    for path in sources() {
        assert!(
            !path.ends_with("mod.rs"),
            "{}: use `foo.rs` beside `foo/`",
            path.display()
        );
    }
}

#[test]
fn no_test_is_ignored_and_none_sleeps() {
    // Put together, so that this file does not find itself.
    let words = [
        concat!("#[", "ignore"),
        concat!("thread::", "sleep("),
        concat!("time::", "sleep("),
    ];
    for path in sources() {
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        let text = fs::read_to_string(&path).unwrap();
        for word in &words[..if is_test { 3 } else { 1 }] {
            assert!(!text.contains(word), "{} contains `{word}`", path.display());
        }
    }
}

#[test]
fn no_path_of_somebodys_machine_is_left() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/fa", "rm/"),
        concat!("/ro", "ot/"),
        concat!("/home/", "user/"),
    ];
    for path in tracked_text() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let found = words.iter().any(|word| {
                line.match_indices(word).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "._-".contains(c))
                })
            });
            assert!(!found, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn specification_moves_with_the_wire() {
    // What is signed or sent, and the prose that promises it. A red test here asks: does SPEC.md still
    // tell the truth? When it does, put the new sum below.
    const RECORDED: &str = include_str!("tidy/wire.blake3");
    let mut hasher = blake3::Hasher::new();
    for name in WIRE {
        let path = root().join("protocol").join(name);
        let text = fs::read_to_string(&path).unwrap();
        // Only what is code counts: a better comment is no change of the wire.
        for line in code_lines(&text) {
            hasher.update(line.trim().as_bytes());
            hasher.update(b"\n");
        }
    }
    let now = hasher.finalize().to_hex();
    assert_eq!(
        now.as_str(),
        RECORDED.trim(),
        "what is signed or sent has changed: bring protocol/SPEC.md up to date in the same commit, then \
         write the left value into tests/tests/it/tidy/wire.blake3"
    );
}

/// Files whose code is a promise to other nodes.
const WIRE: [&str; 9] = [
    "SPEC.md",
    "src/codec.rs",
    "src/sign.rs",
    "src/wire.rs",
    "src/head.rs",
    "src/freshness.rs",
    "src/refs.rs",
    "src/log.rs",
    "src/layout.rs",
];

/// Lines up to the tests of a file, without comments. Of prose: all lines.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn decisions_are_all_listed() {
    let folder = root().join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name == "README.md" || index.contains(&name),
            "{name} is not listed"
        );
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All Rust files of our crates.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in CRATES {
        walk(&root().join(name), &mut found);
    }
    found.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    assert!(found.len() > 30, "only {} files were found", found.len());
    found
}

/// All text files of the repository that are ours.
fn tracked_text() -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.retain(|path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let end = name.rsplit('.').next().unwrap_or_default();
        TEXT.contains(&end) && !path.components().any(|part| part.as_os_str() == "data")
    });
    found
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    const SKIPPED: [&str; 4] = ["target", ".git", ".venv", "__pycache__"];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}
