//! The arrows between our crates are exactly those of ARCHITECTURE.md.

use std::{collections::BTreeMap, env, path::Path, process::Command};

use serde_json::Value;

/// Every allowed edge. `weft-tests` may use anything.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("weft-protocol", &[]),
    ("weft-registry", &["weft-protocol"]),
    ("weft-node", &["weft-protocol", "weft-registry"]),
    ("weft-kernels", &[]),
    ("weft-engine", &["weft-protocol", "weft-kernels"]),
    ("weft-cli", &["weft-node", "weft-engine"]),
    ("weft-simulations", &["weft-protocol", "weft-registry"]),
];

/// Libraries that would bring IO, async or a clock into a crate that has none.
const FORBIDDEN: [(&str, &[&str]); 4] = [
    (
        "weft-protocol",
        &[
            "tokio",
            "libp2p",
            "iroh",
            "iroh-blobs",
            "rocksdb",
            "axum",
            "futures",
            "getrandom",
            "serde",
            "anyhow",
        ],
    ),
    (
        "weft-simulations",
        &[
            "tokio",
            "libp2p",
            "iroh",
            "iroh-blobs",
            "futures",
            "getrandom",
        ],
    ),
    (
        "weft-registry",
        &["tokio", "libp2p", "iroh", "iroh-blobs", "axum"],
    ),
    (
        "weft-engine",
        &["tokio", "libp2p", "iroh", "iroh-blobs", "rocksdb", "axum"],
    ),
];

#[test]
fn crates_depend_only_along_the_arrows() {
    let packages = metadata();
    for (name, allowed) in ALLOWED {
        for dependency in &packages[name] {
            assert!(
                !dependency.starts_with("weft-") || allowed.contains(&dependency.as_str()),
                "`{name}` must not depend on `{dependency}`"
            );
        }
    }
    let known: Vec<&str> = ALLOWED
        .iter()
        .map(|(name, _)| *name)
        .chain(["weft-tests"])
        .collect();
    for name in packages.keys() {
        assert!(
            known.contains(&name.as_str()),
            "`{name}` has no place in the dependency rule"
        );
    }
}

#[test]
fn nothing_depends_on_the_tests_or_on_the_command_line() {
    for (name, dependencies) in metadata() {
        for end in ["weft-tests", "weft-cli", "weft-simulations"] {
            assert!(
                !dependencies.iter().any(|dependency| dependency == end) || name == "weft-tests"
            );
        }
    }
}

#[test]
fn pure_crates_have_no_libraries_that_do_io() {
    let packages = metadata();
    for (name, forbidden) in FORBIDDEN {
        for dependency in &packages[name] {
            assert!(
                !forbidden.contains(&dependency.as_str()),
                "`{name}` must not depend on `{dependency}`"
            );
        }
    }
}

/// Our packages with the names of all their dependencies, development and build ones included.
fn metadata() -> BTreeMap<String, Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            (name(package), dependencies.iter().map(name).collect())
        })
        .collect()
}
