//! Small questions that clients ask on the side.

use axum::{http::StatusCode, response::IntoResponse};
use serde_json::json;

use super::{
    Call, Hub, info,
    reply::{Answer, Fault, ok},
    repos::Repo,
};

/// Paths that are about no repository.
pub(super) async fn other(hub: &Hub, call: &Call<'_>, segments: &[&str]) -> Answer {
    match segments {
        ["api", "whoami-v2"] => whoami(hub, call).await,
        // Cached for a day by those who ask; nothing to tell.
        ["api", "agent-harnesses"] => Ok(ok(&json!({ "standardEnvVars": [], "harnesses": {} }))),
        // Counted nowhere.
        ["api", "telemetry", ..] => Ok(StatusCode::OK.into_response()),
        ["api", "models-tags-by-type" | "datasets-tags-by-type"] => Ok(ok(&json!({}))),
        ["api", "collections"] => Ok(ok(&json!([]))),
        ["api", "users", user, "overview"] => {
            let known = hub.publisher(user).await?;
            let known = known.ok_or(Fault::NoRoute)?;
            Ok(ok(&json!({
                "user": user, "fullname": known.to_string(), "type": "user", "isPro": false,
                "avatarUrl": "", "numModels": 0, "numDatasets": 0, "numSpaces": 0,
            })))
        }
        ["api", "users", _, "likes"] => Ok(ok(&json!([]))),
        _ => Err(Fault::NoRoute),
    }
}

/// Questions about one repository that have a short answer.
pub(super) fn about(repo: &Repo, verb: &str, rest: &[String], call: &Call<'_>) -> Answer {
    match (verb, rest) {
        ("likers", []) => Ok(ok(&json!([]))),
        ("discussions", []) => Ok(ok(&json!({ "discussions": [], "count": 0, "start": 0 }))),
        ("runtime", []) => Ok(ok(&info::runtime())),
        ("auth-check", []) => Ok(ok(&json!({}))),
        ("auth-check", [what]) if what == "write" => {
            if call.writes {
                Ok(ok(&json!({})))
            } else {
                Err(Fault::Unauthorized)
            }
        }
        ("treesize", _) => {
            let size = repo.main.manifest.bytes_total();
            Ok(ok(&json!({ "path": "/", "size": size })))
        }
        _ => Err(Fault::NoRoute),
    }
}

async fn whoami(hub: &Hub, call: &Call<'_>) -> Answer {
    if !call.writes {
        return Err(Fault::Unauthorized);
    }
    let publisher = hub.operations.default_publisher().await?;
    let name = match publisher {
        Some(publisher) => hub.namespace_of(publisher).await,
        None => "nobody".to_owned(),
    };
    let id = publisher.map_or_else(String::new, |publisher| publisher.to_string());
    Ok(ok(&json!({
        "type": "user",
        "id": id,
        "name": name,
        "fullname": name,
        "email": null,
        "emailVerified": false,
        "isPro": false,
        "canPay": false,
        "avatarUrl": "",
        "orgs": [],
        "auth": {
            "type": "access_token",
            "accessToken": {
                "displayName": "weft",
                "role": "write",
                "createdAt": "1970-01-01T00:00:00.000Z",
            },
        },
    })))
}
