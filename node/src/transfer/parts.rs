//! Files on their way to their names, in folders of the user's.
//!
//! Each is noted in the data directory before it exists, so that what a killed node left is removed when it starts again,
//! wherever it lies, and nobody finds it among his files.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{self, Path, PathBuf},
};

use tracing::warn;

const PREFIX: &[u8] = b".weft-";
const SUFFIX: &[u8] = b".part";

/// The notes.
#[derive(Debug)]
pub(crate) struct Parts {
    notes: PathBuf,
}

impl Parts {
    /// Opens the notes in a folder of their own, and removes what an earlier run of this node did not finish. What cannot
    /// be removed now, as its disk is not there, stays noted.
    pub(super) fn open(notes: PathBuf) -> Self {
        let made = fs::create_dir_all(&notes);
        for entry in made
            .and_then(|()| fs::read_dir(&notes))
            .into_iter()
            .flatten()
            .flatten()
        {
            let note = entry.path();
            if let Err(error) = remove_noted(&note) {
                warn!(note = %note.display(), %error, "an unfinished file cannot be removed");
            }
        }
        Self { notes }
    }

    /// A path beside `target`, with nothing there yet.
    ///
    /// # Errors
    /// If `target` is relative and the working directory is gone.
    pub(crate) fn beside(&self, target: &Path) -> io::Result<Part> {
        let name = format!(".weft-{:016x}.part", fastrand::u64(..));
        let path = path::absolute(target)?.with_file_name(&name);
        let note = self.notes.join(name);
        // Where no note can be made, as this disk is full, the other disk's file is worth more than the note.
        if let Err(error) = fs::write(&note, path.as_os_str().as_bytes()) {
            warn!(note = %note.display(), %error, "what a crash would leave is not noted");
        }
        Ok(Part { path, note })
    }

    /// Writes a small file, whole or not at all.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn write(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let part = self.beside(target)?;
        fs::write(part.path(), bytes)?;
        part.finish(target)
    }
}

fn remove_noted(note: &Path) -> io::Result<()> {
    let left = PathBuf::from(OsString::from_vec(fs::read(note)?));
    // Another name was noted by halves, before its file was begun.
    if is_part(&left) {
        if !left.parent().is_some_and(Path::exists) {
            return Err(io::ErrorKind::NotFound.into());
        }
        remove(&left)?;
    }
    fs::remove_file(note)
}

/// A file that is not finished. It is removed unless it gets its name.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    note: PathBuf,
}

impl Part {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, over whatever has it.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub(crate) fn finish(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        if remove(&self.path).is_ok() {
            fs::remove_file(&self.note).ok();
        }
    }
}

fn is_part(path: &Path) -> bool {
    let name = path.file_name().map_or(&b""[..], OsStr::as_bytes);
    path.is_absolute() && name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_node_left_is_gone_at_the_next_start_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let (notes, view) = (home.path().join("notes"), home.path().join("view"));
        fs::create_dir(&view).unwrap();
        let target = view.join("weights");
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            names.collect::<Vec<_>>()
        };

        let parts = Parts::open(notes.clone());
        for _ in 0..2 {
            let left = parts.beside(&target).unwrap();
            fs::write(left.path(), "half").unwrap();
            std::mem::forget(left);
        }
        std::mem::forget(parts.beside(&target).unwrap());
        let whole = parts.beside(&target).unwrap();
        fs::write(whole.path(), "whole").unwrap();
        whole.finish(&target).unwrap();
        let given_up = parts.beside(&target).unwrap();
        fs::write(given_up.path(), "half").unwrap();
        drop(given_up);
        // Where two names are one file already, to rename one does nothing.
        let again = parts.beside(&target).unwrap();
        fs::hard_link(&target, again.path()).unwrap();
        again.finish(&target).unwrap();
        assert_eq!((names(&view).len(), names(&notes).len()), (3, 3));
        // A note that the kill cut short, and one that somebody else wrote.
        fs::write(notes.join("short"), view.as_os_str().as_bytes()).unwrap();
        fs::write(notes.join("alien"), target.as_os_str().as_bytes()).unwrap();

        // A disk that is not there just now, and something that is no note.
        let away = home.path().join("away").join(".weft-1.part");
        fs::write(notes.join("away"), away.as_os_str().as_bytes()).unwrap();
        fs::create_dir(notes.join("folder")).unwrap();

        Parts::open(notes.clone());
        assert_eq!(names(&view), ["weights"]);
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        let mut stay = names(&notes);
        stay.sort();
        assert_eq!(stay, ["away", "folder"]);
    }
}
