//! What each fuzz target does with the bytes it is given: read them as a stranger's, and check what must hold of
//! whatever is understood. A panic anywhere is a find.

use std::{fmt::Display, str::FromStr};

use weft_engine::Template;
use weft_protocol::{
    accept::{EquivocationProof, RepositoryRecord},
    codec::{self, Object},
    formats::{
        self, Format, Header, Reading,
        gguf::{self, Value},
    },
    freshness::Freshness,
    head::Head,
    id::{BlobHash, NodeId, ObjectId, PublisherId, RepositoryId, RepositoryName},
    identity::{IdentityEvent, IdentityLog},
    manifest::Manifest,
    path::RepoPath,
    reference::Reference,
    refs::{RefName, Refs},
    sign::{Envelope, NetworkId},
    time::Timestamp,
    wire::{self, Announcement, Message, Request, Response},
};

/// The network and the time of the golden vectors, so that seeds made from them verify.
const NETWORK: NetworkId = NetworkId(7);
const NOW: Timestamp = Timestamp(1_800_000_000);

/// Objects have one spelling.
pub fn objects(bytes: &[u8]) {
    object::<Manifest>(bytes);
    object::<Refs>(bytes);
    object::<Head>(bytes);
    object::<Freshness>(bytes);
    object::<IdentityEvent>(bytes);
}

fn object<T: Object>(bytes: &[u8]) {
    if let Ok(object) = codec::decode_object::<T>(bytes) {
        assert_eq!(codec::encode(&object), bytes);
    }
    let _ = codec::decode_preimage::<T>(codec::preimage_id(bytes), bytes);
}

/// Messages have one spelling.
pub fn messages(bytes: &[u8]) {
    message::<Request>(bytes);
    message::<Response>(bytes);
    message::<Announcement>(bytes);
    message::<RepositoryRecord>(bytes);
    message::<EquivocationProof>(bytes);
    message::<Envelope>(bytes);
}

fn message<T: Message>(bytes: &[u8]) {
    if let Ok(message) = wire::decode::<T>(bytes) {
        assert_eq!(wire::encode(&message), bytes);
    }
}

/// Whatever is signed can be verified or refused.
pub fn records(bytes: &[u8]) {
    if let Ok(record) = wire::decode::<RepositoryRecord>(bytes) {
        let _ = record.verify(NETWORK, NOW);
        let _ = IdentityLog::verify(NETWORK, &record.identity);
    }
    if let Ok(proof) = wire::decode::<EquivocationProof>(bytes) {
        let _ = proof.verify(NETWORK);
    }
    if let Ok(envelope) = wire::decode::<Envelope>(bytes) {
        let _ = IdentityLog::verify(NETWORK, std::slice::from_ref(&envelope));
        let _ = envelope.decode_body::<Head>();
        let _ = envelope.decode_body::<Freshness>();
    }
}

/// A name that is understood is written as it was meant.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    name::<RepoPath>(text);
    name::<RefName>(text);
    name::<RepositoryName>(text);
    name::<RepositoryId>(text);
    name::<PublisherId>(text);
    name::<ObjectId>(text);
    name::<BlobHash>(text);
    name::<NodeId>(text);
    let _ = text.parse::<Reference>();
    if let Ok(path) = text.parse::<RepoPath>() {
        assert_eq!(path.as_str(), text, "paths are refused, never repaired");
        let _ = path.folded();
    }
}

fn name<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(name) = text.parse::<T>() {
        let again = name.to_string().parse::<T>().ok();
        assert_eq!(again.as_ref(), Some(&name));
    }
}

/// Headers of safetensors files.
pub fn safetensors(bytes: &[u8]) {
    header(Format::Safetensors, bytes);
}

/// Headers of GGUF files, and every value in them.
pub fn gguf(bytes: &[u8]) {
    header(Format::Gguf, bytes);
    if let Ok(Reading::Done(gguf)) = gguf::read(bytes, bytes.len() as u64) {
        for (key, value) in gguf.entries() {
            assert_eq!(gguf.get(key).is_some(), true);
            items(value);
        }
        let _ = gguf.of_architecture("context_length");
    }
}

/// An array has as many items as it says.
fn items(value: Value<'_>) {
    if let Value::Array(array) = value {
        let mut count = 0;
        for item in array {
            items(item);
            count += 1;
        }
        assert_eq!(count, array.len());
    }
}

/// Read in steps and at once the answer is the same, and a header that is accepted is sound.
fn header(format: Format, file: &[u8]) {
    let size = file.len() as u64;
    let mut seen = 0;
    let stepwise = loop {
        match formats::read(format, &file[..seen], size) {
            Ok(Reading::Done(header)) => break Ok(header),
            Err(error) => break Err(error),
            Ok(Reading::More { len }) => {
                assert!(len > seen as u64 && len <= size, "{seen} {len} {size}");
                seen = len as usize;
            }
        }
    };
    match (&stepwise, formats::read(format, file, size)) {
        (Ok(header), Ok(Reading::Done(whole))) => {
            assert_eq!(*header, whole);
            sound(header, size);
        }
        (Err(error), Err(whole)) => assert_eq!(*error, whole),
        (stepwise, whole) => panic!("{stepwise:?} {whole:?}"),
    }
    // The same header at the beginning of a larger file.
    if let Ok(Reading::Done(header)) = formats::read(format, file, u64::MAX) {
        sound(&header, u64::MAX);
    }
}

fn sound(header: &Header, size: u64) {
    let mut end = header.data_start;
    for tensor in header.tensors.iter().filter(|tensor| tensor.len > 0) {
        assert!(tensor.offset >= end, "{tensor:?} overlaps");
        end = tensor.offset + tensor.len;
        assert!(end <= size, "{tensor:?}");
    }
}

/// What a template sees if the input names nothing.
const CONVERSATION: &str = r#"[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]"#;

/// A template may be refused, or refuse, but it comes to an end. Before the first zero byte stands the template, after it
/// a conversation.
pub fn templates(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (source, messages) = text.split_once('\0').unwrap_or((text, CONVERSATION));
    if let Ok(template) = Template::new(source) {
        let _ = template.try_out(messages);
    }
}
