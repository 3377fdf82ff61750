//! Large files on their way here: which are wanted, and where to send them (git-lfs batch API, basic transfer).
//!
//! Clients send the bytes without their token, so the address they are sent to is itself the permission: it names hash
//! and size and carries a code that only this node can make.

use axum::{body::Body, http::StatusCode, response::IntoResponse};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::json;

use super::{
    Call, Hub,
    commits::known_files,
    origin,
    reply::{Answer, Fault, ok},
    repos::Repo,
    staging::parse_oid,
};

/// The largest file that is taken inside a commit. Larger ones are uploaded on their own and stream to disk.
pub(super) const INLINE_LEN_MAX: u64 = 10 * 1024 * 1024;
/// Objects of one batch, and files of one question.
const BATCH_MAX: usize = 1_000;
/// The first segment of upload addresses; never a namespace.
pub(super) const UPLOADS: &str = "uploads";

/// `POST preupload/{revision}`: how each file shall come.
pub(super) async fn preupload(hub: &Hub, repo: &Repo, revision: &str, body: &[u8]) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        files: Vec<AskedFile>,
    }
    #[derive(Deserialize)]
    struct AskedFile {
        path: String,
        #[serde(default)]
        size: u64,
    }
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| Fault::Invalid(format!("the list of files: {error}")))?;
    if asked.files.len() > BATCH_MAX {
        return Err(Fault::TooLarge(format!(
            "more than {BATCH_MAX} files at once"
        )));
    }
    let commit = hub.commit(repo, revision).await?;
    let answer = |file: &AskedFile| {
        let large = file.size > INLINE_LEN_MAX;
        let mut shown = json!({
            "path": file.path,
            "uploadMode": if large { "lfs" } else { "regular" },
            "shouldIgnore": false,
        });
        // What is there already, in the form that the client will compute for its own.
        let there = commit.file(&file.path);
        if let Some(there) = there.filter(|there| there.git_sha1.is_none() == large) {
            shown["oid"] = json!(super::commit::content_id(there));
        }
        shown
    };
    let files: Vec<_> = asked.files.iter().map(answer).collect();
    Ok(ok(&json!({ "files": files })))
}

/// `POST {id}.git/info/lfs/objects/batch`.
pub(super) async fn batch(hub: &Hub, repo: &Repo, call: &Call<'_>, body: &[u8]) -> Answer {
    #[derive(Deserialize)]
    struct Asked {
        operation: String,
        objects: Vec<Object>,
    }
    #[derive(Deserialize)]
    struct Object {
        oid: String,
        size: u64,
    }
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| Fault::Invalid(format!("the batch: {error}")))?;
    if asked.objects.len() > BATCH_MAX {
        return Err(Fault::TooLarge(format!(
            "more than {BATCH_MAX} objects at once"
        )));
    }
    let known = known_files(hub, repo).await?;
    let mut objects = Vec::new();
    for object in &asked.objects {
        let sha256 = parse_oid(&object.oid)?;
        let mut shown = json!({ "oid": object.oid, "size": object.size });
        let transfer = &hub.operations.transfer;
        let uploaded = hub.staging.uploaded(transfer, &sha256);
        let here = known.contains_key(&sha256) || uploaded.await.is_some();
        match asked.operation.as_str() {
            "upload" if !here => {
                let href = |verb: &str| {
                    let key = hub.upload_code(&sha256, object.size);
                    format!(
                        "{}/{UPLOADS}/{verb}/{}/{}/{key}",
                        origin(call.headers),
                        object.oid,
                        object.size
                    )
                };
                shown["authenticated"] = json!(true);
                shown["actions"] = json!({
                    "upload": { "href": href("lfs") },
                    "verify": { "href": href("verify") },
                });
            }
            "upload" => {}
            _ => {
                let message = "download it from its address under /resolve/";
                shown["error"] = json!({ "code": 422, "message": message });
            }
        }
        objects.push(shown);
    }
    Ok(ok(&json!({ "transfer": "basic", "objects": objects })))
}

/// `PUT /uploads/lfs/{sha256}/{size}/{code}` and `POST /uploads/verify/…`.
pub(super) async fn upload(hub: &Hub, call: &Call<'_>, segments: &[&str], body: Body) -> Answer {
    let [verb, oid, size, code] = segments else {
        return Err(Fault::NoRoute);
    };
    let sha256 = parse_oid(oid)?;
    let size: u64 = size.parse().map_err(|_| Fault::NoRoute)?;
    // Hashes are compared, so that time tells nothing about the right code.
    let expected = blake3::hash(hub.upload_code(&sha256, size).as_bytes());
    if blake3::hash(code.as_bytes()) != expected {
        return Err(Fault::Forbidden(
            "this is no address to upload to".to_owned(),
        ));
    }
    match (*verb, call.method.as_str()) {
        ("lfs", "PUT") => {
            hub.staging.receive(&sha256, size, body).await?;
            Ok(StatusCode::OK.into_response())
        }
        ("verify", "POST") => match hub
            .staging
            .uploaded(&hub.operations.transfer, &sha256)
            .await
        {
            Some(here) if here == size => Ok(ok(&json!({}))),
            _ => Err(Fault::Invalid(format!("`{oid}` was not uploaded"))),
        },
        ("lfs" | "verify", _) => Err(Fault::Method),
        _ => Err(Fault::NoRoute),
    }
}

impl Hub {
    /// The permission to upload this content.
    fn upload_code(&self, sha256: &[u8; 32], size: u64) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.upload_key);
        hasher.update(sha256);
        hasher.update(&size.to_le_bytes());
        HEXLOWER.encode(hasher.finalize().as_bytes())
    }
}
