//! Lines of a long answer.

use serde::{Deserialize, Serialize};

use super::ErrorBody;

/// One line: `{"progress": {…}}`, `{"result": {…}}` or `{"error": {…}}`. The last two end the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line<T> {
    /// How far it is. At most a few a second.
    Progress(Progress),
    /// It went well.
    Result(T),
    /// It failed.
    Error(ErrorBody),
}

/// What a long command is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Looking for the publisher's newest head, and for the manifest.
    Resolving,
    /// Reading and hashing local files.
    Importing,
    /// Signing and committing.
    Signing,
    /// Telling others.
    Announcing,
    /// Moving bytes.
    Fetching,
    /// Re-reading what is on disk.
    Verifying,
    /// Making the files visible in a folder.
    Exporting,
    /// Bringing a model into memory.
    Loading,
    /// Waiting for peers, or for anything else out of our hands.
    #[default]
    #[serde(other)]
    Waiting,
}

/// How far a long command is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// What is going on.
    pub phase: Phase,
    /// Bytes finished in this phase, those that were here before included.
    pub bytes_done: u64,
    /// Bytes of this phase; 0 while unknown.
    pub bytes_total: u64,
    /// Bytes that were here before the command began.
    pub bytes_reused: u64,
    /// Bytes per second of the last few seconds, if measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Peers that bytes are drawn from right now.
    pub peers_active: u32,
    /// Peers known to have something of it.
    pub peers_known: u32,
    /// The file at work, or anything else worth a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far the file at work is, where files come one after another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileProgress>,
}

/// How far one file is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FileProgress {
    /// SHA-256 of the whole file: 64 hex.
    pub sha256: String,
    /// Bytes that are here.
    pub bytes_done: u64,
    /// Bytes of the file.
    pub bytes_total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ErrorCode;

    #[test]
    fn lines_have_the_promised_shape() {
        let line: Line<u32> = Line::Result(7);
        assert_eq!(serde_json::to_string(&line).unwrap(), r#"{"result":7}"#);
        let line: Line<u32> =
            Line::Error(ErrorBody::new(ErrorCode::Offline, "no peer is connected"));
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"error":{"code":"offline","message":"no peer is connected"}}"#
        );
    }

    #[test]
    fn progress_of_a_newer_node_is_understood() {
        let text = r#"{"progress":{"phase":"teleporting","bytes_done":5,"colour":"green"}}"#;
        let line: Line<u32> = serde_json::from_str(text).unwrap();
        let Line::Progress(progress) = line else {
            panic!("expected progress");
        };
        assert_eq!(progress.phase, Phase::Waiting);
        assert_eq!(progress.bytes_done, 5);
    }
}
