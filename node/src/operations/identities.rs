//! `weft id` and `weft alias`.

use weft_protocol::{
    id::{PublisherId, RepositoryId},
    identity::IdentityLog,
    service::{Command, Freshness},
};
use weft_registry::PetnameTarget;

use super::{Operations, blocking, blocking_io, shutting_down};
use crate::{
    api::{
        AliasRequest, AliasView, AliasesResponse, ErrorBody, ErrorCode, IdentitiesResponse,
        IdentityPhrase, IdentityView, NewIdentity, NewIdentityRequest, RecoverRequest,
        RotateRequest,
    },
    identity::{Created, KeyStore, RecoveryPhrase},
    service::unix,
};

/// Registry setting that names the identity to sign with when no other is named.
const DEFAULT_IDENTITY: &str = "identity.default";

impl Operations {
    /// Local identities, or the one that is asked for.
    pub(crate) async fn identities(
        &self,
        publisher: Option<&str>,
    ) -> Result<IdentitiesResponse, ErrorBody> {
        let wanted = match publisher {
            Some(text) => vec![self.publisher(text).await?],
            None => self.local_publishers().await?,
        };
        let mut identities = Vec::with_capacity(wanted.len());
        for publisher in wanted {
            identities.push(self.identity_view(publisher).await?);
        }
        Ok(IdentitiesResponse { identities })
    }

    /// Makes an identity.
    pub(crate) async fn new_identity(
        &self,
        request: NewIdentityRequest,
    ) -> Result<NewIdentity, ErrorBody> {
        // The phrase is shown once: nothing may fail between making it and showing it that can fail before.
        if let Some(name) = &request.alias {
            check_petname(name)?;
        }
        let (publisher, phrase) = self.create_identity().await?;
        if let Some(name) = request.alias {
            self.set_alias(&name, publisher).await?;
        }
        Ok(NewIdentity {
            identity: self.identity_view(publisher).await?,
            recovery_phrase: phrase,
        })
    }

    /// Replaces all keys in use and signs every tip again with the new ones.
    pub(crate) async fn rotate(&self, request: RotateRequest) -> Result<IdentityView, ErrorBody> {
        let publisher = self.signer(request.publisher.as_deref()).await?;
        self.rotate_identity(publisher, request.phrase.expose())
            .await
    }

    /// Takes an identity over from its recovery phrase: a rotation whose new keys live here.
    pub(crate) async fn recover(&self, request: RecoverRequest) -> Result<IdentityView, ErrorBody> {
        let Some(publisher) = &request.publisher else {
            return Err(
                ErrorBody::new(ErrorCode::Usage, "which publisher?").with_hint(
                    "name its id: the phrase proves that it is yours, but does not contain it",
                ),
            );
        };
        if let Some(name) = &request.alias {
            check_petname(name)?;
        }
        let publisher = self.recovered_publisher(publisher).await?;
        if self.identity_log(publisher).await?.is_none() {
            return Err(ErrorBody::new(
                ErrorCode::NotFound,
                format!("the identity log of `{publisher}` is not here"),
            )
            .with_hint(
                "name one of its repositories instead, `weft id recover PUBLISHER/NAME`: that brings the log",
            ));
        }
        let view = self
            .rotate_identity(publisher, request.phrase.expose())
            .await?;
        if let Some(name) = request.alias {
            self.set_alias(&name, publisher).await?;
        }
        Ok(view)
    }

    /// Whose identity is recovered: a publisher, or that of a repository, which is looked for to bring the log.
    async fn recovered_publisher(&self, text: &str) -> Result<PublisherId, ErrorBody> {
        if !text.contains('/') {
            return self.publisher(text).await;
        }
        let target = self.target(text).await?;
        let publisher = target.repository.publisher;
        match self.resolve(&target).await {
            // What is held will do if nobody can be asked.
            Err(error) if self.identity_log(publisher).await?.is_none() => Err(error),
            _ => Ok(publisher),
        }
    }

