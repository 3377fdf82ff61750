//! From a request's path to what is meant: pure, and without a look at what exists.
//!
//! The hub's paths cannot be told apart by a router: a repository has one or two parts, a revision may come with its
//! slash encoded or not, and file names come encoded by some clients and raw by others.

use percent_encoding::percent_decode_str;

/// What sort of repository a path is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RepoKind {
    Model,
    Dataset,
    Space,
}

impl RepoKind {
    /// As the first segment of a file's path and in the API, in the plural.
    fn of_plural(text: &str) -> Option<Self> {
        match text {
            "models" => Some(Self::Model),
            "datasets" => Some(Self::Dataset),
            "spaces" => Some(Self::Space),
            _ => None,
        }
    }

    /// As requests name it in bodies; absent means a model.
    pub(super) fn of_singular(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("model") => Some(Self::Model),
            Some("dataset") => Some(Self::Dataset),
            Some("space") => Some(Self::Space),
            Some(_) => None,
        }
    }

    pub(super) fn singular(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
            Self::Space => "space",
        }
    }

    /// What stands before a repository's id in the address of a page or file.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
            Self::Space => "spaces/",
        }
    }
}

/// A repository as a client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RepoName {
    pub(super) kind: RepoKind,
    /// Absent in ids of one part.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl RepoName {
    /// `namespace/name`.
    pub(super) fn id(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A path inside a repository, as far as it can be read without knowing what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePath {
    /// With `%xx` undone.
    pub(super) decoded: String,
    /// As it came: some clients send names with `%` in them unencoded.
    pub(super) raw: String,
}

/// What a path is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// A file's bytes. `raw` asks for what git would hold, which for large files is a pointer.
    File {
        repo: RepoName,
        revision: String,
        path: FilePath,
        raw: bool,
    },
    /// `/api/{kind}s`.
    List(RepoKind),
    /// `/api/{kind}s/{id}[/{verb}[/…]]`; segments after the verb are as they came.
    Repo {
        repo: RepoName,
        verb: String,
        rest: Vec<String>,
    },
    /// `/{id}.git/info/lfs/objects/batch` and the like.
    Lfs { repo: RepoName, rest: Vec<String> },
    /// Any other path; segments are as they came.
    Other(Vec<String>),
}

/// Verbs of the API, which therefore cannot be a repository's name after a one-part id.
const VERBS: [&str; 24] = [
    "revision",
    "tree",
    "refs",
    "paths-info",
    "commits",
    "commit",
    "preupload",
    "branch",
    "tag",
    "settings",
    "auth-check",
    "likers",
    "like",
    "discussions",
    "runtime",
    "secrets",
    "variables",
    "compare",
    "treesize",
    "super-squash",
    "xet-write-token",
    "xet-read-token",
    "resolve",
    "scan",
];

/// Whether a word means something in paths, so that no repository can be called so.
pub(super) fn is_reserved(name: &str) -> bool {
    const WORDS: [&str; 4] = ["raw", "blob", "edit", "info"];
    VERBS.contains(&name) || WORDS.contains(&name)
}

/// Reads a request's path, as it stood in the request.
pub(super) fn parse(path: &str) -> Route {
    let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    api(&segments)
        .or_else(|| lfs(&segments))
        .or_else(|| file(&segments))
        .unwrap_or_else(|| Route::Other(owned(&segments)))
}

fn api(segments: &[&str]) -> Option<Route> {
    let [first, kind, rest @ ..] = segments else {
        return None;
    };
    if *first != "api" {
        return None;
    }
    let kind = RepoKind::of_plural(kind)?;
    let repo = |namespace: Option<&str>, name: &str| RepoName {
        kind,
        namespace: namespace.map(decode),
        name: decode(name),
    };
    // A trailing slash means nothing.
    let rest = rest.strip_suffix(&[""]).unwrap_or(rest);
    Some(match rest {
        [] => Route::List(kind),
        [name] => match decode(name).split_once('/') {
            // Some clients encode the slash of an id.
            Some((namespace, name)) => Route::Repo {
                repo: repo(Some(namespace), name),
                verb: String::new(),
                rest: Vec::new(),
            },
            None => Route::Repo {
                repo: repo(None, name),
                verb: String::new(),
                rest: Vec::new(),
            },
        },
        [name, verb, rest @ ..] if VERBS.contains(verb) && !verb_follows(rest) => Route::Repo {
            repo: repo(None, name),
            verb: (*verb).to_owned(),
            rest: owned(rest),
        },
        [namespace, name] => Route::Repo {
            repo: repo(Some(namespace), name),
            verb: String::new(),
            rest: Vec::new(),
        },
        [namespace, name, verb, rest @ ..] => Route::Repo {
            repo: repo(Some(namespace), name),
            verb: (*verb).to_owned(),
            rest: owned(rest),
        },
    })
}

/// Whether the id has two parts after all: `alice/tree/tree/main`.
fn verb_follows(rest: &[&str]) -> bool {
    matches!(rest, [verb, _, ..] | [verb] if VERBS.contains(verb))
}

fn lfs(segments: &[&str]) -> Option<Route> {
    let (kind, segments) = kind(segments);
    let (namespace, name, rest) = match segments {
        [namespace, name, "info", "lfs", rest @ ..] => (Some(*namespace), *name, rest),
        [name, "info", "lfs", rest @ ..] => (None, *name, rest),
        _ => return None,
    };
    Some(Route::Lfs {
        repo: RepoName {
            kind,
            namespace: namespace.map(decode),
            name: decode(name.strip_suffix(".git")?),
        },
        rest: owned(rest),
    })
}

