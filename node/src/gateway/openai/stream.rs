//! Answers in parts, as server-sent events: `data: {…}`, an empty line, and `data: [DONE]` at the end.

use std::{convert::Infallible, pin::Pin, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{
    Stream, StreamExt,
    stream::{self, SelectAll},
};
use serde_json::Value;
use tokio::time;
use weft_protocol::infer::{Event, Finish, Sampled, Usage};

use super::reply::{Answer, Failed, named};
use crate::{
    gateway::ask::{Begun, Coming, Fault, News},
    infer::Model,
};

/// Silence that is broken by a comment, so that nothing on the way takes the connection for dead.
const SILENCE: Duration = Duration::from_secs(15);
const STILL: &[u8] = b": still at it\n\n";

/// Makes the parts of an answer.
pub(super) trait Parts: Send + 'static {
    /// Before the first text of an answer.
    fn begin(&mut self, index: usize) -> Vec<Value>;
    /// The answer goes on.
    fn go_on(&mut self, index: usize, text: &str, tokens: &[Sampled]) -> Vec<Value>;
    /// The answer is over.
    fn end(&mut self, index: usize, finish: Finish, usage: Usage) -> Vec<Value>;
    /// All answers are over.
    fn finish(&mut self) -> Vec<Value>;
}

type Numbered = (usize, Result<Event, Fault>);
type Answers = SelectAll<Pin<Box<dyn Stream<Item = Numbered> + Send>>>;

struct State<P> {
    answers: Answers,
    parts: P,
    is_over: bool,
}

/// Streams answers that run side by side.
pub(super) fn events<P: Parts>(begun: Vec<Begun>, parts: P) -> Response {
    let answers = begun
        .into_iter()
        .enumerate()
        .map(|(index, begun)| numbered(index, begun));
    let state = State {
        answers: stream::select_all(answers),
        parts,
        is_over: false,
    };
    let body = stream::unfold(state, |mut state| async {
        if state.is_over {
            return None;
        }
        let bytes = state.next().await;
        Some((Ok::<_, Infallible>(bytes), state))
    });
    response(Body::from_stream(body))
}

fn response(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    named(response)
}

/// Where an answer is that could not begin at once.
enum Late<T, F> {
    /// Its model is fetched.
    Fetching(Coming, T),
    /// Its model is loaded, and reads.
    Beginning(Pin<Box<F>>),
    Going(BodyDataStream),
    Over,
}

/// Streams what `then` answers in parts as soon as a model is here, and comments until then.
pub(super) fn after<T, F>(coming: Coming, then: T) -> Response
where
    T: FnOnce(Model) -> F + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let body = stream::unfold(Late::Fetching(coming, then), Late::next);
    response(Body::from_stream(body))
}

impl<T: FnOnce(Model) -> F, F: Future<Output = Answer>> Late<T, F> {
    async fn next(self) -> Option<(Result<Bytes, axum::Error>, Self)> {
        let failed = |fault| Some((Ok(frames(&[Failed(fault).body()])), Self::Over));
        let still = Bytes::from_static(STILL);
        match self {
            Self::Fetching(mut coming, then) => {
                let news = time::timeout(SILENCE, coming.next()).await;
                match news {
                    Err(_) => Some((Ok(still), Self::Fetching(coming, then))),
                    Ok(News::Percent(percent)) => {
                        let comment = format!(": fetching {percent} %\n\n");
                        Some((Ok(comment.into()), Self::Fetching(coming, then)))
                    }
                    Ok(News::Over(Ok(model))) => {
                        let comment = Bytes::from_static(b": loading\n\n");
                        Some((Ok(comment), Self::Beginning(Box::pin(then(model)))))
                    }
                    Ok(News::Over(Err(fault))) => failed(fault),
                }
            }
            Self::Beginning(mut answer) => match time::timeout(SILENCE, &mut answer).await {
                Err(_) => Some((Ok(still), Self::Beginning(answer))),
                Ok(Ok(response)) => {
                    let going = response.into_body().into_data_stream();
                    Box::pin(Self::Going(going).next()).await
                }
                Ok(Err(fault)) => failed(fault),
            },
            Self::Going(mut going) => {
                let bytes = going.next().await?;
                Some((bytes, Self::Going(going)))
            }
            Self::Over => None,
        }
    }
}

fn numbered(index: usize, begun: Begun) -> Pin<Box<dyn Stream<Item = Numbered> + Send>> {
    let events = stream::unfold(Some(begun), move |begun| async move {
        let mut begun = begun?;
        let event = begun.next().await;
        let is_over = matches!(event, Ok(Event::Done { .. }) | Err(_));
        Some(((index, event), (!is_over).then_some(begun)))
    });
    Box::pin(events)
}

impl<P: Parts> State<P> {
    async fn next(&mut self) -> Bytes {
        loop {
            let Ok(next) = time::timeout(SILENCE, self.answers.next()).await else {
                return Bytes::from_static(STILL);
            };
            let parts = match next {
                Some((index, Ok(Event::Started { .. }))) => self.parts.begin(index),
                Some((index, Ok(Event::Tokens { text, tokens }))) => {
                    self.parts.go_on(index, &text, &tokens)
                }
                Some((index, Ok(Event::Done { finish, usage, .. }))) => {
                    self.parts.end(index, finish, usage)
                }
                Some((_, Ok(Event::Embedded { .. } | Event::Scored { .. } | Event::Failed(_)))) => {
                    self.is_over = true;
                    let fault = Fault::failed("the engine answered something else");
                    return frames(&[Failed(fault).body()]);
                }
                Some((_, Err(fault))) => {
                    self.is_over = true;
                    return frames(&[Failed(fault).body()]);
                }
                None => {
                    self.is_over = true;
                    let last = frames(&self.parts.finish());
                    return [&last[..], b"data: [DONE]\n\n"].concat().into();
                }
            };
            if !parts.is_empty() {
                return frames(&parts);
            }
        }
    }
}

fn frames(parts: &[Value]) -> Bytes {
    let frames: Vec<String> = parts
        .iter()
        .map(|part| format!("data: {part}\n\n"))
        .collect();
    frames.concat().into()
}
