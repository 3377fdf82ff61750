//! The words of the local control API: what `weft` and other programs on this machine say to a node.
//!
//! Only types and route names live here; the server is in `gateway`, the client in `weft-cli`. The API
//! answers on the gateway's address under [`route::PREFIX`], only with the bearer token that lies in the
//! data directory.
//!
//! - A short request is answered with status 200 and one JSON object, or with an error status
//!   ([`ErrorCode::http_status`]) and `{"error": …}` ([`ErrorResponse`]).
//! - A long request ([`route::STREAMING`]) is answered with status 200 and lines of JSON ([`Line`]): any
//!   number of `progress`, then one `result` or one `error`. Closing the connection cancels it.
//!
//! Ids are text here, in the forms of [`weft_protocol::id`]; a field called `reference` takes everything a
//! person may write (petname, prefix, full reference), and the node resolves it. Unknown fields are ignored
//! by clients and refused by the node, so fields may be added to answers at any time.

pub mod command;
pub mod config;
pub mod error;
pub mod hosting;
pub mod identity;
pub mod model;
pub mod progress;
pub mod repository;
pub mod route;
pub mod status;

pub use command::*;
pub use config::*;
pub use error::*;
pub use hosting::*;
pub use identity::*;
pub use model::*;
pub use progress::*;
pub use repository::*;
pub use status::*;
