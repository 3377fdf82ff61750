//! Manifests and references: hashed, not signed.

use weft_protocol::{
    codec::{self, Object},
    id::{BlobHash, RepositoryId},
    manifest::{
        CHUNK_LOG2_MIN, Card, Chunker, File, Kind, Manifest, Relation, Role, SPAN_LOG2_MIN, Spans,
        Tensor, span_hash,
    },
    refs::Refs,
};

use super::file::{Vector, VectorFile};
use crate::fixture::{DAY, Publisher, earlier, id};

const ABOUT: &str = "Preimages: the domain prefix and the body. BLAKE3 of all the bytes is the id.";

fn hash(content: &[u8]) -> BlobHash {
    BlobHash::new(*blake3::hash(content).as_bytes())
}

fn file(path: &str, size: u64, n: u8) -> File {
    File {
        path: path.parse().expect("a valid path"),
        size,
        blake3: if size == 0 {
            hash(b"")
        } else {
            BlobHash::new([n; 32])
        },
        sha256: [n; 32],
        git_sha1: None,
        role: Role::of_path(path),
        spans: None,
        chunks: None,
    }
}

/// A file of zeros that is longer than two spans.
fn with_spans() -> Manifest {
    let content = vec![0; (2 << SPAN_LOG2_MIN) + 1_000];
    let len = 1 << SPAN_LOG2_MIN;
    let spans: Vec<_> = content
        .chunks(len)
        .enumerate()
        .map(|(n, bytes)| span_hash((n * len) as u64, bytes))
        .collect();
    let zeros = File {
        blake3: hash(&content),
        spans: Some(Spans::new(SPAN_LOG2_MIN, &spans)),
        ..file("zeros.bin", content.len() as u64, 7)
    };
    Manifest {
        files: vec![zeros],
        ..plain()
    }
}

/// A file of zeros with cuts in it. Nobody but who has the file could tell that they are not where they should be.
fn with_chunks() -> Manifest {
    let content = vec![0; 600 * 1024];
    let mut chunker = Chunker::new(CHUNK_LOG2_MIN);
    chunker.push(&content);
    let zeros = File {
        blake3: hash(&content),
        chunks: Some(chunker.finish()),
        ..file("zeros.jsonl", content.len() as u64, 7)
    };
    Manifest {
        files: vec![zeros],
        ..plain()
    }
}

fn plain() -> Manifest {
    Manifest {
        repository: RepositoryId {
            publisher: Publisher::new().id(),
            name: "Tiny".parse().expect("a valid name"),
        },
        kind: Kind::Model,
        parents: vec![],
        files: vec![
            file("README.md", 120, 1),
            file("model.safetensors", 1_048_576, 2),
        ],
        card: Card::default(),
        tensors: vec![],
        message: String::new(),
        created: earlier(DAY),
    }
}

fn full() -> Manifest {
    let tensor = |name: &str, offset, len| Tensor {
        file: 4,
        name: name.to_owned(),
        dtype: "BF16".to_owned(),
        shape: vec![16, 32],
        offset,
        len,
        blake3: id(60),
    };
    let mut files = vec![
        file("README.md", 120, 1),
        file("data/été.jsonl", u64::from(u32::MAX) + 1, 3),
        file("empty.txt", 0, 4),
        file("example/copy-of-readme.md", 120, 1),
        file("model.safetensors", 1_048_576, 2),
        file("tokenizer.json", 5_000, 5),
    ];
    files[5].git_sha1 = Some([0xee; 20]);
    Manifest {
        kind: Kind::Adapter,
        parents: vec![id(31), id(30)],
        files,
        card: Card {
            license: Some("apache-2.0".to_owned()),
            tags: vec!["chat".to_owned(), "tiny".to_owned()],
            pipeline_tag: Some("text-generation".to_owned()),
            library: Some("transformers".to_owned()),
            languages: vec!["de".to_owned(), "en".to_owned()],
            base_models: vec![(id(40), Relation::Finetune), (id(41), Relation::Quantized)],
        },
        tensors: vec![
            tensor("layer.0.weight", 100, 1024),
            tensor("layer.1.weight", 1124, 1024),
        ],
        message: "second try\n\nwith a better tokenizer".to_owned(),
        ..plain()
    }
}

fn vector(kind: &'static str, name: &str, comment: &str, preimage: Vec<u8>) -> Vector {
    let id = codec::preimage_id(&preimage);
    Vector::new(kind, name, comment, preimage).with("id", id)
}

fn accept(name: &str, comment: &str, manifest: &Manifest) -> Vector {
    let vector = vector("manifest", name, comment, codec::preimage(manifest));
    let verdict =
        codec::decode_preimage::<Manifest>(codec::preimage_id(vector.bytes()), vector.bytes());
    vector
        .with("repository", &manifest.repository)
        .with("files", manifest.files.len())
        .with("bytes_total", manifest.bytes_total())
        .valid(verdict.map(|back| assert_eq!(back, *manifest)))
}

