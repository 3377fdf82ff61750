//! The tensor index: which bytes of a revision's weight files are which tensor.
//!
//! The index is a help (for moving only what changed, for loading one layer), never a duty: a file whose tensors do
//! not fit into a manifest is published without. [`Room`] decides that before anybody hashes anything.

use minicbor::{Decode, Encode};

use super::{Manifest, text};
use crate::{
    codec::{bounded, encode},
    formats::TensorInfo,
    id::ObjectId,
    limits,
};

/// One tensor of a safetensors or GGUF file.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tensor {
    /// Index into the manifest's files.
    #[n(0)]
    pub file: u32,
    /// Name.
    #[n(1)]
    pub name: String,
    /// Element type as its format spells it.
    #[n(2)]
    pub dtype: String,
    /// Shape, in the order in which the file has it.
    #[cbor(
        n(3),
        decode_with = "bounded::<{ limits::TENSOR_DIMENSIONS_MAX }, _, _>"
    )]
    pub shape: Vec<u64>,
    /// Byte offset in the file.
    #[n(4)]
    pub offset: u64,
    /// Bytes.
    #[n(5)]
    pub len: u64,
    /// BLAKE3 of those bytes.
    #[n(6)]
    pub blake3: ObjectId,
}

impl Tensor {
    /// The entry of a tensor whose bytes are yet to be hashed.
    pub fn unhashed(file: u32, info: TensorInfo) -> Self {
        Self {
            file,
            name: info.name,
            dtype: info.dtype.to_owned(),
            shape: info.shape,
            offset: info.offset,
            len: info.len,
            blake3: ObjectId::new([0; 32]),
        }
    }

    /// What an index is sorted by.
    pub(super) fn place(&self) -> (u32, u64, &str) {
        (self.file, self.offset, &self.name)
    }

    /// Checks what concerns this entry alone.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.shape.len() > limits::TENSOR_DIMENSIONS_MAX {
            return Err("a tensor has too many dimensions".to_owned());
        }
        text("tensor name", &self.name, 1, limits::TENSOR_NAME_LEN_MAX)?;
        text("tensor type", &self.dtype, 1, limits::TENSOR_DTYPE_LEN_MAX)
    }
}

/// Why the tensors of a file are not put into an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// More tensors than an index may have.
    #[error("the index would have {0} tensors")]
    TooMany(usize),
    /// More bytes than a manifest may have.
    #[error("the manifest would have {0} bytes")]
    TooLong(usize),
    /// A name that a manifest does not take.
    #[error("{0}")]
    BadEntry(String),
}

/// What is left in a manifest for its tensor index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    tensors: usize,
    bytes: usize,
}

impl Room {
    /// What a manifest has beside its index.
    pub fn beside(manifest: &Manifest) -> Self {
        let without = Manifest {
            tensors: Vec::new(),
            ..manifest.clone()
        };
        // The head of a long list takes four bytes more than that of an empty one.
        let bytes = encode(&without).len().saturating_add(4);
        Self { tensors: 0, bytes }
    }

    /// Takes the place of all tensors of a file, hashed or not, or none.
    ///
    /// # Errors
    /// If they do not fit, or one of them cannot stand in a manifest.
    pub fn take(&mut self, tensors: &[Tensor]) -> Result<(), NoRoom> {
        let mut after = *self;
        after.tensors = after.tensors.saturating_add(tensors.len());
        if after.tensors > limits::TENSORS_MAX {
            return Err(NoRoom::TooMany(after.tensors));
        }
        for tensor in tensors {
            tensor.validate().map_err(NoRoom::BadEntry)?;
            after.bytes = after.bytes.saturating_add(encode(tensor).len());
        }
        if after.bytes > limits::MANIFEST_LEN_MAX {
            return Err(NoRoom::TooLong(after.bytes));
        }
        *self = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::Object,
        id::{PublisherId, RepositoryId},
        manifest::{Card, Kind},
        time::Timestamp,
    };

    fn manifest() -> Manifest {
        Manifest {
            repository: RepositoryId {
                publisher: PublisherId::new([1; 32]),
                name: "m".parse().unwrap(),
            },
            kind: Kind::Model,
            parents: vec![],
            files: vec![],
            card: Card::default(),
            tensors: vec![],
            message: String::new(),
            created: Timestamp(1),
        }
    }

    fn entries(file: u32, count: usize, name_len: usize) -> Vec<Tensor> {
        let info = |n: usize| TensorInfo {
            name: format!("{n:0name_len$}"),
            dtype: "F32",
            shape: vec![1],
            offset: 4 * n as u64,
            len: 4,
        };
        (0..count)
            .map(|n| Tensor::unhashed(file, info(n)))
            .collect()
    }

    #[test]
    fn room_counts_what_the_manifest_will_take() {
        let mut manifest = manifest();
        let mut room = Room::beside(&manifest);
        for file in [3, 300] {
            let mut entries = entries(file, 5_000, 20);
            room.take(&entries).unwrap();
            entries[0].blake3 = ObjectId::new([7; 32]);
            manifest.tensors.extend(entries);
        }
        let len = encode(&manifest).len();
        assert!((len..len + 4).contains(&room.bytes), "{len} {room:?}");
    }

    #[test]
    fn file_fits_whole_or_not_at_all() {
        let mut room = Room::beside(&manifest());
        room.take(&entries(0, 20_000, 400)).unwrap();
        let before = room;
        assert!(matches!(
            room.take(&entries(1, 20_000, 500)),
            Err(NoRoom::TooLong(_))
        ));
        assert!(matches!(
            room.take(&entries(1, limits::TENSORS_MAX, 6)),
            Err(NoRoom::TooMany(_))
        ));
        assert_eq!(room, before);
        room.take(&entries(1, 100, 6)).unwrap();
    }

    #[test]
    fn names_that_a_manifest_refuses_are_found_before() {
        for name in ["", "a\nb", "\u{202e}"] {
            let mut bad = entries(0, 2, 3);
            name.clone_into(&mut bad[1].name);
            let refused = Room::beside(&manifest()).take(&bad);
            assert!(matches!(refused, Err(NoRoom::BadEntry(_))), "{name:?}");
            let mut manifest = manifest();
            manifest.tensors = vec![bad.remove(1)];
            assert!(manifest.validate().is_err());
        }
    }
}
