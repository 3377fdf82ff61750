//! Cuts files that follow another version of themselves where their content says so.
//!
//! Only those: a first version shares nothing with what others have of this repository, and pays nothing. As with tensors
//! nothing here makes a publication fail: a file that cannot be read is published without chunks.

use std::collections::BTreeSet;

use weft_protocol::manifest::{Chunks, File, Manifest};

use super::super::Operations;

impl Operations {
    /// Adds chunks to the files of a new revision that follow other versions of themselves in `old`, and have no tensors
    /// by which the same would be found.
    pub(super) async fn cut_followers(&self, manifest: &mut Manifest, old: &Manifest) {
        let followers = followers(manifest, old);
        let files = &mut manifest.files;
        let sizes = followers.iter().filter_map(|at| files.get(*at));
        let log2 = Chunks::log2_for(sizes.map(|file| file.size).sum());
        for at in followers {
            if let Some(file) = files.get_mut(at) {
                let chunks = self.transfer.chunks(file.blake3, log2).await;
                file.chunks = chunks.filter(|chunks| chunks.check(file.size).is_ok());
            }
        }
    }
}

/// Gives files that are as they were in `old` the chunks that they had there: they have not changed.
pub(super) fn keep_chunks(files: &mut [File], old: &Manifest) {
    for file in files {
        let before = old.file(&file.path).filter(|old| old.blake3 == file.blake3);
        if let Some(before) = before {
            file.chunks.clone_from(&before.chunks);
        }
    }
}

/// The files worth cutting, by their place in the manifest.
fn followers(manifest: &Manifest, old: &Manifest) -> Vec<usize> {
    let with_tensors: BTreeSet<_> = manifest.tensors.iter().map(|tensor| tensor.file).collect();
    let is_follower = |file: &File| {
        let before = old.file(&file.path);
        before.is_some_and(|old| old.blake3 != file.blake3 && Chunks::apply_to(old.size))
            && Chunks::apply_to(file.size)
    };
    let files = manifest.files.iter().enumerate();
    files
        .filter(|(at, file)| {
            is_follower(file) && u32::try_from(*at).is_ok_and(|at| !with_tensors.contains(&at))
        })
        .map(|(at, _)| at)
        .collect()
}