fn refuse<T: Object>(kind: &'static str, name: &str, comment: &str, preimage: Vec<u8>) -> Vector {
    let verdict = codec::decode_preimage::<T>(codec::preimage_id(&preimage), &preimage);
    vector(kind, name, comment, preimage).invalid(verdict.map(|_| ()))
}

fn broken(name: &str, comment: &str, change: impl FnOnce(&mut Manifest)) -> Vector {
    let mut manifest = full();
    change(&mut manifest);
    refuse::<Manifest>("manifest", name, comment, codec::preimage(&manifest))
}

/// A manifest whose first path, `README.md`, is replaced by nine other bytes.
fn path(name: &str, path: &str) -> Vector {
    assert_eq!(path.len(), 9, "{path}");
    let mut bytes = codec::preimage(&plain());
    let at = bytes
        .windows(9)
        .position(|w| w == b"README.md")
        .expect("it is there");
    bytes[at..at + 9].copy_from_slice(path.as_bytes());
    refuse::<Manifest>(
        "manifest",
        name,
        "A path that must be refused, not repaired.",
        bytes,
    )
}

pub(super) fn manifest() -> VectorFile {
    let mut vectors = vec![
        accept("plain", "Two files and an empty card.", &plain()),
        accept("full", "Every field is used but one.", &full()),
        accept(
            "spans",
            "A file of three spans, whose hashes merge to its own.",
            &with_spans(),
        ),
        accept(
            "chunks",
            "A file of zeros, cut into chunks of the greatest length.",
            &with_chunks(),
        ),
        accept(
            "no_files",
            "A revision may be empty.",
            &Manifest {
                files: vec![],
                ..plain()
            },
        ),
        {
            let preimage = codec::preimage(&plain());
            let id = id(1);
            let verdict = codec::decode_preimage::<Manifest>(id, &preimage);
            Vector::new(
                "manifest",
                "wrong_id",
                "Well formed, but not what was asked for.",
                preimage,
            )
            .with("id", id)
            .invalid(verdict)
        },
        {
            let mut bytes = b"weft/refs/v1\0".to_vec();
            bytes.extend(codec::encode(&plain()));
            refuse::<Manifest>(
                "manifest",
                "wrong_domain",
                "The domain prefix of another type.",
                bytes,
            )
        },
        {
            let mut bytes = codec::preimage(&plain());
            bytes.push(0);
            refuse::<Manifest>(
                "manifest",
                "trailing_byte",
                "One byte follows the body.",
                bytes,
            )
        },
    ];
    vectors.extend([
        path("path_parent", "../../etc"),
        path("path_parent_inside", "a/../../b"),
        path("path_dot", "a/./b.txt"),
        path("path_absolute", "/etc/pass"),
        path("path_empty_component", "a//b.json"),
        path("path_trailing_slash", "folder/a/"),
        path("path_backslash", "..\\..\\etc"),
        path("path_drive", "C:/x.json"),
        path("path_stream", "a.md:evil"),
        path("path_control", "READ\u{7}E.md"),
        path("path_bidi", "a\u{202e}txt.e"),
        path("path_zero_width", "a\u{200b}b.txt"),
        path("path_not_nfc", "e\u{301}tes.md"),
        path("path_reserved", "aux.a.txt"),
        path("path_reserved_in_folder", "a/COM1.md"),
        path("path_trailing_dot", "README.m."),
        path("path_trailing_space", "README.m "),
        path("path_wildcard", "READ*E.md"),
        path("path_git", ".GIT/conf"),
        path("path_git_hidden", ".gi\u{206a}t/x"),
    ]);
    vectors.extend(broken_manifests());
    VectorFile {
        name: "manifest",
        about: ABOUT,
        vectors,
    }
}