fn file(segments: &[&str]) -> Option<Route> {
    let (kind, segments) = kind(segments);
    let is_file = |verb: &str| matches!(verb, "resolve" | "raw");
    let (namespace, name, verb, rest) = match segments {
        [namespace, name, verb, rest @ ..] if is_file(verb) => {
            (Some(*namespace), *name, *verb, rest)
        }
        [name, verb, rest @ ..] if is_file(verb) => (None, *name, *verb, rest),
        _ => return None,
    };
    let (revision, path) = match rest {
        // Old clients do not encode the slashes of `refs/pr/1`.
        [
            "refs",
            group @ ("heads" | "tags" | "pr" | "convert"),
            name,
            path @ ..,
        ] if !path.is_empty() => (format!("refs/{group}/{}", decode(name)), path),
        [revision, path @ ..] if !path.is_empty() => (decode(revision), path),
        _ => return None,
    };
    Some(Route::File {
        repo: RepoName {
            kind,
            namespace: namespace.map(decode),
            name: decode(name),
        },
        revision,
        path: file_path(path),
        raw: verb == "raw",
    })
}

fn kind<'a>(segments: &'a [&'a str]) -> (RepoKind, &'a [&'a str]) {
    match segments {
        ["datasets", rest @ ..] => (RepoKind::Dataset, rest),
        ["spaces", rest @ ..] => (RepoKind::Space, rest),
        _ => (RepoKind::Model, segments),
    }
}

/// The path of a file or folder out of the last segments.
pub(super) fn file_path<S: AsRef<str>>(segments: &[S]) -> FilePath {
    let raw = segments
        .iter()
        .map(AsRef::as_ref)
        .collect::<Vec<&str>>()
        .join("/");
    FilePath {
        decoded: decode(&raw),
        raw,
    }
}

/// Undoes `%xx`; what is not UTF-8 afterwards stays as it came, and so names nothing.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text)
        .decode_utf8()
        .map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

fn owned(segments: &[&str]) -> Vec<String> {
    segments.iter().map(|&segment| segment.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(kind: RepoKind, id: &str) -> RepoName {
        let (namespace, name) = match id.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, id),
        };
        RepoName {
            kind,
            namespace,
            name: name.to_owned(),
        }
    }

    fn check_file(path: &str, kind: RepoKind, id: &str, revision: &str, file: &str) {
        let Route::File {
            repo: found,
            revision: at,
            path: FilePath { decoded, .. },
            ..
        } = parse(path)
        else {
            panic!("{path} is no file");
        };
        assert_eq!((found, at.as_str()), (repo(kind, id), revision), "{path}");
        assert_eq!(decoded, file, "{path}");
    }

    #[test]
    fn files_are_understood_in_every_spelling() {
        use RepoKind::{Dataset, Model, Space};
        check_file("/a/b/resolve/main/c.json", Model, "a/b", "main", "c.json");
        check_file("/b/resolve/main/c.json", Model, "b", "main", "c.json");
        check_file(
            "/datasets/a/b/resolve/main/d/e%20f%231.csv",
            Dataset,
            "a/b",
            "main",
            "d/e f#1.csv",
        );
        check_file("/spaces/a/b/raw/v1/x", Space, "a/b", "v1", "x");
        check_file("/a/b/resolve/f%2Fx/c", Model, "a/b", "f/x", "c");
        check_file("/a/b/resolve/refs/pr/1/c", Model, "a/b", "refs/pr/1", "c");
        check_file(
            "/a/b/resolve/refs%2Fpr%2F1/c",
            Model,
            "a/b",
            "refs/pr/1",
            "c",
        );
        check_file("/a/b/resolve/main/a%2Fb", Model, "a/b", "main", "a/b");
    }

    #[test]
    fn the_raw_spelling_of_a_file_is_kept() {
        let Route::File { path, .. } = parse("/a/b/resolve/main/pct%20lit.txt") else {
            panic!("a file");
        };
        assert_eq!(path.raw, "pct%20lit.txt");
        assert_eq!(path.decoded, "pct lit.txt");
    }

    #[test]
    fn the_api_is_understood_with_ids_of_one_and_two_parts() {
        let check = |path: &str, id: &str, verb: &str, rest: &[&str]| {
            let expected = Route::Repo {
                repo: repo(RepoKind::Model, id),
                verb: verb.to_owned(),
                rest: owned(rest),
            };
            assert_eq!(parse(path), expected, "{path}");
        };
        check("/api/models/a/b", "a/b", "", &[]);
        check("/api/models/a%2Fb", "a/b", "", &[]);
        check("/api/models/b", "b", "", &[]);
        check("/api/models/a/b/tree/main", "a/b", "tree", &["main"]);
        check("/api/models/b/tree/main", "b", "tree", &["main"]);
        check("/api/models/a/tree/tree/main", "a/tree", "tree", &["main"]);
        check("/api/models/a/b/refs", "a/b", "refs", &[]);
        check("/api/models/b/refs", "b", "refs", &[]);
        assert_eq!(parse("/api/datasets"), Route::List(RepoKind::Dataset));
        assert_eq!(parse("/api/datasets/"), Route::List(RepoKind::Dataset));
    }

    #[test]
    fn what_is_no_repository_is_left_alone() {
        for path in [
            "/",
            "/api/whoami-v2",
            "/a/b",
            "/a/b/resolve/main",
            "/x/y/z/w",
        ] {
            assert!(matches!(parse(path), Route::Other(_)), "{path}");
        }
        let expected = Route::Lfs {
            repo: repo(RepoKind::Dataset, "a/b"),
            rest: owned(&["objects", "batch"]),
        };
        let path = "/datasets/a/b.git/info/lfs/objects/batch";
        assert_eq!(parse(path), expected);
    }
}
