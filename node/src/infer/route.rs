//! Who answers the programs of this machine: this machine, or a peer, as the user set it.

use std::{fmt, str::FromStr};

use futures::{FutureExt, StreamExt, stream};
use serde::{Deserialize, Serialize};
use weft_protocol::infer::{Event, Refusal};

use super::{Answerer, Asker, Caller, Describing, Events, Model, Question, pool::Pool};

/// When programs of this machine are answered by peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peers {
    /// Never: no prompt leaves this machine.
    #[default]
    Never,
    /// Where the model is not here; it is not fetched then.
    Missing,
    /// Always.
    Always,
}

impl FromStr for Peers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "missing" => Ok(Self::Missing),
            "always" => Ok(Self::Always),
            _ => Err(format!("`{text}` is none of never, missing, always")),
        }
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::Missing => "missing",
            Self::Always => "always",
        })
    }
}

/// This machine or a peer.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) here: Pool,
    pub(crate) elsewhere: Asker,
    pub(crate) peers: Peers,
}

impl Answerer for Route {
    fn ask(&self, question: Question) -> Events {
        match self.peers {
            Peers::Never => self.here.ask(question),
            Peers::Always => self.elsewhere.ask(question),
            Peers::Missing => {
                let (route, again) = (self.clone(), question.clone());
                let mut events = self.here.ask(question);
                let routed = async move {
                    match events.next().await {
                        Some(Event::Failed(Refusal::NotFound(_))) => route.elsewhere.ask(again),
                        first => stream::iter(first).chain(events).boxed(),
                    }
                };
                routed.flatten_stream().boxed()
            }
        }
    }

    fn describe(&self, model: Model, caller: Caller) -> Describing {
        let route = self.clone();
        async move {
            if route.peers != Peers::Always {
                match route.here.describe(model.clone(), caller).await {
                    Err(Refusal::NotFound(_)) if route.peers == Peers::Missing => {}
                    described => return described,
                }
            }
            route.elsewhere.describe(model, caller).await
        }
        .boxed()
    }
}