    async fn rotate_identity(
        &self,
        publisher: PublisherId,
        phrase: &str,
    ) -> Result<IdentityView, ErrorBody> {
        let _one_at_a_time = self.publishing.lock().await;
        let phrase = RecoveryPhrase::parse(phrase)?;
        let log = self.identity_log(publisher).await?.ok_or_else(|| {
            ErrorBody::new(
                ErrorCode::NotFound,
                format!("the identity log of `{publisher}` is not here"),
            )
        })?;
        let keys = self.keys.clone();
        let created = blocking_io(move || keys.rotate(&log, &phrase, unix())).await?;
        self.commit_identity(&created).await?;
        // Heads signed with the old, now revoked keys would be refused by newcomers.
        for repository in self.repositories_of(publisher).await? {
            self.sign_tip_again(&repository).await?;
        }
        self.identity_view(publisher).await
    }

    /// Makes an identity and remembers it as the default if there is none.
    async fn create_identity(&self) -> Result<(PublisherId, IdentityPhrase), ErrorBody> {
        let unshown = self.draw_identity().await?;
        self.commit_identity(&unshown.created).await?;
        self.keep_identity(unshown).await
    }

    /// Draws an identity that nothing but its keys on disk knows about yet.
    pub(super) async fn draw_identity(&self) -> Result<Unshown, ErrorBody> {
        let keys = self.keys.clone();
        blocking_io(move || {
            let created = keys.create(unix())?;
            Ok(Unshown {
                created,
                keys: Some(keys),
            })
        })
        .await
    }

    /// The identity is committed: it stays, as the default if there is none. Its phrase must be shown now.
    pub(super) async fn keep_identity(
        &self,
        mut unshown: Unshown,
    ) -> Result<(PublisherId, IdentityPhrase), ErrorBody> {
        let publisher = unshown.created.log.publisher();
        if self.default_identity().await?.is_none() {
            let registry = self.registry.clone();
            blocking(move || {
                registry.set_setting(DEFAULT_IDENTITY, publisher.to_string().as_bytes())
            })
            .await?;
        }
        unshown.keys = None;
        let phrase = unshown.created.phrase.as_ref();
        let words = phrase.map(RecoveryPhrase::words).unwrap_or_default();
        Ok((publisher, IdentityPhrase::new(words)))
    }

    /// Which local identity signs: the named one, the default one, the only one.
    pub(super) async fn signer(&self, named: Option<&str>) -> Result<PublisherId, ErrorBody> {
        let local = self.local_publishers().await?;
        let publisher = match named {
            Some(text) => Some(self.publisher(text).await?),
            None => self.default_identity().await?.filter(|p| local.contains(p)),
        };
        match (publisher, local.as_slice()) {
            (Some(publisher), _) if local.contains(&publisher) => Ok(publisher),
            (Some(publisher), _) => Err(ErrorBody::new(
                ErrorCode::Refused,
                format!("the keys of publisher `{publisher}` are not on this node"),
            )
            .with_hint(
                "`weft id show` lists the identities that are; `weft id recover` takes one over",
            )),
            (None, [publisher]) => Ok(*publisher),
            (None, []) => Err(no_identity()),
            (None, _) => Err(ErrorBody::new(
                ErrorCode::Usage,
                "there are several identities and none is the default",
            )
            .with_hint("name one with `--as`")),
        }
    }

    /// Publishers whose keys and log are both here.
    pub(super) async fn local_publishers(&self) -> Result<Vec<PublisherId>, ErrorBody> {
        let publishers = self.keys.publishers();
        self.service
            .view(move |service| {
                publishers
                    .into_iter()
                    .filter(|publisher| service.identity(publisher).is_some())
                    .collect()
            })
            .await
            .ok_or_else(shutting_down)
    }

    /// The identity log held for a publisher.
    pub(super) async fn identity_log(
        &self,
        publisher: PublisherId,
    ) -> Result<Option<IdentityLog>, ErrorBody> {
        self.service
            .view(move |service| service.identity(&publisher).cloned())
            .await
            .ok_or_else(shutting_down)
    }

    /// All petnames.
    pub(crate) async fn aliases(&self) -> Result<AliasesResponse, ErrorBody> {
        let registry = self.registry.clone();
        let names = blocking(move || registry.petnames()).await?;
        Ok(AliasesResponse {
            aliases: names
                .into_iter()
                .map(|name| AliasView {
                    name: name.name,
                    publisher: name.target.to_string(),
                })
                .collect(),
        })
    }

