//! Paths of the control API. `GET` reads, `POST` changes; request bodies are JSON.

/// What every path starts with.
pub const PREFIX: &str = "/weft/v1";

/// `GET` [`StatusResponse`](super::StatusResponse).
pub const STATUS: &str = "/weft/v1/status";
/// `GET` [`PeersResponse`](super::PeersResponse); `POST` [`ConnectRequest`](super::ConnectRequest) →
/// [`Done`](super::Done).
pub const PEERS: &str = "/weft/v1/peers";
/// `GET` [`RepositoriesResponse`](super::RepositoriesResponse).
pub const REPOSITORIES: &str = "/weft/v1/repositories";
/// `GET ?reference=…` [`RepositoryInfo`](super::RepositoryInfo), with `&tensors=true` its tensor index too.
pub const REPOSITORY: &str = "/weft/v1/repository";
/// `GET ?reference=…` [`LogResponse`](super::LogResponse).
pub const LOG: &str = "/weft/v1/log";
/// `GET` [`ConfigResponse`](super::ConfigResponse); `POST` [`SetConfigRequest`](super::SetConfigRequest) →
/// [`SetConfigResponse`](super::SetConfigResponse).
pub const CONFIG: &str = "/weft/v1/config";
/// `GET` [`MirrorsResponse`](super::MirrorsResponse).
pub const MIRRORS: &str = "/weft/v1/mirrors";
/// `GET` [`AliasesResponse`](super::AliasesResponse); `POST` [`AliasRequest`](super::AliasRequest) →
/// [`AliasesResponse`](super::AliasesResponse).
pub const ALIASES: &str = "/weft/v1/aliases";
/// `GET` [`IdentitiesResponse`](super::IdentitiesResponse), with `?publisher=…` for one only.
pub const IDENTITIES: &str = "/weft/v1/identities";

/// `POST` [`PublishRequest`](super::PublishRequest) → lines of [`PublishResult`](super::PublishResult).
pub const PUBLISH: &str = "/weft/v1/publish";
/// `POST` [`FetchRequest`](super::FetchRequest) → lines of [`FetchResult`](super::FetchResult).
pub const FETCH: &str = "/weft/v1/fetch";
/// `POST` [`SeedRequest`](super::SeedRequest) → lines of [`SeedResult`](super::SeedResult).
pub const SEED: &str = "/weft/v1/seed";
/// `POST` [`VerifyRequest`](super::VerifyRequest) → lines of [`VerifyResult`](super::VerifyResult).
pub const VERIFY: &str = "/weft/v1/verify";
/// `POST` [`MirrorRequest`](super::MirrorRequest) → lines of [`MirrorView`](super::MirrorView).
pub const MIRROR: &str = "/weft/v1/mirror";

/// `POST` [`UnseedRequest`](super::UnseedRequest) → [`Done`](super::Done).
pub const UNSEED: &str = "/weft/v1/unseed";
/// `POST` [`UnmirrorRequest`](super::UnmirrorRequest) → [`Done`](super::Done).
pub const UNMIRROR: &str = "/weft/v1/unmirror";
/// `POST` [`RemoveRequest`](super::RemoveRequest) → [`RemovedResponse`](super::RemovedResponse).
pub const REMOVE: &str = "/weft/v1/remove";
/// `POST` [`PruneRequest`](super::PruneRequest) → [`RemovedResponse`](super::RemovedResponse).
pub const PRUNE: &str = "/weft/v1/prune";
/// `POST` [`NewIdentityRequest`](super::NewIdentityRequest) → [`NewIdentity`](super::NewIdentity).
pub const IDENTITY_NEW: &str = "/weft/v1/identity/new";
/// `POST` [`RotateRequest`](super::RotateRequest) → [`IdentityView`](super::IdentityView).
pub const IDENTITY_ROTATE: &str = "/weft/v1/identity/rotate";
/// `POST` [`RecoverRequest`](super::RecoverRequest) → [`IdentityView`](super::IdentityView).
pub const IDENTITY_RECOVER: &str = "/weft/v1/identity/recover";
/// `POST` [`HostRequest`](super::HostRequest) → [`HostedView`](super::HostedView).
pub const HOST: &str = "/weft/v1/host";
/// `POST` [`UnhostRequest`](super::UnhostRequest) → [`Done`](super::Done).
pub const UNHOST: &str = "/weft/v1/unhost";
/// `GET` [`HostedResponse`](super::HostedResponse).
pub const HOSTED: &str = "/weft/v1/hosted";
/// `POST` [`AskPeersRequest`](super::AskPeersRequest) → lines of [`AskPeersLine`](super::AskPeersLine).
pub const ASK_PEERS: &str = "/weft/v1/ask-peers";
/// `GET` [`ReceiptsResponse`](super::ReceiptsResponse), with `?receipt=…` for one only, whole.
pub const RECEIPTS: &str = "/weft/v1/receipts";
/// `POST` [`AuditRequest`](super::AuditRequest) → [`AuditResult`](super::AuditResult).
pub const AUDIT: &str = "/weft/v1/audit";
/// `POST`, empty object → [`Done`](super::Done); the node ends after answering.
pub const SHUTDOWN: &str = "/weft/v1/shutdown";
/// `POST` [`AskRequest`](super::AskRequest) → lines of [`AskLine`](super::AskLine).
pub const ASK: &str = "/weft/v1/ask";
/// `POST` [`EmbedRequest`](super::EmbedRequest) → lines of [`EmbedResult`](super::EmbedResult).
pub const EMBED: &str = "/weft/v1/embed";
/// `GET` [`RunningResponse`](super::RunningResponse).
pub const RUNNING: &str = "/weft/v1/running";
/// `POST` [`UnloadRequest`](super::UnloadRequest) → [`Done`](super::Done).
pub const UNLOAD: &str = "/weft/v1/unload";

/// Paths that answer with lines.
pub const STREAMING: [&str; 7] = [PUBLISH, FETCH, SEED, VERIFY, MIRROR, ASK, EMBED];