fn broken_manifests() -> Vec<Vector> {
    vec![
        broken("unsorted", "Files out of order.", |m| m.files.swap(0, 1)),
        broken("path_twice", "One path twice.", |m| {
            m.files.insert(0, m.files[0].clone());
        }),
        broken("path_twice_folded", "Two paths that differ by case.", |m| {
            m.files.insert(1, file("Readme.MD", 5, 9));
        }),
        broken(
            "file_and_folder",
            "One path is a file and a folder, after folding.",
            |m| {
                m.files.insert(0, file("EMPTY.txt/x", 5, 9));
            },
        ),
        broken("sizes_overflow", "Sizes that add up beyond 2^64.", |m| {
            m.files[1].size = u64::MAX;
            m.files[4].size = u64::MAX;
        }),
        broken("size_contradiction", "One hash, two sizes.", |m| {
            m.files[3].size = 121;
        }),
        broken(
            "size_of_nothing",
            "An empty file with the hash of another.",
            |m| m.files[0].size = 0,
        ),
        broken("git_hash_of_large_file", "A git hash above 10 MiB.", |m| {
            m.files[1].git_sha1 = Some([1; 20]);
        }),
        broken(
            "tensor_outside",
            "A tensor beyond the end of its file.",
            |m| m.tensors[1].len = 1 << 20,
        ),
        broken("tensor_overflow", "Offset and length overflow.", |m| {
            m.tensors[1].offset = u64::MAX;
        }),
        broken(
            "tensor_nowhere",
            "A tensor in a file that does not exist.",
            |m| m.tensors[1].file = 6,
        ),
        broken("tensors_unsorted", "Tensors out of order.", |m| {
            m.tensors.swap(0, 1);
        }),
        broken("tags_unsorted", "Tags out of order.", |m| {
            m.card.tags.swap(0, 1);
        }),
        broken(
            "text_control",
            "A licence that would clear a terminal.",
            |m| {
                m.card.license = Some("mit\u{1b}[2J".to_owned());
            },
        ),
        broken(
            "spans_of_other_content",
            "Span hashes that do not merge to the file's.",
            |m| {
                m.files = with_spans().files;
                m.files[0].blake3 = BlobHash::new([7; 32]);
            },
        ),
        broken("spans_of_other_size", "A span too few.", |m| {
            m.files = with_spans().files;
            m.files[0].size += 1 << SPAN_LOG2_MIN;
        }),
        broken(
            "spans_of_one_span",
            "The hash of one span, which is the whole file.",
            |m| {
                m.files[4].spans = Some(Spans::new(SPAN_LOG2_MIN + 2, &[[1; 32]]));
            },
        ),
        broken("chunks_of_other_size", "Chunks of a shorter file.", |m| {
            m.files = with_chunks().files;
            m.files[0].size += 1;
        }),
        broken("chunks_of_nothing", "An empty list of chunks.", |m| {
            m.files = with_chunks().files;
            m.files[0].chunks = Some(Chunker::new(CHUNK_LOG2_MIN).finish());
        }),
        broken("parent_twice", "One parent twice.", |m| {
            m.parents = vec![id(30); 2];
        }),
        broken("too_many_parents", "Nine parents.", |m| {
            m.parents = (0..9).map(id).collect();
        }),
        broken("long_message", "A message of 4,097 bytes.", |m| {
            m.message = "m".repeat(4097);
        }),
    ]
}

pub(super) fn refs() -> VectorFile {
    let name = |text: &str| text.parse().expect("a valid name");
    let refs = Refs {
        names: vec![
            (name("dev"), id(1)),
            (name("v1.0"), id(2)),
            (name("v1.0-q4_K_M"), id(3)),
        ],
        withdrawn: vec![(id(4), "wrong tokenizer".to_owned())],
    };
    let accept = |name: &str, comment: &str, refs: &Refs| {
        let preimage = codec::preimage(refs);
        let verdict = codec::decode_preimage::<Refs>(codec::preimage_id(&preimage), &preimage);
        vector("refs", name, comment, preimage)
            .with("names", refs.names.len())
            .with("withdrawn", refs.withdrawn.len())
            .valid(verdict.map(|back| assert_eq!(back, *refs)))
    };
    let refuse_changed = |name: &str, comment: &str, change: &dyn Fn(&mut Refs)| {
        let mut changed = refs.clone();
        change(&mut changed);
        refuse::<Refs>("refs", name, comment, codec::preimage(&changed))
    };
    // A name of the same length that cannot be made through the type.
    let patched = |name: &str, comment: &str, text: &[u8; 4]| {
        let mut bytes = codec::preimage(&refs);
        let at = bytes
            .windows(5)
            .position(|w| w == b"\x64v1.0")
            .expect("it is there");
        bytes[at + 1..at + 5].copy_from_slice(text);
        refuse::<Refs>("refs", name, comment, bytes)
    };
    VectorFile {
        name: "refs",
        about: ABOUT,
        vectors: vec![
            accept("some", "Three names and one withdrawn revision.", &refs),
            accept("none", "Nothing but the lists.", &Refs::default()),
            refuse_changed("unsorted", "Names out of order.", &|r| r.names.swap(0, 1)),
            refuse_changed("twice", "One name twice.", &|r| {
                r.names[1] = r.names[0].clone();
            }),
            refuse_changed("main", "`main` belongs to the head.", &|r| {
                r.names[1].0 = "main".parse().expect("a valid name");
            }),
            refuse_changed("withdrawn_twice", "One revision withdrawn twice.", &|r| {
                r.withdrawn.push(r.withdrawn[0].clone());
            }),
            refuse_changed("long_reason", "A reason of 201 bytes.", &|r| {
                r.withdrawn[0].1 = "r".repeat(201);
            }),
            patched("name_slash", "A name with a slash.", b"v/.0"),
            patched("name_dots", "A name that git refuses.", b"v..0"),
            patched("name_dash", "A name that looks like an option.", b"-f.0"),
        ],
    }
}