    /// Sets or removes a petname.
    pub(crate) async fn alias(&self, request: AliasRequest) -> Result<AliasesResponse, ErrorBody> {
        match &request.publisher {
            Some(publisher) => {
                let publisher = self.publisher(publisher).await?;
                self.set_alias(&request.name, publisher).await?;
            }
            None => {
                let (registry, name) = (self.registry.clone(), request.name.clone());
                blocking(move || registry.remove_petname(&name)).await?;
            }
        }
        self.aliases().await
    }

    async fn set_alias(&self, name: &str, publisher: PublisherId) -> Result<(), ErrorBody> {
        check_petname(name)?;
        let (registry, name) = (self.registry.clone(), name.to_owned());
        blocking(move || registry.set_petname(&name, &PetnameTarget::Publisher(publisher))).await
    }

    async fn identity_view(&self, publisher: PublisherId) -> Result<IdentityView, ErrorBody> {
        let log = self.identity_log(publisher).await?.ok_or_else(|| {
            ErrorBody::new(
                ErrorCode::NotFound,
                format!("publisher `{publisher}` is not known here"),
            )
        })?;
        let keys = self.keys.keys(&log)?;
        let tip = log.tip();
        let repositories = self.repositories_of(publisher).await?;
        let forked = self
            .service
            .view(move |service| {
                service.repositories().iter().any(|view| {
                    view.repository.publisher == publisher
                        && view.freshness == Freshness::Forked
                        && !view.frozen
                })
            })
            .await
            .ok_or_else(shutting_down)?;
        Ok(IdentityView {
            publisher: publisher.to_string(),
            alias: self.petname_of(publisher).await,
            default: self.default_identity().await? == Some(publisher),
            index: tip.index,
            release_key: keys
                .as_ref()
                .is_some_and(|keys| tip.release_keys.contains(&keys.release.public())),
            freshness_key: keys
                .as_ref()
                .is_some_and(|keys| tip.freshness_key == Some(keys.freshness.public())),
            forked,
            repositories: repositories.iter().map(|r| r.name.to_string()).collect(),
        })
    }

    async fn repositories_of(
        &self,
        publisher: PublisherId,
    ) -> Result<Vec<RepositoryId>, ErrorBody> {
        self.service
            .view(move |service| {
                service
                    .repositories()
                    .into_iter()
                    .map(|view| view.repository)
                    .filter(|repository| repository.publisher == publisher)
                    .collect()
            })
            .await
            .ok_or_else(shutting_down)
    }

    async fn default_identity(&self) -> Result<Option<PublisherId>, ErrorBody> {
        let registry = self.registry.clone();
        let stored = blocking(move || registry.setting(DEFAULT_IDENTITY)).await?;
        Ok(stored.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()))
    }

    async fn commit_identity(&self, created: &Created) -> Result<(), ErrorBody> {
        let command = Command::UpdateIdentity {
            publisher: created.log.publisher(),
            events: created.log.envelopes().to_vec(),
        };
        self.service.command(command).await.answer().await?;
        Ok(())
    }
}

/// A new identity whose phrase nobody has seen. Dropped before that, it takes its keys along: an identity without its
/// phrase could never be rotated.
#[derive(Debug)]
pub(super) struct Unshown {
    pub(super) created: Created,
    keys: Option<KeyStore>,
}

impl Drop for Unshown {
    fn drop(&mut self) {
        if let Some(keys) = &self.keys {
            keys.discard(&self.created.log.publisher());
        }
    }
}

fn check_petname(name: &str) -> Result<(), ErrorBody> {
    let is_name = name.parse::<weft_protocol::id::RepositoryName>().is_ok();
    if is_name && name.parse::<PublisherId>().is_err() {
        return Ok(());
    }
    Err(
        ErrorBody::new(ErrorCode::Usage, format!("`{name}` cannot be a petname")).with_hint(
            "use up to 64 letters, digits, `.`, `_` and `-`, starting with a letter or digit",
        ),
    )
}

pub(super) fn no_identity() -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, "there is no identity on this node yet")
        .with_hint("`weft id new` makes one; `weft publish` does it on first use")
}
