//! `GET /v1/models` and `GET /v1/models/{id}`.

use serde_json::{Value, json};

use super::reply::{Answer, ok};
use crate::{
    api::{ErrorBody, ErrorCode},
    gateway::ask::Fault,
    operations::{HeldModel, Operations},
};

pub(super) async fn list(operations: &Operations) -> Answer {
    let models = operations.held_models().await?;
    let entries = models.iter().flat_map(|model| {
        let names = model.names();
        names.map(|(name, _)| entry(&name, model))
    });
    Ok(ok(
        json!({ "object": "list", "data": entries.collect::<Vec<_>>() }),
    ))
}

/// One model that is here, under any name that means it.
pub(super) async fn one(operations: &Operations, id: &str) -> Answer {
    match operations.held_model(id).await {
        Ok(Some((model, _))) => Ok(ok(entry(id, &model))),
        Ok(None) => {
            let error = ErrorBody::new(ErrorCode::NotFound, "it is not here");
            Err(Fault::of_model(id, &error))
        }
        Err(error) => Err(Fault::of_model(id, &error)),
    }
}

fn entry(name: &str, model: &HeldModel) -> Value {
    let owner = model.base.split('/').next().unwrap_or_default();
    json!({
        "id": name, "object": "model", "created": model.manifest.created.0, "owned_by": owner,
    })
}
